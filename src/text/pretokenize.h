#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace duet {

/// The patterns that Duet matches by hand; each is a regular expression whose matches cover any text without gaps.
enum class SplitPattern { kGpt2, kLlama3, kQwen2, kQwen35, kLlama4 };

/// The regular expression as it stands in tokenizer.json.
std::string_view split_pattern_text(SplitPattern pattern);
std::optional<SplitPattern> split_pattern_from_text(std::string_view text);

/// End of the match that starts at `begin` < text.size(). `text` is valid UTF-8.
/// Linear over the whole text: a run of white space is looked at no more than twice.
size_t match_end(SplitPattern pattern, std::string_view text, size_t begin);

/// Cuts text into the pieces that merges stay inside of. Steps run one after the other, each inside the pieces of the
/// former.
class PreTokenizer {
 public:
  enum class Kind {
    kPattern,      // each match of `pattern` is a piece
    kDigits,       // each \p{N} is a piece, and what lies between
    kDigitRuns,    // each run of \p{N} is a piece, and what lies between
    kPrefixSpace,  // a piece that does not start with a space gets one
  };
  struct Step {
    Kind kind;
    SplitPattern pattern = SplitPattern::kGpt2;
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
  static size_t piece_end(const Step& step, std::string_view text, size_t begin);

  template <typename Sink>
  void run(size_t step, std::string_view text, Sink& sink) const {
    if (text.empty()) return;
    if (step == steps_.size()) {
      sink(text);
    } else if (steps_[step].kind == Kind::kPrefixSpace) {
      if (text.front() == ' ') return run(step + 1, text, sink);
      run(step + 1, " " + std::string(text), sink);
    } else {
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = piece_end(steps_[step], text, begin);
        run(step + 1, text.substr(begin, end - begin), sink);
        begin = end;
      }
    }
  }

  std::vector<Step> steps_;
};

}  // namespace duet
