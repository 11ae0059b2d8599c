#include "text/regex_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "base/error.h"

namespace duet {
namespace {

// Bounds. Real patterns take about ten steps a byte and look at each byte a few times; what an expression does between
// two steps is to walk over characters, at most a window's.
constexpr uint32_t kMatchLimit = 1'000'000;    // PCRE2's own count, per match
constexpr uint32_t kHeapLimitKib = 64 * 1024;  // for places to come back to
constexpr size_t kMaxPatternBytes = 64 * 1024;
constexpr uint32_t kMaxParentheses = 100;
constexpr uint64_t kFreeSteps = 1 << 20, kStepsPerByte = 256;
constexpr uint64_t kFreeBytes = 1 << 20, kLooksPerByte = 64;
constexpr int kFirstWindow = 8;  // 256 bytes

struct Steps {
  uint64_t taken;
  uint64_t limit;
};

int count_step(pcre2_callout_block*, void* data) {
  auto& steps = *static_cast<Steps*>(data);
  return ++steps.taken > steps.limit ? PCRE2_ERROR_CALLOUT : 0;
}

struct FreeData {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
struct FreeContext {
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

}  // namespace

struct RegexSplitter::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
  pcre2_code* code;
};

RegexSplitter::RegexSplitter(std::string_view pattern, std::string_view file) : pattern_(pattern), file_(file) {
  if (pattern.size() > kMaxPatternBytes) {
    fail(ErrorCode::kUnsupportedFeature, "{}: a pattern of the pre_tokenizer has {} bytes, the cap is {}: '{}'", file,
         pattern.size(), kMaxPatternBytes, printable(pattern));
  }
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_parens_nest_limit(context, kMaxParentheses);
  int fault = 0;
  PCRE2_SIZE offset = 0;
  // Every item calls back, so that steps can be counted over the whole text; nothing is made possessive behind our
  // back, because what walks on without coming back is not counted. (*...) at the beginning could lift limits.
  pcre2_code* code =
      pattern.starts_with("(*")
          ? nullptr
          : pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_UCP | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_POSSESS,
                          &fault, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    PCRE2_UCHAR reason[256] = "it begins with a verb";
    if (fault != 0) pcre2_get_error_message(fault, reason, sizeof reason);
    fail(ErrorCode::kBadTokenizer, "{}: '{}' is no regular expression that can be used: {} (byte {})", file,
         printable(pattern), reinterpret_cast<const char*>(reason), offset);
  }
  code_ = std::make_shared<const Code>(code);
}

void RegexSplitter::give_up(std::string_view why) const {
  fail(ErrorCode::kUnsupportedFeature, "{}: the pattern '{}' of the pre_tokenizer {} on this text", file_,
       printable(pattern_), why);
}

/// Looks for the next match that is not empty, through a window. An attempt that wants to see more is made again,
/// alone, through a larger one: so what all attempts look at can be counted.
bool RegexSplitter::find(std::string_view text, size_t begin, State& state, void* data, void* context,
                         Match& match) const {
  auto* match_data = static_cast<pcre2_match_data*>(data);
  auto* match_context = static_cast<pcre2_match_context*>(context);
  Steps steps{state.steps, kFreeSteps + kStepsPerByte * text.size()};
  pcre2_set_callout(match_context, count_step, &steps);
  const auto character_end = [&](size_t at) {
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    return at;
  };
  int window = kFirstWindow;
  for (size_t from = begin; from < text.size();) {
    const bool alone = window > kFirstWindow;
    const size_t end =
        text.size() - from > size_t{1} << window ? character_end(from + (size_t{1} << window)) : text.size();
    state.looked_at += end - from;
    if (state.looked_at > kFreeBytes + kLooksPerByte * text.size()) give_up("looks ahead too far");
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | (end < text.size() ? PCRE2_PARTIAL_HARD : 0) |
                             (alone ? PCRE2_ANCHORED : 0);
    const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), end, from, options,
                                  match_data, match_context);
    state.steps = steps.taken;
    const PCRE2_SIZE* places = pcre2_get_ovector_pointer(match_data);
    if (found >= 0) {
      match = {places[0], places[1]};
      if (match.begin < from || match.end <= match.begin) give_up("finds a match outside its place");  // \K
      return true;
    }
    if (found == PCRE2_ERROR_PARTIAL) {
      from = std::max(from, places[0]);  // nothing before it matches
      window += 2;
    } else if (found == PCRE2_ERROR_NOMATCH) {
      from = alone ? character_end(from + 1) : end;
      window = kFirstWindow;
    } else {
      give_up(found == PCRE2_ERROR_HEAPLIMIT ? "takes too much memory" : "takes too many steps");
    }
  }
  return false;
}

size_t RegexSplitter::ends(std::string_view text, size_t begin, std::span<size_t> ends, State& state) const {
  const std::unique_ptr<pcre2_match_data, FreeData> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  size_t count = 0;
  while (count < ends.size() && begin < text.size()) {
    size_t end = state.match_end;
    state.match_end = 0;
    if (end == 0) {
      Match match{text.size(), text.size()};
      find(text, begin, state, data.get(), context.get(), match);
      end = match.end;
      if (match.begin > begin) {
        end = match.begin;
        state.match_end = match.end > match.begin ? match.end : 0;
      }
    }
    ends[count++] = begin = end;
  }
  return count;
}

}  // namespace duet
