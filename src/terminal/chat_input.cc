#include "terminal/chat_input.h"

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
    source_ = line_;
    if (const size_t begin = line_.find_first_not_of(kSpace);
        begin != std::string::npos && std::string_view(line_).substr(begin).starts_with(kBlock)) {
      return read_block(line_.substr(begin + kBlock.size()));
    }
    if (const std::string_view name = command_name(line_); !name.empty()) {
      return {ChatEntry::Kind::kCommand, std::string(trimmed(std::string_view(line_).substr(name.size() + 1))),
              std::string(name), source_};
    }
    std::string text;
    while (line_.ends_with('\\')) {
      text += line_.substr(0, line_.size() - 1) + "\n";
      if (!next(prompt_)) return ended_;
      source_ += "\n" + line_;
    }
    text += line_;
    return {ChatEntry::Kind::kText, text, "", source_};
  }

 private:
  bool next(std::string_view prompt) {
    ReadLine line = lines_.read(prompt);
    line_ = std::move(line.text);
    if (line.kind == ReadLine::Kind::kLine) return true;
    const bool interrupted = line.kind == ReadLine::Kind::kInterrupted;
    ended_ = {interrupted ? ChatEntry::Kind::kInterrupted : ChatEntry::Kind::kEnd, source_ + line_, "", ""};
    return false;
  }

  /// `rest` follows the opening """. The end of the input ends the text as well.
  ChatEntry read_block(std::string rest) {
    std::string text = rest;
    bool first = rest.empty();
    while (true) {
      const size_t end = text.find(kBlock);
      if (end != std::string::npos) {
        text.resize(end);
        if (text.ends_with('\n')) text.pop_back();
        return {ChatEntry::Kind::kText, text, "", source_};
      }
      if (!next(prompt_)) {
        if (ended_.kind == ChatEntry::Kind::kInterrupted || text.empty()) return ended_;
        return {ChatEntry::Kind::kText, text, "", source_};
      }
      source_ += "\n" + line_;
      text += (first ? "" : "\n") + line_;
      first = false;
    }
  }

  LineSource& lines_;
  std::string_view prompt_;
  std::string line_, source_;
  ChatEntry ended_;
};

}  // namespace

ChatEntry read_chat_entry(LineSource& lines, std::string_view prompt, std::string_view continuation_prompt) {
  ChatEntry entry = EntryReader(lines, continuation_prompt).read(prompt);
  if (trimmed(entry.source).empty()) entry.source.clear();
  return entry;
}

}  // namespace duet
