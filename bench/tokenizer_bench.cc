// Speed of the tokenizers: one load and one encode per process, so that nothing is warm.
//   tokenizer_bench MODEL FILE [--special]     one JSON line: load_ms, bytes, seconds, tokens, crc of the ids
//   tokenizer_bench MODEL --hostile [MB]       seconds for MB and twice as much of texts that ruin quadratic code
// MODEL is a GGUF file or a folder with a tokenizer. bench/tokenizer_bench.py runs it beside other libraries.
#include <fmt/core.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "formats/checkpoint.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

/// Processor seconds of this process, which has one thread: neighbours on a shared machine count less.
double now() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// FNV-1a of the ids as 32-bit little-endian numbers: what the other libraries' answers are compared by.
uint64_t hash_of(const std::vector<TokenId>& ids) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const TokenId id : ids) hash = (hash ^ static_cast<uint32_t>(to_int(id))) * 0x100000001b3ULL;
  return hash;
}

std::string repeat(std::string_view unit, size_t bytes) {
  std::string out;
  out.reserve(bytes + unit.size());
  while (out.size() < bytes) out += unit;
  return out;
}

void hostile(const Tokenizer& tokenizer, size_t megabytes) {
  struct Text {
    const char *name, *unit;
  };
  static constexpr Text kTexts[] = {{"one letter", "a"},
                                    {"spaces", " "},
                                    {"digits", "7"},
                                    {"alternating marks", "\u0301\u0323"},
                                    {"newline and space", "\n "},
                                    {"punctuation", "!"},
                                    {"beginnings of added tokens", "<|im_start|"},
                                    {"cut emoji", "\xf0\x9f\x98"},
                                    {"Han and Latin", "\u4e2dA"},
                                    {"Hangul jamo", "\u1100\u1161\u11a8"}};
  for (const Text& text : kTexts) {
    double seconds[2];
    for (size_t twice = 0; twice < 2; ++twice) {
      const std::string input = repeat(text.unit, (megabytes << 20) << twice);
      const double begin = now();
      const std::vector<TokenId> ids = tokenizer.encode(input, {.parse_special = true});
      seconds[twice] = now() - begin;
      if (ids.empty()) fail(ErrorCode::kBadValue, "{}: no ids", text.name);
    }
    fmt::print("{:28} {} MB {:.2f} s, {} MB {:.2f} s, ratio {:.2f}\n", text.name, megabytes, seconds[0], megabytes * 2,
               seconds[1], seconds[1] / seconds[0]);
  }
}

int run(int count, char** arguments) {
  if (count < 3) fail(ErrorCode::kUsageError, "tokenizer_bench MODEL FILE [--special] | MODEL --hostile [MB]");
  const double begin = now();
  const auto tokenizer = load_tokenizer(Checkpoint::open(arguments[1]));
  const double load = now() - begin;
  if (std::strcmp(arguments[2], "--hostile") == 0) {
    hostile(*tokenizer, count > 3 ? static_cast<size_t>(std::atoi(arguments[3])) : 10);
    return 0;
  }
  const bool special = count > 3 && std::strcmp(arguments[3], "--special") == 0;
  const std::string text = read_text_file(arguments[2], uint64_t{1} << 32);
  const double encode_begin = now();
  const std::vector<TokenId> ids = tokenizer->encode(text, {.parse_special = special});
  const double seconds = now() - encode_begin;
  fmt::print(R"({{"load_ms":{:.1f},"bytes":{},"seconds":{:.4f},"tokens":{},"hash":"{:016x}"}})"
             "\n",
             load * 1000, text.size(), seconds, ids.size(), hash_of(ids));
  return 0;
}

}  // namespace
}  // namespace duet

int main(int count, char** arguments) {
  try {
    return duet::run(count, arguments);
  } catch (const duet::Error& error) {
    fmt::print(stderr, "tokenizer_bench: {}\n", error.message());
    return error.exit_status();
  }
}
