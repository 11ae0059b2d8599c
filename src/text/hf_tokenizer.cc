#include "text/hf_tokenizer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "text/hf_stages.h"

namespace duet {
namespace {

// Caps of golden/malformed_codes.md; the largest real tokenizer.json has 13 MiB.
constexpr uint64_t kMaxTokenizerBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxConfigBytes = uint64_t{4} << 20;

constexpr std::string_view kFile = "tokenizer.json";
constexpr std::string_view kConfigFile = "tokenizer_config.json";
constexpr std::string_view kVocabFile = "vocab.json";
constexpr std::string_view kMergesFile = "merges.txt";

std::optional<Json> read_json(const Checkpoint& checkpoint, std::string_view name, uint64_t cap) {
  const std::optional<std::filesystem::path> path = checkpoint.folder_file(name);
  if (!path) return std::nullopt;
  Json json = parse_json(read_text_file(*path, cap), name);
  if (!json.is_object())
    fail(ErrorCode::kBadJson, "{}: the top level is of kind {}, wanted object", name, json.kind_name());
  return json;
}

class HfLoader {
 public:
  HfLoader(const Json& tokenizer, const Json* config, std::string_view file)
      : tokenizer_(tokenizer), config_(config), file_(file) {}

  /// `config_adds`: add_bos_token and add_eos_token of the configuration count, as they do where no post-processor can
  /// be.
  std::unique_ptr<Tokenizer> load(bool config_adds) {
    const Json& model = require_member(tokenizer_, "model", file_, "the file");
    read_vocabulary(model);
    read_added();
    if (config_ != nullptr) read_config_added(*config_);
    read_normalizer(tokenizer_.find("normalizer"), file_, parts_);
    read_pre_tokenizer(tokenizer_.find("pre_tokenizer"), file_, parts_);
    read_decoder(tokenizer_.find("decoder"), file_);
    read_merges(model);
    read_post_processor(tokenizer_.find("post_processor"), file_, parts_);
    if (config_ != nullptr) read_names(*config_);
    if (config_ != nullptr && config_adds) read_config_ends(*config_);
    return make_pipeline_tokenizer(std::move(parts_));
  }

 private:
  void read_vocabulary(const Json& model) {
    // Files of old leave the type of a BPE model out.
    if (const Json* type = model.find("type"); type != nullptr && !(type->is_string() && type->string() == "BPE")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: model type '{}' is unknown; known: BPE", file_,
           printable(type->is_string() ? type->string() : type->dump()));
    }
    const Json& vocab = require_member(model, "vocab", file_, "model");
    if (!vocab.is_object())
      fail(ErrorCode::kBadType, "{}: vocab of model is of kind {}, wanted object", file_, vocab.kind_name());
    if (vocab.object().empty()) fail(ErrorCode::kBadTokenizer, "{}: vocab of model is empty", file_);
    size_t bytes = 0;
    for (const auto& [spelling, id] : vocab.object()) bytes += spelling.size();
    parts_.vocabulary = std::make_unique<Vocabulary>();
    parts_.vocabulary->reserve(vocab.object().size() + 1024, bytes + 32768);
    for (const auto& [spelling, id] : vocab.object()) add_token(check_id(id, spelling, file_), spelling, file_);
  }

  /// An id as JSON has it, in its legal range.
  static int32_t check_id(const Json& id, std::string_view content, std::string_view file) {
    if (!id.is_integer() || id.integer() < 0 || id.integer() >= Vocabulary::kMaxIds) {
      fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the id {}, legal are 0 to {}", file, printable(content),
           printable(id.dump(), 40), Vocabulary::kMaxIds - 1);
    }
    return static_cast<int32_t>(id.integer());
  }

  void add_token(int32_t id, std::string_view content, std::string_view file) {
    if (content.empty()) fail(ErrorCode::kBadTokenizer, "{}: the token with id {} is empty", file, id);
    if (parts_.vocabulary->add(id, content)) return;
    if (const int32_t other = parts_.vocabulary->find(content); other >= 0 && other != id) {
      fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the ids {} and {}", file, printable(content), other, id);
    }
    fail(ErrorCode::kBadTokenizer, "{}: token '{}' has the id {}, which '{}' has already", file, printable(content), id,
         printable(parts_.vocabulary->spelling(id)));
  }

