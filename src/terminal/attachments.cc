#include "terminal/attachments.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

namespace duet {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;
constexpr size_t kMaxEntries = 10000;  // of a folder, looked at for a completion
constexpr std::string_view kSpace = " \t\n", kPunctuation = ".,;:!?)]}'\"";

struct Mention {
  std::string name;
  size_t end;    // behind it, in the message
  bool certain;  // quoted, or with a / or . in it: it cannot be meant as a word
};

bool is_there(std::string_view name) {
  std::error_code error;
  return !name.empty() && std::filesystem::exists(expanded_home(name), error);
}

/// What follows the @ at `at`.
Mention mention_at(std::string_view message, size_t at) {
  const size_t begin = at + 1;
  if (begin < message.size() && message[begin] == '"') {
    const size_t end = message.find('"', begin + 1);
    if (end != std::string_view::npos && message.substr(begin, end - begin).find('\n') == std::string_view::npos)
      return {std::string(message.substr(begin + 1, end - begin - 1)), end + 1, true};
  }
  const size_t space = message.find_first_of(kSpace, begin);
  std::string_view name = message.substr(begin, space == std::string_view::npos ? space : space - begin);
  std::string_view shorter = name;
  while (!is_there(shorter) && !shorter.empty() && kPunctuation.find(shorter.back()) != std::string_view::npos)
    shorter.remove_suffix(1);
  return {std::string(shorter), begin + shorter.size(), shorter.find_first_of("/.") != std::string_view::npos};
}

std::string fence_for(std::string_view text) {
  size_t longest = 2, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return std::string(longest + 1, '`');
}

std::string read_attachment(const std::string& name) {
  const std::filesystem::path path = expanded_home(name);
  const std::string shown = printable(name);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw Error(ErrorCode::kNotFound, fmt::format("@{}: there is no such file", shown),
                "write \\@ for an @ that names no file");
  }
  if (std::filesystem::is_directory(path, error)) {
    throw Error(ErrorCode::kIoError, fmt::format("@{}: is a folder", shown), "attach files, each with an @ of its own");
  }
  std::string text = read_text_file(path, kMaxFileBytes);
  if (text.find('\0') != std::string::npos) fail(ErrorCode::kBadString, "@{}: is binary, not text", shown);
  if (!is_valid_utf8(text)) fail(ErrorCode::kBadString, "@{}: is not UTF-8", shown);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

}  // namespace

std::filesystem::path expanded_home(std::string_view name) {
  const char* home = std::getenv("HOME");
  if (name.starts_with("~/") && home != nullptr) return std::filesystem::path(home) / name.substr(2);
  return name;
}

Attached attach_files(std::string_view message, const std::vector<std::string>& pasted) {
  Attached attached;
  std::string blocks;
  bool word_begins = true;
  for (size_t at = 0; at < message.size();) {
    const std::string_view rest = message.substr(at);
    const auto piece = std::find_if(pasted.begin(), pasted.end(),
                                    [&](const std::string& p) { return !p.empty() && rest.starts_with(p); });
    if (piece != pasted.end()) {
      attached.text += *piece;
      at += piece->size();
      word_begins = kSpace.find(piece->back()) != std::string_view::npos;
      continue;
    }
    if (word_begins && rest.starts_with("\\@")) {
      attached.text += '@';
      at += 2;
      word_begins = false;
      continue;
    }
    if (word_begins && rest.front() == '@') {
      const Mention mention = mention_at(message, at);
      const bool known = std::any_of(attached.files.begin(), attached.files.end(),
                                     [&](const Attached::File& file) { return file.name == mention.name; });
      if (!mention.name.empty() && !known && (mention.certain || is_there(mention.name))) {
        const std::string text = read_attachment(mention.name);
        const std::string fence = fence_for(text);
        std::string language = std::filesystem::path(mention.name).extension().string();
        if (!language.empty()) language.erase(0, 1);
        const bool ended = text.empty() || text.ends_with('\n');
        blocks +=
            fmt::format("\n\nFile {}:\n{}{}\n{}{}{}", mention.name, fence, language, text, ended ? "" : "\n", fence);
        attached.files.push_back({mention.name, std::count(text.begin(), text.end(), '\n') + (ended ? 0 : 1)});
      }
      attached.text += message.substr(at, mention.end - at);
      at = mention.end;
      word_begins = false;
      continue;
    }
    word_begins = kSpace.find(rest.front()) != std::string_view::npos || rest.front() == '(';
    attached.text += rest.front();
    ++at;
  }
  attached.text += blocks;
  return attached;
}

std::vector<std::string> complete_path(std::string_view partial) {
  const size_t slash = partial.rfind('/');
  const std::string folder(partial.substr(0, slash == std::string_view::npos ? 0 : slash + 1));
  const std::string_view base = partial.substr(folder.size());
  std::error_code error;
  std::filesystem::directory_iterator entries(folder.empty() ? std::filesystem::path(".") : expanded_home(folder),
                                              error);
  std::vector<std::string> found;
  for (size_t seen = 0; !error && entries != std::filesystem::directory_iterator() && seen < kMaxEntries;
       entries.increment(error), ++seen) {
    const std::string name = entries->path().filename().string();
    if (!name.starts_with(base) || (name.front() == '.' && base.empty())) continue;
    std::error_code unknown;
    found.push_back(folder + name + (entries->is_directory(unknown) ? "/" : ""));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace duet
