#include "chat/stand_ins.h"

#include <fmt/core.h>

#include <set>

#include "base/error.h"
#include "base/utf8.h"

namespace duet {
namespace {

/// Supplementary Private Use Area-A.
constexpr char32_t kPrivateBegin = 0xf0000, kPrivateEnd = 0xffffd;
constexpr char32_t kDigits = 10;

/// Messages come from outside; what a template renders is bounded elsewhere, this walk by the same depth as its parse.
constexpr int kMaxDepth = 128;

void collect_private(std::string_view text, std::set<char32_t>& used) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (step.code >= kPrivateBegin && step.code <= kPrivateEnd) used.insert(step.code);
    text.remove_prefix(static_cast<size_t>(step.length));
  }
}

void collect_private(const Json& value, std::set<char32_t>& used, int depth) {
  if (depth > kMaxDepth) fail(ErrorCode::kTooDeep, "messages are nested more than {} deep", kMaxDepth);
  if (value.is_string()) return collect_private(value.string(), used);
  if (value.is_array()) {
    for (const Json& item : value.array()) collect_private(item, used, depth + 1);
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.object()) {
      collect_private(key, used);
      collect_private(item, used, depth + 1);
    }
  }
}

[[noreturn]] void fail_changed() {
  fail(ErrorCode::kTemplateError, "the chat template cuts or changes text of a message that spells a special token");
}

/// The number that private-use digits spell, or -1.
size_t number(std::string_view digits) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t value = 0;
  if (digits.empty() || digits.size() > 9 * 4) return kNone;
  while (!digits.empty()) {
    const Utf8Step step = decode_utf8(digits);
    if (step.code < kPrivateBegin || step.code >= kPrivateBegin + kDigits) return kNone;
    value = value * 10 + (step.code - kPrivateBegin);
    digits.remove_prefix(static_cast<size_t>(step.length));
  }
  return value;
}

}  // namespace

StandIns::StandIns(const Json& texts) {
  std::set<char32_t> used;
  collect_private(texts, used, 0);
  char32_t mark = kPrivateBegin + kDigits;  // the digits themselves may occur in texts: only the mark is looked for
  while (used.contains(mark) && mark < kPrivateEnd) ++mark;
  if (used.contains(mark)) fail(ErrorCode::kBadValue, "the messages use every character of a private area");
  append_utf8(mark_, mark);
  const auto offset = static_cast<uint32_t>(mark) - 0x10000;
  escaped_mark_ = fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (offset >> 10), 0xdc00 + (offset & 0x3ff));
}

Json StandIns::hide_messages(const Json& messages, const Tokenizer& tokenizer) {
  if (!messages.is_array()) return hide(messages, tokenizer);
  Json::Array out;
  for (const Json& message : messages.array()) {
    const Json* role = message.find("role");
    const bool assistant = role != nullptr && role->is_string() && role->string() == "assistant";
    out.push_back(hide(message, tokenizer, assistant ? Keep::kOrdinary : Keep::kNothing));
  }
  return out;
}

Json StandIns::hide(const Json& value, const Tokenizer& tokenizer, Keep keep) {
  if (value.is_string()) return hide_text(value.string(), tokenizer, keep);
  if (value.is_array()) {
    Json::Array out;
    for (const Json& item : value.array()) out.push_back(hide(item, tokenizer, keep));
    return out;
  }
  if (value.is_object()) {
    Json::Object out;
    for (const auto& [key, item] : value.object()) {
      out.emplace_back(hide_text(key, tokenizer, keep), hide(item, tokenizer, keep));
    }
    return out;
  }
  return value;
}

std::string StandIns::hide_text(std::string_view text, const Tokenizer& tokenizer, Keep keep) {
  const std::string content = replace_invalid_utf8(text);
  std::string out;
  size_t done = 0;
  for (const AddedTokenMatch& match : tokenizer.find_added(content)) {
    if (keep == Keep::kOrdinary && !tokenizer.is_special(match.id)) continue;
    out += content.substr(done, match.span.begin - done);
    out += mark_;
    for (const char digit : std::to_string(hidden_.size())) {
      append_utf8(out, kPrivateBegin + static_cast<char32_t>(digit - '0'));
    }
    out += mark_;
    hidden_.push_back(content.substr(match.span.begin, match.span.end - match.span.begin));
    done = match.span.end;
  }
  return out + content.substr(done);
}

std::string StandIns::reveal(std::string_view rendered, std::vector<TextSpan>& spans) const {
  // tojson(ensure_ascii=true) would spell a stand-in with escapes, which nothing could put back.
  if (!hidden_.empty() && rendered.find(escaped_mark_) != std::string_view::npos) fail_changed();
  std::string out;
  while (true) {
    const size_t begin = rendered.find(mark_);
    out += rendered.substr(0, begin);
    if (begin == std::string_view::npos) return out;
    rendered.remove_prefix(begin + mark_.size());
    const size_t end = rendered.find(mark_);
    const size_t index = number(rendered.substr(0, end));
    if (end == std::string_view::npos || index >= hidden_.size()) fail_changed();
    spans.push_back({out.size(), out.size() + hidden_[index].size()});
    out += hidden_[index];
    rendered.remove_prefix(end + mark_.size());
  }
}

}  // namespace duet
