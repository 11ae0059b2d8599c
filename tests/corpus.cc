#include "tests/corpus.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "tests/support.h"

namespace duet::test {
namespace {

std::vector<std::string> words(const Json* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  for (const Json& word : list->array()) out.push_back(word.string());
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::vector<CorpusCase> write_corpus() {
  const auto script = assets("oracle/malformed.py");
  if (script.empty()) return {};
  const auto folder = temporary_folder() / "corpus";
  const std::string command = fmt::format("python3 '{}' --out '{}' > /dev/null", script.string(), folder.string());
  if (std::system(command.c_str()) != 0) fail(ErrorCode::kIoError, "failed: {}", command);
  const auto manifest = folder / "manifest.json";
  const Json entries = parse_json(read_text_file(manifest, 16 << 20), "manifest.json");
  std::vector<CorpusCase> cases;
  for (const Json& entry : entries.array()) {
    CorpusCase c;
    c.name = entry.find("path")->string();
    c.path = folder / c.name;
    c.command = entry.find("command")->string();
    c.code = entry.find("code")->string();
    c.also = words(entry.find("also"));
    c.names = words(entry.find("names"));
    if (const Json* output = entry.find("output")) c.output = output->string();
    if (const Json* cut = entry.find("truncate")) {
      if (cut->is_integer()) c.truncate = cut->integer();
      c.every_prefix = cut->is_string();
    }
    if (const Json* args = entry.find("args")) c.args = *args;
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace

const std::vector<CorpusCase>& corpus() {
  static const std::vector<CorpusCase> cases = write_corpus();
  return cases;
}

std::string corpus_bytes(const CorpusCase& c) {
  std::string bytes = read_text_file(c.path, uint64_t{1} << 30);
  if (c.truncate) bytes.resize(static_cast<size_t>(*c.truncate));
  return bytes;
}

Outcome outcome_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return {std::string(error_code_name(error.code())), error.message()};
  }
  return {};
}

std::string judge(const CorpusCase& c, const Outcome& outcome) {
  const bool is_first = outcome.code == c.code;
  if (!is_first && std::find(c.also.begin(), c.also.end(), outcome.code) == c.also.end()) {
    return fmt::format("{} {}: gave {}, expected {}: {}", c.command, c.name, outcome.code, c.code, outcome.message);
  }
  if (!is_first || outcome.code == "ok") return {};
  for (const std::string& word : c.names) {
    if (lower(outcome.message).find(lower(word)) == std::string::npos) {
      return fmt::format("{} {}: the message does not name '{}': {}", c.command, c.name, word, outcome.message);
    }
  }
  return {};
}

}  // namespace duet::test
