#include "text/hf_stages.h"

#include <string>

#include "base/error.h"

namespace duet {
namespace {

using Kind = PreTokenizer::Kind;

bool absent(const Json* stage) { return stage == nullptr || stage->is_null(); }

const std::string& type_of(const Json& stage, std::string_view file, std::string_view where) {
  if (!stage.is_object()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, wanted object", file, where, stage.kind_name());
  }
  return require_text(stage, "type", file, where);
}

/// The members of a stage of type Sequence.
const Json::Array& sequence(const Json& stage, std::string_view key, std::string_view file, std::string_view where) {
  const Json& members = require_member(stage, key, file, where);
  if (!members.is_array()) {
    fail(ErrorCode::kBadType, "{}: {} of {} is of kind {}, wanted array", file, key, where, members.kind_name());
  }
  return members.array();
}

[[noreturn]] void unknown(std::string_view file, std::string_view where, std::string_view type,
                          std::string_view known) {
  fail(ErrorCode::kUnsupportedFeature, "{}: {} '{}' is unknown; known: {}", file, where, printable(type), known);
}

/// Whether brackets and groups of a regular expression close and begin as they must. A pattern that fails is broken in
/// any dialect.
bool is_well_formed(std::string_view pattern) {
  int depth = 0, classes = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      if (++i == pattern.size()) return false;
    } else if (c == '[') {
      ++classes;
      if (pattern.substr(i + 1, 1) == "^") ++i;
      if (pattern.substr(i + 1, 1) == "]") ++i;
    } else if (c == ']' && classes > 0) {
      --classes;
    } else if (classes == 0 && c == '(') {
      ++depth;
      if (pattern.substr(i + 1, 1) != "?") continue;
      std::string_view group = pattern.substr(i + 2);
      if (group.starts_with("P<")) group.remove_prefix(1);
      if (group.starts_with("<") && !group.starts_with("<=") && !group.starts_with("<!")) {
        if (group.find('>') == std::string_view::npos) return false;
      } else if (group.empty() || std::string_view(":=!>|#<-imsxuUaW").find(group.front()) == std::string_view::npos) {
        return false;
      }
    } else if (classes == 0 && c == ')') {
      if (--depth < 0) return false;
    }
  }
  return depth == 0 && classes == 0;
}

void read_split(const Json& stage, std::string_view file, TokenizerParts& parts) {
  const Json& pattern = require_member(stage, "pattern", file, "pre_tokenizer Split");
  if (const Json* plain = pattern.find("String")) {
    unknown(file, "pattern of pre_tokenizer Split", "String " + plain->dump(), "a Regex");
  }
  const std::string& regex = require_text(pattern, "Regex", file, "pattern of pre_tokenizer Split");
  const std::string& behavior = require_text(stage, "behavior", file, "pre_tokenizer Split");
  const bool invert = flag_member(stage, "invert", false, file, "pre_tokenizer Split");
  add_pattern(regex, file, parts);
  // The known patterns leave no gaps, so keeping the matches and removing what is between them is the same.
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
    unknown(file, "behavior of pre_tokenizer Split", behavior + (invert ? " inverted" : ""),
            "Isolated, Removed inverted");
  }
}

