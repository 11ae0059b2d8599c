#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "chat/session.h"
#include "report/language_samples.h"
#include "report/speed.h"

namespace duet {

/// Types that hold a percent of the bytes at least, the largest share first: "q4_k, q6_k". Norms and biases say
/// nothing.
std::string weight_types(const Checkpoint& checkpoint);

/// What a model is and what it takes, as its files and its loaded form say.
struct ModelFigures {
  std::string name, family, architecture;
  std::string types;              // of its weights, the largest share first: "q4_k, q6_k, f32"
  std::string licence;            // "" = not stated
  int64_t parameters = 0;         // stored numbers
  int64_t file_bytes = 0;         // of all files
  int64_t weight_bytes = 0;       // in memory
  int64_t context_tokens = 0;     // of the model
  int64_t state_bytes = 0;        // of a sequence that fills the context
  int64_t state_token_bytes = 0;  // of one token more, pages apart
  int64_t vocabulary = 0;
  bool chat_template = false, thinks = false;
};
ModelFigures describe(Session& session, std::string licence);

/// Tokens that a model's tokenizer makes of a sample, for each of its characters (code points).
double tokens_per_character(const Tokenizer& tokenizer, const LanguageSample& sample);

/// One model's answer to one prompt.
struct ComparedAnswer {
  std::string text, reasoning;
  Finished finished;
  std::optional<Error> error;  // the request failed; `text` is what came before
};

struct CompareOptions {
  std::vector<std::string> prompts;
  std::string system;
  ChatOptions chat;
  SamplingParams sampling;
  SamplingTexts sampling_texts;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;
  SpeedPlan speed;  // of one sequence; shorter where a context is small
  int speed_repetitions = 3;
  bool measure_speed = true, count_languages = true;
};

struct Comparison {
  std::vector<ModelFigures> models;
  std::vector<SpeedPlan> plans;  // of each model, as it was measured; empty: not measured
  std::vector<Speed> speeds;     // the same
  struct Language {
    const LanguageSample* sample;
    std::vector<double> tokens_per_character;  // of each model
  };
  std::vector<Language> languages;
  struct Answers {
    std::string prompt;
    std::vector<ComparedAnswer> answers;  // of each model
  };
  std::vector<Answers> answers;
};

/// Told what is being done: step `done` of `total` of `what`.
using CompareProgress = std::function<void(std::string_view what, int64_t done, int64_t total)>;

/// Everything about several models side by side. Each prompt is a conversation of its own, every model gets the same
/// options; a model without a chat template gets the prompt as it is. Throws cancelled; what one answer fails with
/// stands in its place.
Comparison compare(std::span<Session* const> sessions, std::span<const std::string> licences,
                   const CompareOptions& options, const std::atomic<bool>& cancel,
                   const CompareProgress& progress = {});

}  // namespace duet
