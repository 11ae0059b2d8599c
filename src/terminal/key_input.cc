#include "terminal/key_input.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/progress.h"
#include "base/utf8.h"

namespace duet {
namespace {

constexpr std::string_view kPasteBegin = "\x1b[200~", kPasteEnd = "\x1b[201~";

/// Pasted bytes as text: line ends are \n; ESC and NUL, which are commands to a terminal and no text, are left out.
std::string pasted_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\x1b' || c == '\0') continue;
    if (c == '\n' && i > 0 && bytes[i - 1] == '\r') continue;
    text += c == '\r' ? '\n' : c;
  }
  return replace_invalid_utf8(text);
}

}  // namespace

/// Removes `mark` from the front if it is there.
bool KeyInput::take(std::string_view mark) {
  if (!std::string_view(bytes_).starts_with(mark)) return false;
  bytes_.erase(0, mark.size());
  return true;
}

/// Moves what has come of a paste out of the bytes. False: its end has not come.
bool KeyInput::take_paste() {
  const size_t end = bytes_.find(kPasteEnd);
  if (end != std::string::npos) {
    paste_.append(bytes_, 0, end);
    bytes_.erase(0, end + kPasteEnd.size());
    end_paste();
    return true;
  }
  size_t kept = std::min(bytes_.size(), kPasteEnd.size() - 1);  // the end's mark may come in two reads
  while (kept > 0 && !kPasteEnd.starts_with(std::string_view(bytes_).substr(bytes_.size() - kept))) --kept;
  paste_.append(bytes_, 0, bytes_.size() - kept);
  bytes_.erase(0, bytes_.size() - kept);
  return false;
}

void KeyInput::end_paste() {
  const std::string text = pasted_text(paste_);
  const bool wanted = in_paste_ && !dropping_;
  paste_.clear();
  in_paste_ = dropping_ = false;
  if (!wanted) return;
  if (text.find('\n') != std::string::npos) pasted_.push_back(text);
  insert(text);
}

void KeyInput::interrupt() {
  ready_.clear();
  bytes_.clear();
  paste_.clear();
  pasted_.clear();
  dropping_ = in_paste_;
}

void KeyInput::insert(std::string_view text) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::string shown(text);
  if (text.size() > kLargeBytes || lines > kLargeLines) {
    shown = fmt::format("[pasted #{}: {}, {} line{}]", stand_ins_.size() + 1, human_bytes(text.size()), lines,
                        lines == 1 ? "" : "s");
    stand_ins_.emplace_back(shown, text);
  }
  for (std::string_view rest = shown; !rest.empty();) {
    const Utf8Step step = decode_utf8(rest);
    const bool line_end = step.code == '\n';
    if (!line_end && (step.code < 0x20 || step.code == 0x7f)) ready_.push_back(kQuote);
    ready_.push_back(line_end ? kNewLine : step.code);
    rest.remove_prefix(static_cast<size_t>(step.length));
  }
}

std::optional<char32_t> KeyInput::next() {
  while (ready_.empty()) {
    if (in_paste_) {
      if (!take_paste()) return std::nullopt;
      continue;
    }
    if (bytes_.empty()) return std::nullopt;
    if (take(kPasteBegin)) {
      in_paste_ = true;
      continue;
    }
    // The mark may come in two reads. Longer than ESC alone, it can be no key that a person has finished.
    if (bytes_.size() >= 3 && bytes_.size() < kPasteBegin.size() && kPasteBegin.starts_with(bytes_))
      return std::nullopt;
    const Utf8Step step = decode_utf8(bytes_);
    if (step.incomplete) return std::nullopt;
    bytes_.erase(0, static_cast<size_t>(step.length));
    ready_.push_back(step.code);
  }
  const char32_t code = ready_.front();
  ready_.pop_front();
  return code;
}

std::string KeyInput::expand(std::string_view line) const {
  std::string out;
  while (!line.empty()) {
    const auto found = std::find_if(stand_ins_.begin(), stand_ins_.end(),
                                    [&](const auto& stand_in) { return line.starts_with(stand_in.first); });
    const size_t used = found == stand_ins_.end() ? 1 : found->first.size();
    out += found == stand_ins_.end() ? line.substr(0, 1) : std::string_view(found->second);
    line.remove_prefix(used);
  }
  return out;
}

bool KeyInput::has_stand_in(std::string_view line) const {
  return std::any_of(stand_ins_.begin(), stand_ins_.end(),
                     [&](const auto& stand_in) { return line.find(stand_in.first) != std::string_view::npos; });
}

std::vector<std::string> KeyInput::take_pasted(std::string_view line) {
  std::vector<std::string> pasted = std::move(pasted_);
  pasted_.clear();
  for (const auto& [shown, text] : stand_ins_) {
    if (line.find(shown) != std::string_view::npos && text.find('\n') != std::string::npos) pasted.push_back(text);
  }
  return pasted;
}

}  // namespace duet
