#include "terminal/chat_input.h"

#include <algorithm>

namespace duet {
namespace {

constexpr std::string_view kBlock = "\"\"\"", kSpace = " \t";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

/// The name in "/name rest", or "" where the line is no command.
std::string_view command_name(std::string_view line) {
  if (!line.starts_with('/')) return {};
  const std::string_view name = line.substr(1, line.find_first_of(kSpace) - 1);
  if (name == "?") return name;
  for (const char c : name) {
    if (c < 'a' || c > 'z') return {};
  }
  return name;
}

class EntryReader {
 public:
  EntryReader(LineSource& lines, std::string_view continuation_prompt) : lines_(lines), prompt_(continuation_prompt) {}

  ChatEntry read(std::string_view prompt) {
    if (!next(prompt)) return ended_;
    source_ = typed_;
    if (pasted([&](const std::string& piece) { return line_.starts_with(piece); })) return text_entry(line_);
    if (const size_t begin = line_.find_first_not_of(kSpace);
        begin != std::string::npos && std::string_view(line_).substr(begin).starts_with(kBlock)) {
      return read_block(line_.substr(begin + kBlock.size()));
    }
    if (const std::string_view name = command_name(line_); !name.empty()) {
      return {ChatEntry::Kind::kCommand, std::string(trimmed(std::string_view(line_).substr(name.size() + 1))),
              std::string(name), source_, pasted_};
    }
    std::string text;
    while (line_.ends_with('\\') && !pasted([&](const std::string& piece) { return line_.ends_with(piece); })) {
      text += line_.substr(0, line_.size() - 1) + "\n";
      if (!next(prompt_)) return ended_;
      source_ += "\n" + typed_;
    }
    return text_entry(text + line_);
  }

 private:
  ChatEntry text_entry(std::string text) const {
    return {ChatEntry::Kind::kText, std::move(text), "", source_, pasted_};
  }

  template <typename Predicate>
  bool pasted(Predicate predicate) const {
    return std::any_of(pasted_.begin(), pasted_.end(), predicate);
  }

  bool next(std::string_view prompt) {
    ReadLine line = lines_.read(prompt);
    line_ = std::move(line.text);
    typed_ = std::move(line.typed);
    pasted_.insert(pasted_.end(), line.pasted.begin(), line.pasted.end());
    if (line.kind == ReadLine::Kind::kLine) return true;
    const bool interrupted = line.kind == ReadLine::Kind::kInterrupted;
    ended_ = {interrupted ? ChatEntry::Kind::kInterrupted : ChatEntry::Kind::kEnd, source_ + line_, "", "", {}};
    return false;
  }

  /// `rest` follows the opening """. The end of the input ends the text as well.
  ChatEntry read_block(std::string rest) {
    std::string text = std::move(rest);
    bool first = text.empty();
    while (true) {
      const size_t end = text.find(kBlock);
      if (end != std::string::npos) {
        text.resize(end);
        if (text.ends_with('\n')) text.pop_back();
        return text_entry(text);
      }
      if (!next(prompt_)) {
        if (ended_.kind == ChatEntry::Kind::kInterrupted || text.empty()) return ended_;
        return text_entry(text);
      }
      source_ += "\n" + typed_;
      text += (first ? "" : "\n") + line_;
      first = false;
    }
  }

  LineSource& lines_;
  std::string_view prompt_;
  std::string line_, typed_, source_;
  std::vector<std::string> pasted_;
  ChatEntry ended_;
};

}  // namespace

ChatEntry read_chat_entry(LineSource& lines, std::string_view prompt, std::string_view continuation_prompt) {
  ChatEntry entry = EntryReader(lines, continuation_prompt).read(prompt);
  if (trimmed(entry.source).empty()) entry.source.clear();
  return entry;
}

}  // namespace duet
