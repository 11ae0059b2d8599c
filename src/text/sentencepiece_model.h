#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// The types of pieces, with the numbers that SentencePiece models and GGUF files (tokenizer.ggml.token_type) share.
enum class PieceType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

/// What tokenizing needs of a SentencePiece model file (sentencepiece_model.proto; fields as the format's defaults
/// are).
struct SentencePieceModel {
  std::vector<Piece> pieces;
  // TrainerSpec
  int64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 char
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  int64_t unk_id = 0, bos_id = 1, eos_id = 2;  // -1: none
  // NormalizerSpec
  std::string normalizer_name;
  bool has_charsmap = false;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

/// Reads the protocol buffer `bytes`; `file` is its name for messages. Fields that say nothing of tokenizing are passed
/// over, as the format means it. Throws bad_tokenizer (broken off, wrong wire types, text that is not UTF-8, ...),
/// too_large.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view file);

}  // namespace duet
