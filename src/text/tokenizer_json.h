#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace duet {

/// A tokenizer.json with the two large tables of its model apart: as a tree they would cost ten times as long.
struct TokenizerJson {
  Json document;  // model.vocab and model.merges are empty in it
  std::vector<std::pair<std::string_view, int64_t>> vocab;
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  std::string unescaped;  // what views into the text cannot show
};

/// Takes the text apart; std::nullopt when anything in it is not as it nearly always is, a fault for instance: then
/// parse_json() tells. What is taken is strict JSON in UTF-8, but keys of the vocabulary may be doubled.
/// `text` must outlive the result.
std::optional<TokenizerJson> split_tokenizer_json(std::string_view text);

}  // namespace duet
