#include <gtest/gtest.h>

#include "formats/checkpoint.h"
#include "tests/corpus.h"
#include "tests/support.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

TEST(MalformedTokenizers, EveryFaultGivesItsCode) {
  DUET_SKIP_WITHOUT_ASSETS("oracle/malformed.py");
  int judged = 0;
  for (const test::CorpusCase& c : test::corpus()) {
    const bool vocabulary = c.name.starts_with("gguf/vocab_");
    if (c.command != "tokenize" && !vocabulary) continue;
    const Json* text = c.args.find("text");
    const auto outcome = test::outcome_of([&] {
      const auto tokenizer = load_tokenizer(Checkpoint::open(c.path));
      const std::string input = text != nullptr ? text->string() : "the thing in it";
      const std::vector<TokenId> ids = tokenizer->encode(input, {.parse_special = true, .add_special = true});
      EXPECT_EQ(tokenizer->decode(ids, true), input) << c.name;
    });
    EXPECT_EQ(test::judge(c, outcome), "");
    ++judged;
  }
  EXPECT_GE(judged, 38);
}

}  // namespace
}  // namespace duet
