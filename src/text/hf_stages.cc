#include "text/hf_stages.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace duet {
namespace {

using Kind = PreTokenizer::Kind;

constexpr std::string_view kSpaceMark = "\u2581";
constexpr size_t kMaxNormalizerSteps = 16;
constexpr size_t kMaxInsertedBytes = 64;  // what a step of a normalizer may put in for one place

std::string checked_length(const std::string& text, std::string_view file, std::string_view where) {
  if (text.size() <= kMaxInsertedBytes) return text;
  fail(ErrorCode::kTooLarge, "{}: {} puts in {} bytes, the cap is {}", file, where, text.size(), kMaxInsertedBytes);
}

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
  const bool isolated = behavior == "Isolated" && !invert;
  const bool gapless = parts.pre_tokenizer.back().kind == Kind::kPattern;
  if (!isolated && !(gapless && behavior == "Removed" && invert)) {
    unknown(file, "behavior of pre_tokenizer Split", behavior + (invert ? " inverted" : ""),
            gapless ? "Isolated, Removed inverted" : "Isolated");
  }
}

/// The text of a pattern, which must be a plain one.
const std::string& plain_pattern(const Json& stage, std::string_view file, std::string_view where) {
  const Json& pattern = require_member(stage, "pattern", file, where);
  if (pattern.find("Regex") != nullptr) unknown(file, where, "Regex " + pattern.find("Regex")->dump(), "a String");
  const std::string& text = require_text(pattern, "String", file, where);
  if (text.empty()) fail(ErrorCode::kBadTokenizer, "{}: {} is empty", file, where);
  return text;
}

void read_normalizer_stage(const Json& stage, std::string_view file, TokenizerParts& parts) {
  const std::string& type = type_of(stage, file, "normalizer");
  if (parts.normalizer.size() >= kMaxNormalizerSteps) {
    fail(ErrorCode::kTooLarge, "{}: normalizer has more than {} steps", file, kMaxNormalizerSteps);
  }
  if (type == "NFC") {
    parts.normalizer.push_back({.kind = NormalizerStep::Kind::kNfc});
  } else if (type == "Prepend") {
    const std::string& text = require_text(stage, "prepend", file, "normalizer Prepend");
    parts.normalizer.push_back(
        {.kind = NormalizerStep::Kind::kPrepend, .to = checked_length(text, file, "normalizer Prepend")});
  } else if (type == "Replace") {
    const std::string& to = require_text(stage, "content", file, "normalizer Replace");
    parts.normalizer.push_back({.kind = NormalizerStep::Kind::kReplace,
                                .from = plain_pattern(stage, file, "pattern of normalizer Replace"),
                                .to = checked_length(to, file, "normalizer Replace")});
  } else {
    unknown(file, "normalizer", type, "NFC, Prepend, Replace, Sequence");
  }
}

Metaspace read_metaspace(const Json& stage, std::string_view file, std::string_view where) {
  Metaspace out;
  out.replacement = require_text(stage, "replacement", file, where);
  if (out.replacement != kSpaceMark) unknown(file, where, "replacement '" + out.replacement + "'", "U+2581");
  out.split = flag_member(stage, "split", true, file, where);
  out.prepend = Metaspace::Prepend::kAlways;
  if (const Json* scheme = stage.find("prepend_scheme"); scheme != nullptr && !scheme->is_null()) {
    const std::string& name = require_text(stage, "prepend_scheme", file, where);
    if (name == "first") {
      out.prepend = Metaspace::Prepend::kFirst;
    } else if (name == "never") {
      out.prepend = Metaspace::Prepend::kNever;
    } else if (name != "always") {
      unknown(file, where, "prepend_scheme '" + name + "'", "always, first, never");
    }
  } else if (!flag_member(stage, "add_prefix_space", true, file, where)) {
    out.prepend = Metaspace::Prepend::kNever;
  }
  return out;
}

constexpr std::string_view kKnownDecoders = "ByteLevel, Metaspace, or Replace, ByteFallback, Fuse and Strip";

struct DecoderState {
  bool bytes = false, spaces = false, byte_fallback = false, fused = false;
};

