#include "text/hf_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "text/hf_stages.h"
#include "text/hf_tokens.h"
#include "text/rank_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_json.h"

namespace duet {
namespace {

// Caps of golden/malformed_codes.md; the largest real tokenizer.json has 13 MiB.
constexpr uint64_t kMaxTokenizerBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxConfigBytes = uint64_t{4} << 20;

constexpr std::string_view kFile = "tokenizer.json";
constexpr std::string_view kConfigFile = kTokenizerConfigFile;
constexpr std::string_view kVocabFile = "vocab.json";
constexpr std::string_view kMergesFile = "merges.txt";
constexpr std::string_view kModelFile = "tokenizer.model";

Json parse_object(std::string_view text, std::string_view name) {
  Json json = parse_json(text, name);
  if (!json.is_object())
    fail(ErrorCode::kBadJson, "{}: the top level is of kind {}, wanted object", name, json.kind_name());
  return json;
}

std::optional<std::string> read_text(const Checkpoint& checkpoint, std::string_view name, uint64_t cap) {
  const std::optional<std::filesystem::path> path = checkpoint.folder_file(name);
  return path ? std::optional(read_text_file(*path, cap)) : std::nullopt;
}

std::optional<Json> read_json(const Checkpoint& checkpoint, std::string_view name, uint64_t cap) {
  const std::optional<std::string> text = read_text(checkpoint, name, cap);
  return text ? std::optional(parse_object(*text, name)) : std::nullopt;
}

class HfLoader {
 public:
  HfLoader(const Json& tokenizer, const Json* config, std::string_view file)
      : tokenizer_(tokenizer), config_(config), file_(file), tokens_(parts_, file) {}

  /// `tables`: the vocabulary and the merges where `tokenizer` does not have them itself.
  /// `config_adds`: add_bos_token and add_eos_token of the configuration count, as they do where no post-processor can
  /// be.
  std::unique_ptr<Tokenizer> load(const TokenizerJson* tables, bool config_adds) {
    const Json& model = require_member(tokenizer_, "model", file_, "the file");
    read_vocabulary(model, tables);
    read_added();
    if (config_ != nullptr) tokens_.read_config_added(*config_);
    read_normalizer(tokenizer_.find("normalizer"), file_, parts_);
    const bool bytes = read_pre_tokenizer(tokenizer_.find("pre_tokenizer"), file_, parts_);
    read_decoder(tokenizer_.find("decoder"), file_, bytes, parts_);
    read_merges(model, tables, bytes);
    read_post_processor(tokenizer_.find("post_processor"), file_, parts_);
    if (config_ != nullptr) tokens_.read_config_names(*config_);
    if (config_ != nullptr && config_adds) tokens_.read_config_ends(*config_);
    return make_pipeline_tokenizer(std::move(parts_));
  }

 private:
  void read_vocabulary(const Json& model, const TokenizerJson* tables) {
    // Files of old leave the type of a BPE model out.
    if (const Json* type = model.find("type"); type != nullptr && !(type->is_string() && type->string() == "BPE")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: model type '{}' is unknown; known: BPE", file_,
           printable(type->is_string() ? type->string() : type->dump()));
    }
    const Json& vocab = require_member(model, "vocab", file_, "model");
    if (!vocab.is_object())
      fail(ErrorCode::kBadType, "{}: vocab of model is of kind {}, wanted object", file_, vocab.kind_name());
    const size_t count = tables != nullptr ? tables->vocab.size() : vocab.object().size();
    if (count == 0) fail(ErrorCode::kBadTokenizer, "{}: vocab of model is empty", file_);
    size_t bytes = 0;
    if (tables != nullptr) {
      for (const auto& [spelling, id] : tables->vocab) bytes += spelling.size();
    }
    for (const auto& [spelling, id] : vocab.object()) bytes += spelling.size();
    parts_.vocabulary = std::make_unique<Vocabulary>();
    parts_.vocabulary->reserve(count + 1024, bytes + 32768);
    if (tables != nullptr) {
      for (size_t i = 0; i < count; ++i) {
        const auto& [spelling, id] = tables->vocab[i];
        if (i + Vocabulary::kAhead < count) parts_.vocabulary->prefetch(tables->vocab[i + Vocabulary::kAhead].first);
        const int32_t checked =
            id < Vocabulary::kMaxIds ? static_cast<int32_t>(id) : HfTokens::check_id(Json(id), spelling, file_);
        tokens_.add_token(checked, spelling, file_, true);
      }
    }
    for (const auto& [spelling, id] : vocab.object()) {
      tokens_.add_token(HfTokens::check_id(id, spelling, file_), spelling, file_, true);
    }
  }

