#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pipeline_tokenizer.h"

namespace duet {

constexpr std::string_view kTokenizerConfigFile = "tokenizer_config.json";

/// Puts tokens into a tokenizer's parts, and reads what tokenizer_config.json says of them. Faults are named with the
/// file that they stand in.
class HfTokens {
 public:
  /// `file`: where the vocabulary comes from, for messages. parts.vocabulary must be there.
  HfTokens(TokenizerParts& parts, std::string_view file) : parts_(parts), file_(file) {}

  /// An id in its legal range; bad_tokenizer otherwise.
  static int32_t check_id(const Json& id, std::string_view content, std::string_view file);
  /// bad_tokenizer when the token is empty, or its id or content taken.
  void add_token(int32_t id, std::string_view content, std::string_view file, bool ordinary);
  /// An entry of added_tokens or added_tokens_decoder.
  void add_added(int32_t id, const Json& entry, std::string_view file, std::string_view where);
  /// A token that the model's own file marks as added.
  void add_added(AddedToken token);
  /// added_tokens_decoder: a token that was added before is as it is, the others are added.
  void read_config_added(const Json& config);
  /// bos_token, eos_token, ...: names for templates, and which ids they are.
  void read_config_names(const Json& config);
  /// add_bos_token and add_eos_token, which count where no post-processor can be.
  void read_config_ends(const Json& config);

 private:
  void mark_added(int32_t id, std::string_view content, std::string_view file, std::string_view where);

  TokenizerParts& parts_;
  std::string_view file_;
  std::vector<bool> added_ids_;
};

}  // namespace duet