void read_decoder_stage(const Json& stage, std::string_view file, DecoderState& state, TokenizerParts& parts) {
  const std::string& type = type_of(stage, file, "decoder");
  const auto once = [&](bool& flag) {
    if (std::exchange(flag, true)) unknown(file, "order of decoder", type, "each once");
  };
  const auto number = [&](std::string_view key) {
    const Json& value = require_member(stage, key, file, "decoder Strip");
    if (!value.is_integer())
      fail(ErrorCode::kBadType, "{}: '{}' of decoder Strip is of kind {}, wanted integer", file, key,
           value.kind_name());
    return value.integer();
  };
  if (type == "ByteLevel") {
    once(state.bytes);
  } else if (type == "Metaspace") {
    once(state.spaces);
    parts.strip_leading_space = read_metaspace(stage, file, "decoder Metaspace").prepend != Metaspace::Prepend::kNever;
  } else if (type == "Replace") {
    once(state.spaces);
    const std::string& from = plain_pattern(stage, file, "pattern of decoder Replace");
    const std::string& to = require_text(stage, "content", file, "decoder Replace");
    if (from != kSpaceMark || to != " " || state.byte_fallback || state.fused) {
      unknown(file, "decoder", "Replace of '" + from + "' by '" + to + "'", "U+2581 by a space, in front");
    }
  } else if (type == "ByteFallback") {
    if (state.fused) unknown(file, "order of decoder", type, "ByteFallback before Fuse");
    once(state.byte_fallback);
  } else if (type == "Fuse") {
    once(state.fused);
  } else if (type == "Strip") {
    const std::string& content = require_text(stage, "content", file, "decoder Strip");
    const int64_t start = number("start"), stop = number("stop");
    // Before Fuse it would take a space from each token.
    if (content != " " || start < 0 || start > 1 || stop != 0 || !state.fused || parts.strip_leading_space) {
      unknown(file, "decoder", stage.dump(), "Strip of one space at the start, once, after Fuse");
    }
    parts.strip_leading_space = start == 1;
  } else {
    unknown(file, "decoder", type, kKnownDecoders);
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
    const bool single = flag_member(stage, "individual_digits", false, file, "pre_tokenizer Digits");
    parts.pre_tokenizer.push_back({.kind = single ? Kind::kDigits : Kind::kDigitRuns});
  } else if (type == "ByteLevel") {
    if (flag_member(stage, "add_prefix_space", true, file, "pre_tokenizer ByteLevel")) {
      parts.pre_tokenizer.push_back({.kind = Kind::kPrefixSpace});
    }
    if (flag_member(stage, "use_regex", true, file, "pre_tokenizer ByteLevel")) {
      parts.pre_tokenizer.push_back({.kind = Kind::kPattern, .pattern = SplitPattern::kGpt2});
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
    parts.pre_tokenizer.push_back({.kind = Kind::kPattern, .pattern = *known});
    return;
  }
  parts.pre_tokenizer.push_back({.kind = Kind::kRegex, .regex = std::make_shared<const RegexSplitter>(pattern, file)});
}

void read_normalizer(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (absent(stage)) return;
  if (type_of(*stage, file, "normalizer") != "Sequence") return read_normalizer_stage(*stage, file, parts);
  for (const Json& member : sequence(*stage, "normalizers", file, "normalizer")) {
    read_normalizer_stage(member, file, parts);
  }
}

bool read_pre_tokenizer(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (absent(stage)) return false;
  if (stage->is_object() && type_of(*stage, file, "pre_tokenizer") == "Metaspace") {
    parts.metaspace = read_metaspace(*stage, file, "pre_tokenizer Metaspace");
    return false;
  }
  if (!read_pre_tokenizer_stage(*stage, file, parts, 0)) {
    unknown(file, "pre_tokenizer", "without ByteLevel", "byte-level ones and Metaspace");
  }
  if (parts.pre_tokenizer.size() > PreTokenizer::kMaxSteps) {
    fail(ErrorCode::kTooLarge, "{}: pre_tokenizer has {} steps, the cap is {}", file, parts.pre_tokenizer.size(),
         PreTokenizer::kMaxSteps);
  }
  return true;
}

void read_decoder(const Json* stage, std::string_view file, bool bytes, TokenizerParts& parts) {
  if (absent(stage)) unknown(file, "decoder", "null", kKnownDecoders);
  parts.spelling = bytes ? TokenSpelling::kBytes : TokenSpelling::kMetaspace;
  DecoderState state;
  if (type_of(*stage, file, "decoder") == "Sequence") {
    for (const Json& member : sequence(*stage, "decoders", file, "decoder"))
      read_decoder_stage(member, file, state, parts);
  } else {
    read_decoder_stage(*stage, file, state, parts);
  }
  if (state.bytes && !bytes)
    unknown(file, "pre_tokenizer", "without ByteLevel, which the decoder has", "byte-level ones");
  if (!state.bytes && bytes)
    unknown(file, "decoder", "without ByteLevel, which the pre_tokenizer has", "ByteLevel alone");
  if (state.bytes && (state.spaces || state.fused || state.byte_fallback)) {
    unknown(file, "decoder", "ByteLevel and others", "ByteLevel alone");
  }
  if (!state.bytes && !state.spaces) {
    unknown(file, "decoder", "without a Replace of U+2581 by a space", kKnownDecoders);
  }
}

void read_post_processor(const Json* stage, std::string_view file, TokenizerParts& parts) {
  if (!absent(stage)) read_post_processor_stage(*stage, file, parts, 0);
}

}  // namespace duet