/// Returns whether the stage was ByteLevel, after which nothing may come: text is bytes from there on.
bool read_pre_tokenizer_stage(const Json& stage, std::string_view file, TokenizerParts& parts, int depth) {
  const std::string& type = type_of(stage, file, "pre_tokenizer");
  if (type == "Sequence") {
    if (depth > 4) fail(ErrorCode::kTooDeep, "{}: pre_tokenizer sequences are nested deeper than 4", file);
    bool bytes = false;
    for (const Json& member : sequence(stage, "pretokenizers", file, "pre_tokenizer")) {
      if (bytes)
        unknown(file, "order of pre_tokenizer", "ByteLevel before " + type_of(member, file, "pre_tokenizer"),
                "ByteLevel last");
      bytes = read_pre_tokenizer_stage(member, file, parts, depth + 1);
    }
    return bytes;
  }
  if (type == "Split") {
    read_split(stage, file, parts);
  } else if (type == "Digits") {
    parts.pre_tokenizer.push_back({flag_member(stage, "individual_digits", false, file, "pre_tokenizer Digits")
                                       ? Kind::kDigits
                                       : Kind::kDigitRuns});
  } else if (type == "ByteLevel") {
    if (flag_member(stage, "add_prefix_space", true, file, "pre_tokenizer ByteLevel")) {
      parts.pre_tokenizer.push_back({Kind::kPrefixSpace});
    }
    if (flag_member(stage, "use_regex", true, file, "pre_tokenizer ByteLevel")) {
      parts.pre_tokenizer.push_back({Kind::kPattern, SplitPattern::kGpt2});
    }
    return true;
  } else {
    unknown(file, "pre_tokenizer", type, "ByteLevel, Digits, Sequence, Split");
  }
  return false;
}

/// The ids of a special token of a template.
std::vector<TokenId> template_ids(const Json& stage, const std::string& name, std::string_view file,
                                  const TokenizerParts& parts) {
  const Json& table = require_member(stage, "special_tokens", file, "post_processor TemplateProcessing");
  const Json* entry = table.find(name);
  if (entry == nullptr) {
    fail(ErrorCode::kBadTokenizer, "{}: post_processor puts '{}' in, which its special_tokens do not define", file,
         printable(name));
  }
  const Json& ids = require_member(*entry, "ids", file, "special_tokens of post_processor");
  if (!ids.is_array())
    fail(ErrorCode::kBadType, "{}: ids of '{}' is of kind {}, wanted array", file, printable(name), ids.kind_name());
  std::vector<TokenId> out;
  for (const Json& id : ids.array()) {
    if (!id.is_integer() || !parts.vocabulary->has(id.integer())) {
      fail(ErrorCode::kBadTokenizer, "{}: post_processor gives '{}' the id {}, which no token has", file,
           printable(name), printable(id.dump()));
    }
    out.push_back(TokenId{static_cast<int32_t>(id.integer())});
  }
  return out;
}

void read_template(const Json& stage, std::string_view file, TokenizerParts& parts) {
  constexpr std::string_view kWhere = "post_processor TemplateProcessing";
  const Json& single = require_member(stage, "single", file, kWhere);
  if (!single.is_array())
    fail(ErrorCode::kBadType, "{}: single of {} is of kind {}, wanted array", file, kWhere, single.kind_name());
  std::vector<TokenId> front, back;
  bool text = false;
  for (const Json& piece : single.array()) {
    if (const Json* special = piece.find("SpecialToken")) {
      const std::vector<TokenId> ids = template_ids(stage, require_text(*special, "id", file, kWhere), file, parts);
      auto& side = text ? back : front;
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (const Json* sequence_of = piece.find("Sequence");
               sequence_of != nullptr && require_text(*sequence_of, "id", file, kWhere) == "A" && !text) {
      text = true;
    } else {
      fail(ErrorCode::kBadTokenizer,
           "{}: single of {} has a part that is neither a special token nor the one sequence A: {}", file, kWhere,
           printable(piece.dump()));
    }
  }
  if (!text) fail(ErrorCode::kBadTokenizer, "{}: single of {} has no sequence A", file, kWhere);
  // A later processor wraps what the earlier ones made.
  parts.front.insert(parts.front.begin(), front.begin(), front.end());
  parts.back.insert(parts.back.end(), back.begin(), back.end());
}

void read_post_processor_stage(const Json& stage, std::string_view file, TokenizerParts& parts, int depth) {
  const std::string& type = type_of(stage, file, "post_processor");
  if (type == "Sequence") {
    if (depth > 4) fail(ErrorCode::kTooDeep, "{}: post_processor sequences are nested deeper than 4", file);
    for (const Json& member : sequence(stage, "processors", file, "post_processor")) {
      read_post_processor_stage(member, file, parts, depth + 1);
    }
  } else if (type == "TemplateProcessing") {
    read_template(stage, file, parts);
  } else if (type != "ByteLevel") {
    unknown(file, "post_processor", type, "ByteLevel, Sequence, TemplateProcessing");
  }
}

}  // namespace