  void add_added(int32_t id, const Json& entry, std::string_view file, std::string_view where) {
    AddedToken token{.id = TokenId{id}, .content = require_text(entry, "content", file, where)};
    token.special = flag_member(entry, "special", false, file, where);
    token.lstrip = flag_member(entry, "lstrip", false, file, where);
    token.rstrip = flag_member(entry, "rstrip", false, file, where);
    token.single_word = flag_member(entry, "single_word", false, file, where);
    token.normalized = flag_member(entry, "normalized", !token.special, file, where);
    // A token of the vocabulary may be an added one as well: then it has that id.
    if (token.content.empty() || parts_.vocabulary->find(token.content) != id) add_token(id, token.content, file);
    added_ids_.resize(std::max(added_ids_.size(), static_cast<size_t>(id) + 1), false);
    if (added_ids_[static_cast<size_t>(id)]) {
      fail(ErrorCode::kBadTokenizer, "{}: {} has the id {} twice ('{}')", file, where, id, printable(token.content));
    }
    added_ids_[static_cast<size_t>(id)] = true;
    parts_.added.push_back(std::move(token));
  }

  void read_added() {
    const Json* added = tokenizer_.find("added_tokens");
    if (added == nullptr || added->is_null()) return;
    if (!added->is_array())
      fail(ErrorCode::kBadType, "{}: added_tokens is of kind {}, wanted array", file_, added->kind_name());
    for (const Json& entry : added->array()) {
      const std::string& content = require_text(entry, "content", file_, "added_tokens");
      add_added(check_id(require_member(entry, "id", file_, "added_tokens"), content, file_), entry, file_,
                "added_tokens");
    }
  }

  /// The second list, by id. A token that tokenizer.json has is as it is there; the others are added.
  void read_config_added(const Json& config) {
    constexpr std::string_view kWhere = "added_tokens_decoder";
    const Json* decoder = config.find(kWhere);
    if (decoder == nullptr || decoder->is_null()) return;
    if (!decoder->is_object())
      fail(ErrorCode::kBadType, "{}: {} is of kind {}, wanted object", kConfigFile, kWhere, decoder->kind_name());
    for (const auto& [key, entry] : decoder->object()) {
      int64_t id = -1;
      const auto [end, fault] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (fault != std::errc() || end != key.data() + key.size() || id < 0 || id >= Vocabulary::kMaxIds) {
        fail(ErrorCode::kBadValue, "{}: key '{}' of {} is no id from 0 to {}", kConfigFile, printable(key), kWhere,
             Vocabulary::kMaxIds - 1);
      }
      const std::string& content = require_text(entry, "content", kConfigFile, kWhere);
      if (static_cast<size_t>(id) < added_ids_.size() && added_ids_[static_cast<size_t>(id)]) {
        if (parts_.vocabulary->spelling(static_cast<int32_t>(id)) == content) continue;
        fail(ErrorCode::kBadTokenizer, "{}: token {} is '{}', but '{}' in {}", kConfigFile, id, printable(content),
             printable(parts_.vocabulary->spelling(static_cast<int32_t>(id))), file_);
      }
      add_added(static_cast<int32_t>(id), entry, kConfigFile, kWhere);
    }
  }

  /// Options of a BPE model that byte-level merges do not have.
  void refuse_options(const Json& model) const {
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
    if (flag_member(model, "byte_fallback", false, file_, "model")) {
      fail(ErrorCode::kUnsupportedFeature, "{}: byte_fallback of model is true, known is false", file_);
    }
  }

