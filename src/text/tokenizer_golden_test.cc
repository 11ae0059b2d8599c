// golden/tokenize in every form that Duet reads, and what hostile text may cost. The model folders are built from
// tokenizers that must not be committed: by a script in DUET_ASSETS, once per build tree.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <mutex>

#include "base/file.h"
#include "base/utf8.h"
#include "formats/checkpoint.h"
#include "tests/support.h"
#include "text/detokenizer.h"
#include "text/nfc.h"
#include "text/tokenizer_testing.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

/// The folder with all forms; empty when DUET_ASSETS lacks the script or the tokenizers.
const fs::path& forms_folder() {
  static const fs::path kFolder = [] {
    const fs::path script = test::assets("oracle/tokenizer_folders.py");
    if (script.empty() || test::assets("tokenizers").empty()) return fs::path{};
    fs::path done = fs::path(DUET_TEST_CACHE) / "tokenizer_folders";
    if (fs::exists(done)) return done;
    // Several test programs may build at once: each into its own folder, and the first rename wins.
    const fs::path building = done.string() + "." + std::to_string(::getpid());
    fs::create_directories(building);
    const std::string command = "python3 '" + script.string() + "' --shared '" +
                                script.parent_path().parent_path().string() + "' --out '" + building.string() +
                                "' > '" + (building / "log").string() + "' 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << "see " << (building / "log");
    std::error_code taken;
    fs::rename(building, done, taken);
    if (taken) fs::remove_all(building);
    return done;
  }();
  return kFolder;
}

std::vector<Json> read_records(const fs::path& path) {
  std::vector<Json> records;
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  for (std::string line; std::getline(file, line);) records.push_back(parse_json(line, path.filename().string()));
  return records;
}

