#include "report/compare.h"

#include <algorithm>
#include <map>

#include "base/utf8.h"
#include "model/decoder.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

/// Collects the events of one answer.
struct Collector {
  ComparedAnswer& answer;
  void operator()(const TurnsDropped&) const {}
  void operator()(const PromptProgress&) const {}
  void operator()(const Logprobs&) const {}
  void operator()(const TextDelta& delta) const { answer.text += delta.text; }
  void operator()(const ReasoningDelta& delta) const { answer.reasoning += delta.text; }
  void operator()(const Finished& finished) const { answer.finished = finished; }
  void operator()(const Failed& failed) const { answer.error = failed.error; }
};

ComparedAnswer answer(Session& session, const std::string& prompt, const CompareOptions& options,
                      const std::atomic<bool>& cancel) {
  GenerateRequest request;
  request.sampling = options.sampling;
  request.sampling_texts = options.sampling_texts;
  request.max_new_tokens = options.max_new_tokens;
  request.stop_strings = options.stop_strings;
  ComparedAnswer collected;
  const auto sink = [&](const ChatEvent& event) { std::visit(Collector{collected}, event); };
  if (session.model().chat_template() == nullptr) {
    request.prompt = session.raw_prompt(prompt);
    session.generate(std::move(request), cancel, sink);
  } else {
    Conversation conversation;
    conversation.set_system(options.system);
    conversation.add_user(prompt);
    session.chat(conversation.messages(), options.chat, std::move(request), cancel, sink);
  }
  if (!collected.error && collected.finished.reason == FinishReason::kCancelled)
    throw Error(ErrorCode::kCancelled, "interrupted");
  return collected;
}

}  // namespace

std::string weight_types(const Checkpoint& checkpoint) {
  std::map<std::string_view, uint64_t> bytes;
  uint64_t total = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    bytes[dtype_info(tensor.dtype).name] += tensor.bytes;
    total += tensor.bytes;
  }
  std::vector<std::pair<std::string_view, uint64_t>> rows(bytes.begin(), bytes.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [type, size] : rows) {
    if (size * 100 >= total) text += (text.empty() ? "" : ", ") + std::string(type);
  }
  return text;
}

ModelFigures describe(Session& session, std::string licence) {
  const Checkpoint& checkpoint = session.model().checkpoint();
  const ModelSpec& spec = session.model().description().spec;
  const StateLayout& state = session.decoder().state_layout();
  ModelFigures figures;
  figures.name = session.model().name();
  figures.family = spec.family;
  figures.architecture = spec.architecture;
  figures.types = weight_types(checkpoint);
  figures.licence = std::move(licence);
  for (const TensorEntry& tensor : checkpoint.tensors()) figures.parameters += tensor.shape.elements();
  for (const auto& file : checkpoint.files()) figures.file_bytes += static_cast<int64_t>(file->size());
  figures.weight_bytes = session.decoder().weight_bytes();
  figures.context_tokens = spec.context_tokens;
  figures.state_bytes = state.bytes(spec.context_tokens);
  figures.state_token_bytes = state.token_bytes();
  figures.vocabulary = spec.vocabulary;
  figures.chat_template = session.model().chat_template() != nullptr;
  figures.thinks = session.can_think();
  return figures;
}

double tokens_per_character(const Tokenizer& tokenizer, const LanguageSample& sample) {
  const auto ids = tokenizer.encode(sample.text, {.parse_special = false, .add_special = false});
  return static_cast<double>(ids.size()) / static_cast<double>(count_code_points(sample.text));
}

Comparison compare(std::span<Session* const> sessions, std::span<const std::string> licences,
                   const CompareOptions& options, const std::atomic<bool>& cancel, const CompareProgress& progress) {
  const auto told = [&](std::string_view what, int64_t done, int64_t total) {
    if (progress) progress(what, done, total);
  };
  Comparison result;
  for (size_t i = 0; i < sessions.size(); ++i) result.models.push_back(describe(*sessions[i], licences[i]));
  if (options.count_languages) {
    for (const LanguageSample& sample : language_samples()) {
      Comparison::Language row{&sample, {}};
      for (Session* session : sessions) {
        row.tokens_per_character.push_back(tokens_per_character(session->model().tokenizer(), sample));
      }
      result.languages.push_back(std::move(row));
    }
  }
  if (options.measure_speed) {
    std::vector<EngineSubject> engines;
    engines.reserve(sessions.size());
    std::vector<SpeedSubject*> subjects;
    for (Session* session : sessions) {
      result.plans.push_back(fitted(options.speed, session->context_tokens()));
      engines.emplace_back(session->engine(), session->model().description().spec.vocabulary, result.plans.back());
      subjects.push_back(&engines.back());
    }
    result.speeds = measure_speed(
        subjects, options.speed_repetitions, [&] { return cancel.load(); },
        [&](int64_t done, int64_t total) { told("measuring speed", done, total); });
  }
  const auto total = static_cast<int64_t>(options.prompts.size() * sessions.size());
  int64_t done = 0;
  for (const std::string& prompt : options.prompts) {
    Comparison::Answers row{prompt, {}};
    for (Session* session : sessions) {
      told("answering", done++, total);
      row.answers.push_back(answer(*session, prompt, options, cancel));
    }
    result.answers.push_back(std::move(row));
  }
  if (total > 0) told("answering", total, total);
  return result;
}

}  // namespace duet
