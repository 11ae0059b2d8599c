#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "tests/corpus.h"
#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace duet {
namespace {

using test::CorpusCase;

/// Cases of sound structure whose fault lies in what the model, its tokenizer or a run makes of them: here they must
/// open.
bool is_judged_above(const CorpusCase& c) {
  if (c.command != "inspect") return true;
  constexpr std::array kPrefixes = {
      "gguf/hparam_", "gguf/experts_", "gguf/no_",        "gguf/arch_",     "gguf/missing_",       "gguf/extra_",
      "gguf/shape_",  "gguf/vocab_",   "gguf/matrix_i32", "gguf/norm_q8_0", "gguf/n_tensors_zero", "config/"};
  if (c.name.starts_with("config/json_") || c.name == "gguf/vocab_token_2_mib.gguf") return false;
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](const char* prefix) { return c.name.starts_with(prefix); });
}

void open_prefix(const CorpusCase& c, std::string_view bytes) {
  const auto source = memory_source(c.path.filename().string(), test::as_bytes(bytes));
  if (c.name.ends_with(".gguf")) {
    parse_gguf(*source);
  } else {
    parse_safetensors(*source);
  }
}

TEST(Malformed, EveryFaultOfStructureGivesItsCode) {
  DUET_SKIP_WITHOUT_ASSETS("oracle/malformed.py");
  int64_t judged = 0;
  int64_t opened = 0;
  for (const CorpusCase& c : test::corpus()) {
    if (is_judged_above(c)) {
      if (c.command == "tokenize" || c.command == "template") continue;  // folders without a checkpoint
      const auto outcome = test::outcome_of([&] { Checkpoint::open(c.path, {.config = true}); });
      EXPECT_EQ(outcome.code, "ok") << c.name << ": " << outcome.message;
      ++opened;
    } else if (c.truncate) {
      const std::string bytes = test::corpus_bytes(c);
      EXPECT_EQ(test::judge(c, test::outcome_of([&] { open_prefix(c, bytes); })), "");
      ++judged;
    } else {
      EXPECT_EQ(test::judge(c, test::outcome_of([&] { Checkpoint::open(c.path, {.config = true}); })), "");
      ++judged;
    }
  }
  EXPECT_GT(judged, 150);
  EXPECT_GT(opened, 100);
}

TEST(Malformed, EveryPrefixFails) {
  DUET_SKIP_WITHOUT_ASSETS("oracle/malformed.py");
  constexpr std::array kAllowed = {"bad_magic", "truncated", "count_exceeds_file", "bad_offset", "bad_string"};
  constexpr std::array kAllowedSafetensors = {"bad_json", "too_large"};
  int64_t files = 0;
  for (const CorpusCase& c : test::corpus()) {
    if (!c.every_prefix) continue;
    ++files;
    const std::string bytes = test::corpus_bytes(c);
    const bool gguf = c.name.ends_with(".gguf");
    size_t whole = bytes.size();
    if (gguf) {  // the padding behind the last tensor may be absent
      const GgufFile file = parse_gguf(*memory_source("x", test::as_bytes(bytes)));
      whole = 0;
      for (const GgufTensor& tensor : file.tensors) whole = std::max<size_t>(whole, tensor.offset + tensor.bytes);
    }
    // 7 has no factor in common with the sizes of fields: every kind of field is cut at every place.
    for (size_t n = 0; n < bytes.size(); n += test::kSanitized ? 7 : 1) {
      // A copy of its own, so that the sanitizer sees a read behind the end.
      const std::vector<char> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
      const auto outcome = test::outcome_of([&] { open_prefix(c, {prefix.data(), prefix.size()}); });
      const bool allowed =
          n >= whole
              ? outcome.code == "ok"
              : std::count(kAllowed.begin(), kAllowed.end(), outcome.code) != 0 ||
                    (!gguf && std::count(kAllowedSafetensors.begin(), kAllowedSafetensors.end(), outcome.code) != 0);
      ASSERT_TRUE(allowed) << c.name << ", first " << n << " bytes: " << outcome.code << ": " << outcome.message;
    }
  }
  EXPECT_EQ(files, 2);
}

}  // namespace
}  // namespace duet