  void read_added() {
    const Json* added = tokenizer_.find("added_tokens");
    if (added == nullptr || added->is_null()) return;
    if (!added->is_array())
      fail(ErrorCode::kBadType, "{}: added_tokens is of kind {}, wanted array", file_, added->kind_name());
    for (const Json& entry : added->array()) {
      const std::string& content = require_text(entry, "content", file_, "added_tokens");
      const Json& id = require_member(entry, "id", file_, "added_tokens");
      tokens_.add_added(HfTokens::check_id(id, content, file_), entry, file_, "added_tokens");
    }
  }

  /// Options of a BPE model that Duet does not have.
  void refuse_options(const Json& model, bool bytes) const {
    for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json* value = model.find(key);
      if (value == nullptr || value->is_null() || (value->is_string() && value->string().empty())) continue;
      fail(ErrorCode::kUnsupportedFeature, "{}: {} of model is {}, known is none", file_, key,
           printable(value->dump()));
    }
    if (const Json* dropout = model.find("dropout");
        dropout != nullptr && !dropout->is_null() && !(dropout->is_number() && dropout->number() == 0)) {
      fail(ErrorCode::kUnsupportedFeature, "{}: dropout of model is {}, known is none", file_,
           printable(dropout->dump()));
    }
    if (bytes && flag_member(model, "byte_fallback", false, file_, "model")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: byte_fallback of model is true, known is false with ByteLevel", file_);
    }
  }

  void read_merges(const Json& model, const TokenizerJson* tables, bool bytes) {
    refuse_options(model, bytes);
    const bool ignore_merges = flag_member(model, "ignore_merges", false, file_, "model");
    const bool fuse_unknown = flag_member(model, "fuse_unk", false, file_, "model");
    int32_t unknown = -1;
    if (const Json* unknown_token = model.find("unk_token"); unknown_token != nullptr && !unknown_token->is_null()) {
      const std::string& content = require_text(model, "unk_token", file_, "model");
      unknown = parts_.vocabulary->find(content);
      if (unknown < 0)
        fail(ErrorCode::kBadTokenizer, "{}: unk_token '{}' of model is no token", file_, printable(content));
    }
    const Json& merges = require_member(model, "merges", file_, "model");
    if (!merges.is_array())
      fail(ErrorCode::kBadType, "{}: merges of model is of kind {}, wanted array", file_, merges.kind_name());
    if (bytes) {
      const ByteBpe::Options options{.ignore_merges = ignore_merges, .unknown = unknown, .fuse_unknown = fuse_unknown};
      parts_.model = std::make_unique<ByteBpe>(*parts_.vocabulary, options);
    } else {
      const bool fallback = flag_member(model, "byte_fallback", false, file_, "model");
      const CharacterBpe::Options options{
          .byte_fallback = fallback, .unknown = unknown, .fuse_unknown = fuse_unknown, .ignore_merges = ignore_merges};
      parts_.model = std::make_unique<CharacterBpe>(*parts_.vocabulary, options);
    }
    parts_.model->reserve(merges.array().size() + (tables != nullptr ? tables->merges.size() : 0));
    size_t index = 0;
    if (tables != nullptr) {
      const MergeFault fault = parts_.model->add_merges(tables->merges, index);
      if (fault != MergeFault::kNone) {
        const auto& [left, right] = tables->merges[index];
        fail_merge(fault, left, right, index, nullptr);
      }
    }
    for (const Json& merge : merges.array()) add_merge(merge, index++);
    parts_.token_bytes = parts_.model->finish();
  }

