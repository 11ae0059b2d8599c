#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/jsonl.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/checkpoint.h"
#include "hub/resolve.h"
#include "terminal/output.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> arguments;  // a text, or ids with --decode
  bool jsonl = false, json = false, decode = false, ids = false;
  bool special = false, add_special = false, skip_special = false;
};

void print_line(const std::string& line) { Output(STDOUT_FILENO).write_untrusted(line + "\n"); }

TokenId id_from(int64_t value) {
  if (value < 0 || value > INT32_MAX) fail(ErrorCode::kBadValue, "token id {} is outside 0 to {}", value, INT32_MAX);
  return TokenId{static_cast<int32_t>(value)};
}

Json ids_json(const std::vector<TokenId>& ids) {
  Json::Array out;
  out.reserve(ids.size());
  for (const TokenId id : ids) out.emplace_back(to_int(id));
  return Json(Json::Object{{"ids", Json(std::move(out))}});
}

bool flag(const Json& record, std::string_view key, bool otherwise) {
  const Json* value = record.find(key);
  if (value == nullptr || value->is_null()) return otherwise;
  if (!value->is_bool()) fail(ErrorCode::kBadType, "'{}' is of kind {}, wanted bool", key, value->kind_name());
  return value->boolean();
}

const std::string& string_field(const Json& value, std::string_view key) {
  if (!value.is_string()) fail(ErrorCode::kBadType, "'{}' is of kind {}, wanted string", key, value.kind_name());
  return value.string();
}

std::string from_hex(std::string_view hex) {
  const auto digit = [&](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    fail(ErrorCode::kBadValue, "'bytes' has '{}', which is no hexadecimal digit", printable(std::string_view(&c, 1)));
  };
  if (hex.size() % 2 != 0) fail(ErrorCode::kBadValue, "'bytes' has {} hexadecimal digits, an odd number", hex.size());
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return out;
}

Json encode_record(const Tokenizer& tokenizer, const Json& record) {
  const Json* bytes = record.find("bytes");
  const Json* text = record.find("text");
  if (bytes == nullptr && text == nullptr) fail(ErrorCode::kMissingKey, "the record has neither 'text' nor 'bytes'");
  EncodeOptions options;
  if (const Json* special = record.find("special"); special != nullptr && !special->is_null()) {
    const std::string& mode = string_field(*special, "special");
    if (mode != "allowed" && mode != "none") {
      fail(ErrorCode::kBadValue, "'special' is '{}', legal are 'allowed' and 'none'", printable(mode));
    }
    options.parse_special = mode == "allowed";
  }
  options.add_special = flag(record, "add_special", false);
  const std::string input = bytes != nullptr ? from_hex(string_field(*bytes, "bytes")) : string_field(*text, "text");
  return ids_json(tokenizer.encode(input, options));
}

Json decode_record(const Tokenizer& tokenizer, const Json& record) {
  const Json* ids = record.find("decode_ids");
  if (ids == nullptr) ids = record.find("ids");
  if (ids == nullptr) fail(ErrorCode::kMissingKey, "the record has neither 'ids' nor 'decode_ids'");
  if (!ids->is_array()) fail(ErrorCode::kBadType, "the ids are of kind {}, wanted array", ids->kind_name());
  std::vector<TokenId> tokens;
  for (const Json& id : ids->array()) {
    if (!id.is_integer()) fail(ErrorCode::kBadType, "an id is {}, wanted an integer", printable(id.dump()));
    tokens.push_back(id_from(id.integer()));
  }
  return Json(Json::Object{{"text", Json(tokenizer.decode(tokens, flag(record, "skip_special", false)))}});
}

/// A token's bytes for a terminal: what is no whole character as <e4>, control characters visible, a line's end as a
/// sign.
std::string visible_piece(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Step step = decode_utf8(bytes);
    const std::string_view part = bytes.substr(0, static_cast<size_t>(step.length));
    bytes.remove_prefix(part.size());
    if (step.valid && step.code == '\n') {
      out += "\u21b5";
    } else if (step.valid) {
      out += visible_controls(part);
    } else {
      for (const char c : part) out += fmt::format("<{:02x}>", static_cast<unsigned char>(c));
    }
  }
  return out;
}

