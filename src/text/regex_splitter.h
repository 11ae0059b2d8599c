#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace duet {

/// A regular expression of a tokenizer.json that Duet does not match by hand, run by PCRE2 (UTF-8, Unicode properties).
/// The expression comes with a model and is untrusted: steps, memory and looking ahead are bounded per byte of text, by
/// counts and never by time. Immutable; thread-safe.
class RegexSplitter {
 public:
  /// What one text has used up, and what was found but not handed out yet.
  struct State {
    uint64_t steps = 0, looked_at = 0;
    size_t match_end = 0;  // of the match that begins where the last piece ended; 0: none
  };

  /// Throws bad_tokenizer with the expression when it is none, unsupported_feature when it is too large.
  RegexSplitter(std::string_view pattern, std::string_view file);

  /// The ends of the next pieces of `text` (valid UTF-8) from `begin` < text.size(): matches, and what lies between
  /// them; empty matches are none. Returns how many, at least 1 unless `ends` is empty.
  /// Throws unsupported_feature when the expression takes too long for this text.
  size_t ends(std::string_view text, size_t begin, std::span<size_t> ends, State& state) const;

 private:
  struct Code;  // PCRE2's
  struct Match {
    size_t begin, end;
  };
  bool find(std::string_view text, size_t begin, State& state, void* data, void* context, Match& match) const;
  [[noreturn]] void give_up(std::string_view why) const;

  std::string pattern_, file_;
  std::shared_ptr<const Code> code_;
};

}  // namespace duet