  /// "a b" or ["a", "b"].
  void add_merge(const Json& merge, size_t index) {
    std::string_view left, right;
    if (merge.is_string()) {
      const std::string_view text = merge.string();
      const size_t space = text.find(' ');
      if (space != std::string_view::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (merge.is_array() && merge.array().size() == 2 && merge.array()[0].is_string() &&
               merge.array()[1].is_string()) {
      left = merge.array()[0].string();
      right = merge.array()[1].string();
    }
    if (left.empty() || right.empty() || (merge.is_string() && right.find(' ') != std::string_view::npos)) {
      fail(ErrorCode::kBadTokenizer, "{}: merge {} is {}, not two parts", file_, index, printable(merge.dump()));
    }
    add_merge(left, right, index, &merge);
  }

  void add_merge(std::string_view left, std::string_view right, size_t index, const Json* merge) {
    const MergeFault fault = parts_.model->add_merge(left, right);
    if (fault != MergeFault::kNone) fail_merge(fault, left, right, index, merge);
  }

  [[noreturn]] void fail_merge(MergeFault fault, std::string_view left, std::string_view right, size_t index,
                               const Json* merge) const {
    const std::string missing = fault == MergeFault::kLeft    ? std::string(left)
                                : fault == MergeFault::kRight ? std::string(right)
                                                              : std::string(left).append(right);
    const std::string both = merge != nullptr ? merge->dump() : std::string(left).append(" ").append(right);
    fail(ErrorCode::kBadTokenizer, "{}: merge {} is {}, but '{}' is no token", file_, index, printable(both),
         printable(missing));
  }

  const Json& tokenizer_;
  const Json* config_;
  std::string_view file_;  // for messages
  TokenizerParts parts_;
  HfTokens tokens_;
};

/// vocab.json and merges.txt as the tokenizer.json that the class named in the configuration would make of them.
Json join_vocab_files(Json vocab, std::string_view merges, const Json& config) {
  const std::string& name = require_text(config, "tokenizer_class", kConfigFile, "the file");
  const bool qwen = name == "Qwen2Tokenizer" || name == "Qwen2TokenizerFast";
  if (!qwen && name != "GPT2Tokenizer" && name != "GPT2TokenizerFast") {
    fail(ErrorCode::kUnsupportedFeature,
         "{}: tokenizer_class '{}' is unknown without {}; known: GPT2Tokenizer, Qwen2Tokenizer", kConfigFile,
         printable(name), kFile);
  }
  Json::Array lines;
  while (!merges.empty()) {
    std::string_view line = merges.substr(0, merges.find('\n'));
    merges.remove_prefix(std::min(merges.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) lines.emplace_back(line);
  }
  std::string pattern(split_pattern_text(qwen ? SplitPattern::kQwen2 : SplitPattern::kGpt2));
  if (const Json* own = config.find("pretokenize_regex"); own != nullptr && !own->is_null()) {
    pattern = require_text(config, "pretokenize_regex", kConfigFile, "the file");
  }
  const bool prefix = flag_member(config, "add_prefix_space", false, kConfigFile, "the file");
  const Json split(
      Json::Object{{"type", "Split"}, {"pattern", Json::Object{{"Regex", pattern}}}, {"behavior", "Isolated"}});
  const auto bytes = [](bool prefix_space) {
    return Json(Json::Object{{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"use_regex", false}});
  };
  // A prefix space stands before the whole text: before the pattern, where ByteLevel puts it in a tokenizer.json of
  // GPT-2.
  Json pre(Json::Object{{"type", "Sequence"}, {"pretokenizers", Json::Array{split, bytes(false)}}});
  if (prefix) pre = Json(Json::Object{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}});
  if (prefix && pattern != split_pattern_text(SplitPattern::kGpt2)) {
    fail(ErrorCode::kUnsupportedFeature, "{}: add_prefix_space is true, which is known for GPT2Tokenizer only",
         kConfigFile);
  }
  return Json(Json::Object{
      {"normalizer", qwen ? Json(Json::Object{{"type", "NFC"}}) : Json()},
      {"pre_tokenizer", std::move(pre)},
      {"decoder", bytes(false)},
      {"model", Json::Object{{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(lines)}}},
  });
}

/// tokenizer.model, which holds ranks or a SentencePiece model, or a file of ranks by its ending; nullptr when the
/// folder has neither.
std::unique_ptr<Tokenizer> load_model_file(const Checkpoint& checkpoint, const Json* config) {
  std::string name(kModelFile);
  std::optional<std::string> text = read_text(checkpoint, name, kMaxTokenizerBytes);
  if (!text) {
    if (checkpoint.kind() != CheckpointKind::kFolder) return nullptr;
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at(checkpoint.path(), error), end; !error && at != end;
         at.increment(error)) {
      if (at->path().extension() == ".tiktoken") names.push_back(at->path().filename().string());
    }
    if (error) fail(ErrorCode::kIoError, "{}: cannot list the folder: {}", checkpoint.path().string(), error.message());
    if (names.empty()) return nullptr;
    std::sort(names.begin(), names.end());
    if (names.size() > 1) {
      fail(ErrorCode::kBadTokenizer, "{}: the folder has {} files *.tiktoken, among them {} and {}", checkpoint.name(),
           names.size(), printable(names.front()), printable(names.back()));
    }
    name = names.front();
    text = read_text(checkpoint, name, kMaxTokenizerBytes);
    if (!text) return nullptr;
  }
  // A protocol buffer begins with the tag of its first piece, which is a line's end.
  const bool pieces = name == kModelFile && text->starts_with('\n');
  return pieces ? load_sentencepiece_tokenizer(*text, name, config) : load_rank_tokenizer(*text, name, config);
}

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(const Json& tokenizer, const Json* config) {
  return HfLoader(tokenizer, config, kFile).load(nullptr, false);
}

std::unique_ptr<Tokenizer> parse_hf_tokenizer(std::string_view text, const Json* config) {
  // The quick way is for files without a fault; the message for one that has a fault comes from the careful way.
  if (const std::optional<TokenizerJson> tables = split_tokenizer_json(text)) {
    try {
      return HfLoader(tables->document, config, kFile).load(&*tables, false);
    } catch (const Error&) {
    }
  }
  return load_hf_tokenizer(parse_object(text, kFile), config);
}

std::unique_ptr<Tokenizer> load_hf_tokenizer(const Checkpoint& checkpoint) {
  const std::optional<std::string> tokenizer = read_text(checkpoint, kFile, kMaxTokenizerBytes);
  // A fault of the first file is said before one of the second.
  std::optional<Json> config;
  try {
    config = read_json(checkpoint, kConfigFile, kMaxConfigBytes);
  } catch (const Error&) {
    if (tokenizer) parse_object(*tokenizer, kFile);
    throw;
  }
  const Json* config_or_none = config ? &*config : nullptr;
  if (tokenizer) return parse_hf_tokenizer(*tokenizer, config_or_none);
  const std::optional<std::string> vocab = read_text(checkpoint, kVocabFile, kMaxTokenizerBytes);
  const std::optional<std::string> merges = read_text(checkpoint, kMergesFile, kMaxTokenizerBytes);
  if (vocab && merges) {
    const Json joined =
        join_vocab_files(parse_object(*vocab, kVocabFile), *merges, config ? *config : Json(Json::Object{}));
    return HfLoader(joined, config_or_none, "vocab.json, merges.txt").load(nullptr, true);
  }
  if (auto found = load_model_file(checkpoint, config_or_none)) return found;
  fail(ErrorCode::kNotFound, "{}: the model has no {}, no {} with {}, no {} and no file *.tiktoken", checkpoint.name(),
       kFile, kVocabFile, kMergesFile, kModelFile);
}

}  // namespace duet
