#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "text/code_point_map.h"
#include "text/merges.h"
#include "text/vocabulary.h"

namespace duet {

/// What a merge lacks.
enum class MergeFault { kNone, kLeft, kRight, kProduct };

/// What tokens stand for, one behind the other: token i is bytes[begin[i], begin[i + 1]). All empty: nothing is known.
struct TokenBytes {
  std::string bytes;
  std::vector<uint32_t> begin;
};

/// A byte-pair encoding: from pieces of text to ids. Immutable once finished; thread-safe.
class BpeModel {
 public:
  virtual ~BpeModel() = default;
  void reserve(size_t merges) { merges_.reserve(merges); }
  /// Adds the merge of next rank, by the spellings of its parts. A merge that stands twice has its last rank.
  MergeFault add_merge(std::string_view left, std::string_view right);
  static constexpr size_t kMergeBlock = 32;  // add_merges() works on so many at a time
  /// Many of them, quicker. Stops at the first that lacks something; `done` is its index then.
  MergeFault add_merges(std::span<const std::pair<std::string_view, std::string_view>> merges, size_t& done);
  /// A merge by ids, with the rank given.
  void add_merge(int32_t left, int32_t right, Merges::Merge merge) { merges_.add(left, right, merge); }
  /// After the last merge, before the first piece. Returns the bytes of all tokens if it had to find them: those of
  /// tokens that are not ordinary, or have no bytes, are empty.
  virtual TokenBytes finish() = 0;

  /// Appends the ids of one piece of valid UTF-8. The pair of lowest rank is merged first, the leftmost of equal ones.
  /// `symbols` is scratch.
  virtual void encode(std::string_view piece, std::vector<int32_t>& symbols, std::vector<TokenId>& out) const = 0;
  /// End of the part of `piece` from `begin` that no merge leaves: parts can be encoded one by one.
  virtual size_t part_end(std::string_view piece, size_t begin) const;

 protected:
  /// `vocabulary` must outlive the model.
  explicit BpeModel(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  const Vocabulary& vocabulary_;
  Merges merges_;

 private:
  int32_t product_of(std::string_view left, std::string_view right);

  uint32_t ranks_ = 0;   // given so far
  int32_t last_ = -1;    // the last product: as a rule the next one stands behind it
  std::string product_;  // scratch of add_merge
};

/// Byte-level: the symbols are the tokens of single bytes, in GPT-2's spelling.
class ByteBpe final : public BpeModel {
 public:
  struct Options {
    /// A piece whose spelling is a token is that token, whether merges lead there or not.
    bool ignore_merges = false;
    /// What a byte without a token becomes, -1: it vanishes, as in the reference.
    int32_t unknown = -1;
    /// Neighbouring unknown bytes become one token.
    bool fuse_unknown = false;
  };

  /// The single bytes must be in the vocabulary by now.
  ByteBpe(const Vocabulary& vocabulary, const Options& options);
  /// Finds the characters whose bytes always come together first.
  TokenBytes finish() override;
  void encode(std::string_view piece, std::vector<int32_t>& symbols, std::vector<TokenId>& out) const override;

 private:
  struct Shape;
  struct TokenSlot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  static constexpr int kCrossingBits = 18;
  static size_t crossing_slot(uint32_t tail, uint32_t head);
  bool crosses(std::string_view piece, size_t at) const;
  void index_tokens(const TokenBytes& all);
  int32_t token_of(std::string_view bytes) const;
  void add_character(int32_t id, std::string_view bytes, uint32_t first_use);
  size_t start(std::string_view piece, int32_t* symbols) const;
  void start_with_gaps(std::string_view piece, std::vector<int32_t>& symbols) const;

  Options options_;
  int32_t byte_token_[256];
  CodePointMap characters_;  // symbols of characters that may be taken whole
  // Where merges of parts of characters cross the end of a character: by the bytes on both sides of it, and by hashes
  // of what the two symbols have there.
  std::vector<bool> crossing_ = std::vector<bool>(1 << 16);
  std::vector<bool> crossing_exactly_ = std::vector<bool>(1 << kCrossingBits);
  std::vector<TokenSlot> tokens_;  // with ignore_merges: all ordinary ones by their bytes
  size_t longest_token_ = 0;
};

/// SentencePiece: the symbols are characters.
class CharacterBpe final : public BpeModel {
 public:
  struct Options {
    /// A character without a token becomes its bytes' tokens, <0x00> to <0xFF>, where they are all there.
    bool byte_fallback = false;
    /// Else it becomes this, -1: it vanishes.
    int32_t unknown = -1;
    bool fuse_unknown = false;
    bool ignore_merges = false;
  };

  CharacterBpe(const Vocabulary& vocabulary, const Options& options);
  /// Instead of merges: two neighbours that make up one of these tokens merge, those of the highest score first.
  void add_scored(const std::vector<std::pair<int32_t, float>>& tokens);
  /// Finds out between which characters no merge leads.
  TokenBytes finish() override;
  void encode(std::string_view piece, std::vector<int32_t>& symbols, std::vector<TokenId>& out) const override;
  size_t part_end(std::string_view piece, size_t begin) const override;

 private:
  int32_t symbol_of(std::string_view part);
  void append_unknown(char32_t code, bool fuse, std::vector<TokenId>& out) const;
  char32_t edge(int32_t symbol, bool last) const;

  Options options_;
  int32_t byte_token_[256];
  bool all_bytes_ = true;
  CodePointMap characters_;          // symbols
  std::vector<char32_t> tokenless_;  // characters that only merge: symbol = kTokenless + index
  std::vector<bool> joins_ascii_ = std::vector<bool>(1 << 14);  // pairs that a merge joins
  std::vector<uint64_t> joins_;                                 // the others, sorted
};

}  // namespace duet
