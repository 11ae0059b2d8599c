// golden/templates: real templates over a bank of conversations, the language, and hostile templates. The sets and
// templates of Llama must not be committed: they are read from DUET_ASSETS.

#include <chrono>
#include <fstream>

#include "base/file.h"
#include "chat/chat_template.h"
#include "tests/support.h"
#include "text/jinja/template_error.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

struct Record {
  std::string line;  // of the file, for messages
  Json json;
};

std::vector<Record> read_records(const fs::path& path) {
  std::vector<Record> records;
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  for (std::string line; std::getline(file, line);) {
    Json json = parse_json(line, path.filename().string(), {.allow_duplicate_keys = true});
    records.push_back({line.substr(0, 300), std::move(json)});
  }
  return records;
}

std::optional<std::string> text_of(const Json& record, std::string_view key) {
  const Json* value = record.find(key);
  return value != nullptr && value->is_string() ? std::optional(value->string()) : std::nullopt;
}

Json generation_json(const RenderedText& rendered) {
  Json::Array spans;
  for (const auto& [begin, end] : *rendered.generation) spans.emplace_back(Json::Array{Json(begin), Json(end)});
  return Json(std::move(spans));
}

/// Error texts are Python's wording, except for those that a template raises.
void expect_error(const TemplateError& error, const Json& expected) {
  ASSERT_NE(expected.find("error_kind"), nullptr) << "gave an error: " << error.message();
  EXPECT_EQ(template_error_kind_name(error.kind()), expected.find("error_kind")->string()) << error.message();
  if (error.kind() == TemplateErrorKind::kRaised) {
    EXPECT_EQ(error.detail(), expected.find("error")->string());
  }
}

void expect_text(const RenderedText& rendered, const Json& expected) {
  ASSERT_NE(expected.find("text"), nullptr) << "gave a text: " << rendered.text.substr(0, 1000);
  EXPECT_EQ(rendered.text, expected.find("text")->string());
  const Json* spans = expected.find("generation");
  ASSERT_EQ(rendered.generation.has_value(), spans != nullptr);
  if (spans != nullptr) {
    EXPECT_EQ(generation_json(rendered).dump(), spans->dump());
  }
}

template <typename Render>
void check(const Record& record, const Render& render) {
  SCOPED_TRACE(record.line);
  const Json& expected = *record.json.find("expect");
  try {
    expect_text(render(), expected);
  } catch (const TemplateError& error) {
    const std::optional<std::string> text = text_of(expected, "text");
    const bool long_text = text && text->size() > 4000;  // where a stricter limit is allowed (README.md of the set)
    if (!(long_text && error.kind() == TemplateErrorKind::kLimit)) expect_error(error, expected);
  }
}

RenderedText render_own_template(const Json& record) {
  return ChatTemplate::parse(record.find("template")->string(), "template")
      .render_context(*record.find("context"), text_of(record, "now"));
}

class TemplateGoldens : public ::testing::TestWithParam<const char*> {};

TEST_P(TemplateGoldens, EveryConversationGivesTheText) {
  const std::string set = GetParam();
  const Json manifest = parse_json(read_text_file(test::golden("templates/manifest.json"), 1 << 20), "manifest.json");
  const Json& entry = *manifest.find(set);
  fs::path records = test::golden("templates/" + set + ".jsonl"), file = test::golden("templates/" + set + ".jinja");
  if (!fs::exists(file)) file = test::golden("templates/" + set + ".tokenizer_config.json");
  if (!fs::exists(records)) {
    records = test::assets("golden/templates/" + set + ".jsonl");
    file = test::assets(entry.find("file")->string());
    if (records.empty() || file.empty()) {
      GTEST_SKIP() << "the set and template of " << set << " are not in the repository and not in DUET_ASSETS";
    }
  }
  std::vector<std::pair<std::string, std::string>> special_tokens;
  for (const auto& [name, text] : entry.find("special_tokens")->object()) {
    special_tokens.emplace_back(name, text.string());
  }
  const ChatTemplate chat_template = ChatTemplate::parse_file(file, false);
  const std::vector<Record> all = read_records(records);
  EXPECT_EQ(all.size(), 119U);
  for (const Record& record : all) {
    check(record, [&] {
      TemplateInput input{.messages = *record.json.find("messages"),
                          .now = text_of(record.json, "now"),
                          .special_tokens = special_tokens};
      if (const Json* tools = record.json.find("tools")) input.tools = *tools;
      if (const Json* kwargs = record.json.find("kwargs"); kwargs != nullptr && !kwargs->is_null()) {
        input.kwargs = *kwargs;
      }
      return chat_template.render(input);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, TemplateGoldens,
                         ::testing::Values("qwq-32b", "qwen2.5-instruct", "qwen2.5-tokenizer", "qwen3-0.6b",
                                           "qwen3-tokenizer", "qwen3-nonthinking", "qwen3-coder-30b", "qwen3-coder",
                                           "qwen3.5-0.8b", "qwen3.5-4b", "qwen3.6-27b", "qwen3.8-27b", "smollm2",
                                           "llama-3.1", "llama-3.2"),
                         [](const auto& set) {
                           std::string name = set.param;
                           for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
                           return name;
                         });

TEST(TemplateLanguageGoldens, EveryTemplateGivesTheText) {
  const std::vector<Record> all = read_records(test::golden("templates/language.jsonl"));
  EXPECT_EQ(all.size(), 812U);
  for (const Record& record : all) {
    check(record, [&] { return render_own_template(record.json); });
  }
}

TEST(TemplateHostileGoldens, EveryTemplateEndsInTime) {
  const std::vector<Record> all = read_records(test::golden("templates/hostile.jsonl"));
  EXPECT_EQ(all.size(), 77U);
  for (const Record& record : all) {
    const auto start = std::chrono::steady_clock::now();
    check(record, [&] { return render_own_template(record.json); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    // The limit of time inside is 2 s; what is above it is a sanitizer's or a loaded machine's.
    EXPECT_LT(seconds.count(), 6.0) << record.line;
  }
}

}  // namespace
}  // namespace duet
