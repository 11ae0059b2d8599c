#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex_splitter.h"

namespace duet {

/// The patterns that Duet matches by hand; each is a regular expression whose matches cover any text without gaps.
enum class SplitPattern { kGpt2, kLlama3, kQwen2, kQwen35, kLlama4 };

/// The regular expression as it stands in tokenizer.json.
std::string_view split_pattern_text(SplitPattern pattern);
std::optional<SplitPattern> split_pattern_from_text(std::string_view text);

/// End of the match that starts at `begin` < text.size(). `text` is valid UTF-8.
/// Linear over the whole text: a run of white space is looked at no more than twice.
size_t match_end(SplitPattern pattern, std::string_view text, size_t begin);
/// The ends of the next matches, as many as there are and as `ends` holds; returns how many.
size_t match_ends(SplitPattern pattern, std::string_view text, size_t begin, std::span<size_t> ends);

/// Cuts text into the pieces that merges stay inside of. Steps run one after the other, each inside the pieces of the
/// former.
class PreTokenizer {
 public:
  enum class Kind {
    kPattern,      // each match of `pattern` is a piece
    kRegex,        // each match of `regex` is a piece, and what lies between
    kDigits,       // each \p{N} is a piece, and what lies between
    kDigitRuns,    // each run of \p{N} is a piece, and what lies between
    kPrefixSpace,  // a piece that does not start with a space gets one
  };
  struct Step {
    Kind kind;
    SplitPattern pattern = SplitPattern::kGpt2;
    std::shared_ptr<const RegexSplitter> regex = nullptr;
  };
  static constexpr size_t kMaxSteps = 8;

  /// At most kMaxSteps steps.
  explicit PreTokenizer(std::vector<Step> steps) : steps_(std::move(steps)) {}

  /// Calls sink(piece) for each piece in order; a piece is valid during the call only. `text` is valid UTF-8.
  template <typename Sink>
  void split(std::string_view text, Sink&& sink) const {
    run(0, text, sink);
  }

 private:
  /// One step on one text.
  struct Run {
    const Step& step;
    std::string_view text;
    RegexSplitter::State regex_state = {};
    /// The ends of the next pieces; returns how many.
    size_t ends(size_t begin, std::span<size_t> out);
  };

  template <typename Sink>
  void run(size_t step, std::string_view text, Sink& sink) const {
    if (text.empty()) return;
    if (step == steps_.size()) {
      sink(text);
    } else if (steps_[step].kind == Kind::kPrefixSpace) {
      if (text.front() == ' ') return run(step + 1, text, sink);
      run(step + 1, " " + std::string(text), sink);
    } else {
      Run pieces{steps_[step], text};
      size_t ends[64];
      for (size_t begin = 0; begin < text.size();) {
        const size_t count = pieces.ends(begin, ends);
        for (size_t i = 0; i < count; ++i) {
          run(step + 1, text.substr(begin, ends[i] - begin), sink);
          begin = ends[i];
        }
      }
    }
  }

  std::vector<Step> steps_;
};

}  // namespace duet