/// The text with its tokens on backgrounds that take turns.
void print_pieces(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const Output& out) {
  static constexpr std::array<int, 5> kBackgrounds = {153, 194, 223, 225, 189};  // pale, of the 256 colours
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes = tokenizer.token_bytes(ids[i]);
    text += fmt::format("\x1b[30;48;5;{}m{}\x1b[0m", kBackgrounds[i % kBackgrounds.size()], visible_piece(bytes));
    if (bytes.ends_with('\n')) text += '\n';
  }
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  out.write(text + out.dim(fmt::format("{} tokens (--ids prints their numbers)", ids.size())) + "\n");
}

void show_plain(const Tokenizer& tokenizer, const Options& options) {
  if (options.decode) {
    std::vector<TokenId> ids;
    for (const std::string& argument : options.arguments) {
      size_t used = 0;
      long long value = -1;
      try {
        value = std::stoll(argument, &used);
      } catch (const std::logic_error&) {
        used = 0;
      }
      if (used == 0 || used != argument.size())
        fail(ErrorCode::kUsageError, "'{}' is no token id", printable(argument));
      ids.push_back(id_from(value));
    }
    const std::string text = tokenizer.decode(ids, options.skip_special);
    print_line(options.json ? Json(Json::Object{{"text", Json(text)}}).dump() : text);
    return;
  }
  if (options.arguments.size() > 1) fail(ErrorCode::kUsageError, "more than one text: put it in quotes");
  const std::string text = !options.arguments.empty() ? options.arguments.front()
                                                      : std::string(std::istreambuf_iterator<char>(std::cin),
                                                                    std::istreambuf_iterator<char>());
  const std::vector<TokenId> ids =
      tokenizer.encode(text, {.parse_special = options.special, .add_special = options.add_special});
  if (options.json) return print_line(ids_json(ids).dump());
  const Output out(STDOUT_FILENO);
  if (out.colour() && !options.ids) return print_pieces(tokenizer, ids, out);
  std::string line;
  for (const TokenId id : ids) line += (line.empty() ? "" : " ") + std::to_string(to_int(id));
  print_line(line);
}

}  // namespace

void add_tokenize_command(CLI::App& app, CommandState& state) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "turn text into token ids, and ids into text");
  command->add_option("model", options->model, "a name (duet list), a GGUF file, or a Hugging Face folder")
      ->required()
      ->type_name("MODEL");
  command->add_option("text", options->arguments, "the text (standard input without it), or ids with --decode")
      ->type_name("TEXT");
  command->add_flag(
      "--jsonl", options->jsonl,
      "read records from standard input: {\"text\" or \"bytes\",\"special\",\"add_special\"}, with --decode "
      "{\"ids\",\"skip_special\"}; one line out for each line in");
  command->add_flag("--json", options->json, "print one JSON object");
  command->add_flag("--ids", options->ids,
                    "print ids on a terminal as well, which shows the text's pieces in colours otherwise");
  command->add_flag("--decode", options->decode, "ids to text");
  command->add_flag("--special", options->special, "recognise special tokens in the text");
  command->add_flag("--add-special", options->add_special, "add BOS and EOS as the model asks for");
  command->add_flag("--skip-special", options->skip_special, "leave special tokens out of the decoded text");
  command->footer(
      "Examples:\n  duet tokenize smollm2-135m \"Hello, world!\"\n  duet tokenize smollm2-135m --decode 19556 28 905 "
      "17\n"
      "  duet tokenize ./model-folder --jsonl < records.jsonl");
  command->callback([options, &state] {
    state.json_errors = options->json || options->jsonl;
    if (options->jsonl && !options->arguments.empty())
      fail(ErrorCode::kUsageError, "--jsonl reads standard input; remove the text");
    const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(Checkpoint::open(resolve_model(options->model)));
    if (options->jsonl) {
      const auto answer = options->decode ? decode_record : encode_record;
      const bool good = answer_jsonl({.answer = [&](const Json& record) { return answer(*tokenizer, record); }});
      if (!good) state.exit_status = 1;
    } else {
      show_plain(*tokenizer, *options);
    }
  });
}

}  // namespace duet