/// What tells a record of a difference file: text and mode, or ids and mode.
std::string key_of(const Json& record) {
  const bool decode = record.find("decode_ids") != nullptr;
  return decode ? record.find("decode_ids")->dump() + record.find("skip_special")->dump()
                : record.find("text")->dump() + record.find("special")->dump();
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

Json ids_json(const std::vector<TokenId>& ids) {
  Json::Array out;
  for (const TokenId id : ids) out.emplace_back(to_int(id));
  return Json(std::move(out));
}

std::vector<TokenId> ids_of(const Json& array) {
  std::vector<TokenId> out;
  for (const Json& id : array.array()) out.push_back(TokenId{static_cast<int32_t>(id.integer())});
  return out;
}

/// The tokenizer's answer to a record, as the record would hold it.
Json answer(const Tokenizer& tokenizer, const Json& record) {
  if (const Json* decode = record.find("decode_ids")) {
    const std::vector<TokenId> ids = ids_of(*decode);
    const bool skip = record.find("skip_special")->boolean();
    Detokenizer stream(tokenizer, skip);
    std::string streamed;
    for (const TokenId id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    EXPECT_EQ(streamed, tokenizer.decode(ids, skip));
    return Json(streamed);
  }
  const Json* bytes = record.find("bytes");
  const Json* add = record.find("add_special");
  EncodeOptions options;
  options.parse_special = record.find("special")->string() == "allowed";
  options.add_special = add != nullptr && add->boolean();
  return ids_json(
      tokenizer.encode(bytes != nullptr ? from_hex(bytes->string()) : record.find("text")->string(), options));
}

class Goldens : public ::testing::TestWithParam<const char*> {};

TEST_P(Goldens, EveryFormGivesTheIdsAndTheTexts) {
  if (forms_folder().empty()) GTEST_SKIP() << "needs oracle and tokenizers in the folder that DUET_ASSETS names";
  const Json models = parse_json(read_text_file(test::golden("tokenize/models.json"), 1 << 20), "models.json");
  const Json& set = *models.find("sets")->find(GetParam());
  std::vector<Json> records;
  for (const Json& file : set.find("records")->array()) {
    for (Json& record : read_records(test::golden("tokenize/" + file.string()))) records.push_back(std::move(record));
  }
  ASSERT_GT(records.size(), 200U);
  int forms = 0;
  for (const Json& form : set.find("forms")->array()) {
    const std::string& path = form.find("path")->string();
    SCOPED_TRACE(path);
    ++forms;
    const auto tokenizer = load_tokenizer(Checkpoint::open(forms_folder() / path));
    std::map<std::string, Json> second, either;
    for (const auto& [name, target] : {std::pair("second", &second), std::pair("either", &either)}) {
      const Json* files = form.find(name);
      for (const Json& file : files != nullptr ? files->array() : Json::Array{}) {
        for (Json& record : read_records(test::golden("tokenize/" + file.string()))) {
          target->insert_or_assign(key_of(record), std::move(record));
        }
      }
    }
    int wrong = 0;
    for (const Json& record : records) {
      const std::string field = record.find("decode_ids") != nullptr ? "text" : "ids";
      const std::string key = key_of(record);
      const Json got = answer(*tokenizer, record);
      const bool is_second = second.count(key) > 0;
      const Json& wanted = is_second ? *second.at(key).find(field + "_second") : *record.find(field);
      const bool right = got == wanted || (either.count(key) > 0 && got == *either.at(key).find(field + "_second"));
      if (!right && ++wrong < 5) ADD_FAILURE() << record.dump() << "\ngot " << got.dump();
    }
    EXPECT_EQ(wrong, 0);
    const Json* bos = set.find("bos");
    const std::vector<int> front = test::ints(tokenizer->encode("", {.add_special = true}));
    EXPECT_EQ(front, bos->is_null() ? std::vector<int>{} : std::vector<int>{static_cast<int>(bos->integer())});
  }
  EXPECT_GE(forms, 1);
}

INSTANTIATE_TEST_SUITE_P(Sets, Goldens,
                         ::testing::Values("llama3", "llama4", "qwen2.5", "qwen3", "qwen3.5", "qwen_tiktoken",
                                           "smollm2", "gpt2", "spm2k"));

TEST(TokenizerOptions, EveryRecord) {
  DUET_SKIP_WITHOUT_ASSETS("golden/tokenize/options.jsonl");
  if (forms_folder().empty()) GTEST_SKIP() << "needs oracle and tokenizers in the folder that DUET_ASSETS names";
  const fs::path root = test::assets("golden/tokenize");
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
  int checked = 0, wrong = 0;
  for (const Json& record : read_records(root / "options.jsonl")) {
    const std::string& model = record.find("model")->string();
    auto& tokenizer = tokenizers[model];
    if (tokenizer == nullptr) {
      tokenizer =
          load_tokenizer(Checkpoint::open(model.starts_with("DIR/") ? forms_folder() / model.substr(4) : root / model));
    }
    const Json got = answer(*tokenizer, record);
    ++checked;
    if (got != *record.find(record.find("decode_ids") != nullptr ? "text" : "ids") && ++wrong < 5) {
      ADD_FAILURE() << record.dump() << "\ngot " << got.dump();
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(checked, 3083);
}

TEST(TokenizerRoundTrip, EveryScriptComesBack) {
  if (forms_folder().empty()) GTEST_SKIP() << "needs oracle and tokenizers in the folder that DUET_ASSETS names";
  // Characters of every block, alone and beside a letter and a space. U+2581 is SentencePiece's space.
  std::string text;
  for (char32_t code = 1; code < 0x110000; code += code < 0x3400 ? 1 : 37) {
    if ((code >= 0xd800 && code < 0xe000) || code == 0x2581) continue;
    append_utf8(text, code);
    text += 'a';
    append_utf8(text, code);
    text += " \n";
  }
  const std::string composed = nfc(text);
  for (const char* form : {"llama3", "llama3.gguf", "llama3-rank", "llama4.gguf", "llama4-rank", "qwen3",
                           "qwen3.5.gguf", "qwen_tiktoken-rank", "gpt2", "spm2k", "spm2k.gguf", "spm2k-model"}) {
    const auto tokenizer = load_tokenizer(Checkpoint::open(forms_folder() / form));
    const bool qwen = std::string_view(form).starts_with("qwen");
    for (const bool special : {false, true}) {
      const std::vector<TokenId> ids = tokenizer->encode(text, {.parse_special = special});
      EXPECT_TRUE(tokenizer->decode(ids, false) == (qwen ? composed : text)) << form;
    }
  }
}

TEST(TokenizerCost, HostileTextIsReadInLinearTime) {
  if (forms_folder().empty()) GTEST_SKIP() << "needs oracle and tokenizers in the folder that DUET_ASSETS names";
  const auto repeat = [](std::string_view unit, size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += unit;
    return out;
  };
  const auto seconds = [](const Tokenizer& tokenizer, const std::string& text) {
    const std::clock_t start = std::clock();  // processor time: other programs do not count
    EXPECT_FALSE(tokenizer.encode(text, {.parse_special = true}).empty());
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  // A bound that only something worse than linear misses, on any machine: quadratic time takes 64 times as long, not 8.
  constexpr size_t kBytes = 120'000;
  for (const char* form : {"qwen3.gguf", "llama4-rank", "spm2k"}) {
    const auto tokenizer = load_tokenizer(Checkpoint::open(forms_folder() / form));
    for (const char* unit :
         {"a", " ", "7", "\u0301\u0323", "\n ", "!", "<|im_start|", "<s", "\xf0\x9f\x98", "\u4e2dA"}) {
      const double small = seconds(*tokenizer, repeat(unit, kBytes));
      const double large = seconds(*tokenizer, repeat(unit, 8 * kBytes));
      EXPECT_LT(large, 24 * small + 0.25) << form << " " << unit;
    }
  }
}

}  // namespace
}  // namespace duet