  void read_merges(const Json& model) {
    refuse_options(model);
    ByteBpe::Options options;
    options.ignore_merges = flag_member(model, "ignore_merges", false, file_, "model");
    options.fuse_unknown = flag_member(model, "fuse_unk", false, file_, "model");
    if (const Json* unknown = model.find("unk_token"); unknown != nullptr && !unknown->is_null()) {
      const std::string& content = require_text(model, "unk_token", file_, "model");
      options.unknown = parts_.vocabulary->find(content);
      if (options.unknown < 0)
        fail(ErrorCode::kBadTokenizer, "{}: unk_token '{}' of model is no token", file_, printable(content));
    }
    const Json& merges = require_member(model, "merges", file_, "model");
    if (!merges.is_array())
      fail(ErrorCode::kBadType, "{}: merges of model is of kind {}, wanted array", file_, merges.kind_name());
    parts_.model = std::make_unique<ByteBpe>(*parts_.vocabulary, options);
    parts_.model->reserve(merges.array().size());
    for (size_t i = 0; i < merges.array().size(); ++i) add_merge(merges.array()[i], i);
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
    const ByteBpe::MergeFault fault = parts_.model->add_merge(left, right);
    if (fault == ByteBpe::MergeFault::kNone) return;
    const std::string missing = fault == ByteBpe::MergeFault::kLeft    ? std::string(left)
                                : fault == ByteBpe::MergeFault::kRight ? std::string(right)
                                                                       : std::string(left).append(right);
    fail(ErrorCode::kBadTokenizer, "{}: merge {} is {}, but '{}' is no token", file_, index, printable(merge.dump()),
         printable(missing));
  }

  void read_names(const Json& config) {
    static constexpr std::array<std::string_view, 7> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                               "pad_token", "cls_token", "mask_token"};
    for (const std::string_view name : kNames) {
      const Json* value = config.find(name);
      if (value == nullptr || value->is_null()) continue;
      const std::string& content = value->is_object() ? require_text(*value, "content", kConfigFile, name)
                                                      : require_text(config, name, kConfigFile, "the file");
      parts_.special_token_strings.emplace_back(name, content);
      const int32_t id = parts_.vocabulary->find(content);
      if (id >= 0 && name == "bos_token") parts_.bos = TokenId{id};
      if (id >= 0 && name == "eos_token") parts_.eos = TokenId{id};
    }
  }

  void read_config_ends(const Json& config) {
    const auto need = [&](std::string_view name, std::optional<TokenId> id) {
      if (!id) fail(ErrorCode::kBadTokenizer, "{}: add_{} is true, but {} is no token", kConfigFile, name, name);
      return *id;
    };
    if (flag_member(config, "add_bos_token", false, kConfigFile, "the file"))
      parts_.front = {need("bos_token", parts_.bos)};
    if (flag_member(config, "add_eos_token", false, kConfigFile, "the file"))
      parts_.back = {need("eos_token", parts_.eos)};
  }

  const Json& tokenizer_;
  const Json* config_;
  std::string_view file_;  // for messages
  TokenizerParts parts_;
  std::vector<bool> added_ids_;
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

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(const Json& tokenizer, const Json* config) {
  return HfLoader(tokenizer, config, kFile).load(false);
}

std::unique_ptr<Tokenizer> load_hf_tokenizer(const Checkpoint& checkpoint) {
  const std::optional<Json> tokenizer = read_json(checkpoint, kFile, kMaxTokenizerBytes);
  const std::optional<Json> config = read_json(checkpoint, kConfigFile, kMaxConfigBytes);
  if (tokenizer) return load_hf_tokenizer(*tokenizer, config ? &*config : nullptr);
  std::optional<Json> vocab = read_json(checkpoint, kVocabFile, kMaxTokenizerBytes);
  const std::optional<std::filesystem::path> merges = checkpoint.folder_file(kMergesFile);
  if (!vocab || !merges) {
    fail(ErrorCode::kNotFound, "{}: the model has no {}, nor {} with {}", checkpoint.name(), kFile, kVocabFile,
         kMergesFile);
  }
  const Json joined = join_vocab_files(std::move(*vocab), read_text_file(*merges, kMaxTokenizerBytes),
                                       config ? *config : Json(Json::Object{}));
  return HfLoader(joined, config ? &*config : nullptr, "vocab.json, merges.txt").load(true);
}

}  // namespace duet
