#include "terminal/key_input.h"

#include <unistd.h>

#include "base/utf8.h"
#include "terminal/output.h"

namespace duet {
namespace {

constexpr std::string_view kPasteBegin = "\x1b[200~", kPasteEnd = "\x1b[201~";

}  // namespace

void KeyInput::set_pasting(bool on) const {
  const Output output(STDOUT_FILENO);
  if (output.is_terminal()) output.write(on ? "\x1b[?2004h" : "\x1b[?2004l");
}

/// Removes `mark` from the front if it is there.
bool KeyInput::take(std::string_view mark) {
  if (!std::string_view(bytes_).starts_with(mark)) return false;
  bytes_.erase(0, mark.size());
  return true;
}

std::optional<char32_t> KeyInput::next() {
  while (ready_.empty()) {
    if (bytes_.empty()) return std::nullopt;
    if (!in_paste_ && take(kPasteBegin)) {
      in_paste_ = true;
      after_return_ = false;
      continue;
    }
    if (in_paste_ && take(kPasteEnd)) {
      in_paste_ = false;
      continue;
    }
    // A mark may come in two reads. Longer than ESC alone, it can be no key that a person has finished.
    const std::string_view mark = in_paste_ ? kPasteEnd : kPasteBegin;
    if (bytes_.size() >= (in_paste_ ? 1 : 3) && bytes_.size() < mark.size() && mark.starts_with(bytes_))
      return std::nullopt;
    const Utf8Step step = decode_utf8(bytes_);
    if (step.incomplete) return std::nullopt;
    bytes_.erase(0, static_cast<size_t>(step.length));
    if (!in_paste_) {
      ready_.push_back(step.code);
      continue;
    }
    const bool second_half = after_return_ && step.code == '\n';
    after_return_ = step.code == '\r';
    if (second_half) continue;
    if (step.code == 0x1b || step.code == 0) continue;  // pasted commands to a terminal are not text
    const char32_t code = step.code == '\r' ? U'\n' : step.code;
    if (code < 0x20 || code == 0x7f) ready_.push_back(kQuote);
    ready_.push_back(code);
  }
  const char32_t code = ready_.front();
  ready_.pop_front();
  return code;
}

}  // namespace duet