const Json& require_member(const Json& object, std::string_view key, std::string_view file, std::string_view where) {
  if (!object.is_object()) {
    fail(ErrorCode::kBadType, "{}: {} is of kind {}, wanted object", file, where, object.kind_name());
  }
  const Json* member = object.find(key);
  if (member == nullptr) fail(ErrorCode::kMissingKey, "{}: {} has no key '{}'", file, where, key);
  return *member;
}

const std::string& require_text(const Json& object, std::string_view key, std::string_view file,
                                std::string_view where) {
  const Json& member = require_member(object, key, file, where);
  if (!member.is_string()) {
    fail(ErrorCode::kBadType, "{}: '{}' of {} is of kind {}, wanted string", file, key, where, member.kind_name());
  }
  return member.string();
}

bool flag_member(const Json& object, std::string_view key, bool otherwise, std::string_view file,
                 std::string_view where) {
  const Json* member = object.find(key);
  if (member == nullptr || member->is_null()) return otherwise;
  if (!member->is_bool()) {
    fail(ErrorCode::kBadType, "{}: '{}' of {} is of kind {}, wanted bool", file, key, where, member->kind_name());
  }
  return member->boolean();
}

void add_pattern(std::string_view pattern, std::string_view file, TokenizerParts& parts) {
  if (const std::optional<SplitPattern> known = split_pattern_from_text(pattern)) {
    parts.pre_tokenizer.push_back({Kind::kPattern, *known});
    return;
  }
  if (!is_well_formed(pattern)) {
    fail(ErrorCode::kBadTokenizer, "{}: '{}' is no regular expression: a group or a class is not closed or not known",
         file, printable(pattern));
  }
  unknown(file, "pattern of pre_tokenizer Split", pattern, "those of GPT-2, Llama 3, Llama 4, Qwen2 and Qwen3.5");
}

void read_normalizer(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (absent(stage)) return;
  const std::string& type = type_of(*stage, file, "normalizer");
  if (type == "NFC") {
    parts.nfc = true;
  } else if (type == "Sequence") {
    for (const Json& member : sequence(*stage, "normalizers", file, "normalizer")) {
      const std::string& inner = type_of(member, file, "normalizer");
      if (inner != "NFC") unknown(file, "normalizer", inner, "NFC");
      parts.nfc = true;
    }
  } else {
    unknown(file, "normalizer", type, "NFC, Sequence");
  }
}

void read_pre_tokenizer(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (absent(stage) || !read_pre_tokenizer_stage(*stage, file, parts, 0)) {
    unknown(file, "pre_tokenizer", absent(stage) ? "null" : "without ByteLevel", "byte-level ones");
  }
  if (parts.pre_tokenizer.size() > PreTokenizer::kMaxSteps) {
    fail(ErrorCode::kTooLarge, "{}: pre_tokenizer has {} steps, the cap is {}", file, parts.pre_tokenizer.size(),
         PreTokenizer::kMaxSteps);
  }
}

void read_decoder(const Json* stage, std::string_view file) {
  if (absent(stage)) unknown(file, "decoder", "null", "ByteLevel");
  const std::string& type = type_of(*stage, file, "decoder");
  if (type == "ByteLevel") return;
  if (type != "Sequence") unknown(file, "decoder", type, "ByteLevel");
  const Json::Array& members = sequence(*stage, "decoders", file, "decoder");
  if (members.size() != 1 || type_of(members[0], file, "decoder") != "ByteLevel") {
    unknown(file, "decoder", members.empty() ? "an empty Sequence" : type_of(members.back(), file, "decoder"),
            "ByteLevel alone");
  }
}

void read_post_processor(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (!absent(stage)) read_post_processor_stage(*stage, file, parts, 0);
}

}  // namespace duet
