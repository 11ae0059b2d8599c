#include "text/hf_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "text/hf_stages.h"

namespace duet {
namespace {

constexpr std::string_view kConfigFile = kTokenizerConfigFile;

}  // namespace

int32_t HfTokens::check_id(const Json& id, std::string_view content, std::string_view file) {
  if (!id.is_integer() || id.integer() < 0 || id.integer() >= Vocabulary::kMaxIds) {
    fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the id {}, legal are 0 to {}", file, printable(content),
         printable(id.dump(), 40), Vocabulary::kMaxIds - 1);
  }
  return static_cast<int32_t>(id.integer());
}

void HfTokens::add_token(int32_t id, std::string_view content, std::string_view file, bool ordinary) {
  if (content.empty()) fail(ErrorCode::kBadTokenizer, "{}: the token with id {} is empty", file, id);
  if (parts_.vocabulary->add(id, content, ordinary)) return;
  if (const int32_t other = parts_.vocabulary->find(content); other >= 0 && other != id) {
    fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the ids {} and {}", file, printable(content), other, id);
  }
  fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the id {}, which '{}' has already", file, printable(content), id,
       printable(parts_.vocabulary->spelling(id)));
}

void HfTokens::mark_added(int32_t id, std::string_view content, std::string_view file, std::string_view where) {
  added_ids_.resize(std::max(added_ids_.size(), static_cast<size_t>(id) + 1), false);
  if (added_ids_[static_cast<size_t>(id)]) {
    fail(ErrorCode::kBadTokenizer, "{}: {} has the id {} twice ('{}')", file, where, id, printable(content));
  }
  added_ids_[static_cast<size_t>(id)] = true;
}

void HfTokens::add_added(AddedToken token) {
  mark_added(to_int(token.id), token.content, file_, "the vocabulary");
  parts_.added.push_back(std::move(token));
}

void HfTokens::add_added(int32_t id, const Json& entry, std::string_view file, std::string_view where) {
  AddedToken token{.id = TokenId{id}, .content = require_text(entry, "content", file, where)};
  token.special = flag_member(entry, "special", false, file, where);
  token.lstrip = flag_member(entry, "lstrip", false, file, where);
  token.rstrip = flag_member(entry, "rstrip", false, file, where);
  token.single_word = flag_member(entry, "single_word", false, file, where);
  token.normalized = flag_member(entry, "normalized", !token.special, file, where);
  // A token of the vocabulary may be an added one as well: then it has that id.
  if (token.content.empty() || parts_.vocabulary->find(token.content) != id) add_token(id, token.content, file, false);
  mark_added(id, token.content, file, where);
  parts_.added.push_back(std::move(token));
}

void HfTokens::read_config_added(const Json& config) {
  constexpr std::string_view kWhere = "added_tokens_decoder";
  const Json* decoder = config.find(kWhere);
  if (decoder == nullptr || decoder->is_null()) return;
  if (!decoder->is_object())
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, wanted object", kConfigFile, kWhere, decoder->kind_name());
  for (const auto& [key, entry] : decoder->object()) {
    int64_t id = -1;
    const auto [end, fault] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (fault != std::errc() || end != key.data() + key.size() || id < 0 || id >= Vocabulary::kMaxIds) {
      fail(ErrorCode::kBadValue, "{}: key '{}' of {} is no id from 0 to {}", kConfigFile, printable(key), kWhere,
           Vocabulary::kMaxIds - 1);
    }
    const std::string& content = require_text(entry, "content", kConfigFile, kWhere);
    if (static_cast<size_t>(id) < added_ids_.size() && added_ids_[static_cast<size_t>(id)]) {
      if (parts_.vocabulary->spelling(static_cast<int32_t>(id)) == content) continue;
      fail(ErrorCode::kBadTokenizer, "{}: token {} is '{}', but '{}' in {}", kConfigFile, id, printable(content),
           printable(parts_.vocabulary->spelling(static_cast<int32_t>(id))), file_);
    }
    add_added(static_cast<int32_t>(id), entry, kConfigFile, kWhere);
  }
}

void HfTokens::read_config_names(const Json& config) {
  static constexpr std::array<std::string_view, 7> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                             "pad_token", "cls_token", "mask_token"};
  for (const std::string_view name : kNames) {
    const Json* value = config.find(name);
    if (value == nullptr || value->is_null()) continue;
    const std::string& content = value->is_object() ? require_text(*value, "content", kConfigFile, name)
                                                    : require_text(config, name, kConfigFile, "the file");
    parts_.special_token_strings.emplace_back(name, content);
    const int32_t id = parts_.vocabulary->find(content);
    if (id >= 0 && name == "bos_token") parts_.bos = TokenId{id};
    if (id >= 0 && name == "eos_token") parts_.eos = TokenId{id};
  }
}

void HfTokens::read_config_ends(const Json& config) {
  const auto need = [&](std::string_view name, std::optional<TokenId> id) {
    if (!id) fail(ErrorCode::kBadTokenizer, "{}: add_{} is true, but {} is no token", kConfigFile, name, name);
    return *id;
  };
  if (flag_member(config, "add_bos_token", false, kConfigFile, "the file"))
    parts_.front = {need("bos_token", parts_.bos)};
  if (flag_member(config, "add_eos_token", false, kConfigFile, "the file"))
    parts_.back = {need("eos_token", parts_.eos)};
}

}  // namespace duet
