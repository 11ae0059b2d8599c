#include "apps/compare_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"
#include "terminal/output.h"
#include "terminal/table.h"

namespace duet {
namespace {

using Cells = std::vector<std::string>;

std::string size_text(int64_t bytes) { return human_bytes(static_cast<uint64_t>(bytes)); }

/// "135 M", "1.78 G"
std::string count_text(int64_t count) {
  const auto number = static_cast<double>(count);
  if (number >= 1e9) return fmt::format("{:.2f} G", number / 1e9);
  if (number >= 1e6) return fmt::format("{:.0f} M", number / 1e6);
  return fmt::format("{}", count);
}

std::string rate_text(double rate) { return rate > 0 ? fmt::format("{:.1f} tokens/s", rate) : "-"; }

/// How the figures of the models are told apart from each other, one row each.
std::vector<Cells> figure_rows(const Comparison& comparison) {
  std::vector<Cells> rows;
  const auto add = [&](std::string_view name, const auto& value) {
    Cells row{std::string(name)};
    for (size_t i = 0; i < comparison.models.size(); ++i) row.push_back(visible_controls(value(i)));
    rows.push_back(std::move(row));
  };
  const auto& models = comparison.models;
  add("family", [&](size_t i) { return models[i].family; });
  add("architecture", [&](size_t i) { return models[i].architecture; });
  add("parameters", [&](size_t i) { return count_text(models[i].parameters); });
  add("weights", [&](size_t i) { return models[i].types; });
  add("file", [&](size_t i) { return size_text(models[i].file_bytes); });
  add("memory, weights", [&](size_t i) { return size_text(models[i].weight_bytes); });
  add("memory, a token", [&](size_t i) { return size_text(models[i].state_token_bytes); });
  add("memory, full context", [&](size_t i) { return size_text(models[i].state_bytes); });
  add("context", [&](size_t i) { return fmt::format("{} tokens", models[i].context_tokens); });
  add("vocabulary", [&](size_t i) { return fmt::format("{}", models[i].vocabulary); });
  add("thinks", [&](size_t i) { return std::string(models[i].thinks ? "yes" : "no"); });
  add("licence", [&](size_t i) { return models[i].licence.empty() ? "not stated" : models[i].licence; });
  if (!comparison.speeds.empty()) {
    const auto& speeds = comparison.speeds;
    const SpeedPlan& plan = comparison.plans.front();
    add(fmt::format("reads, {} tokens", plan.prompt_tokens),
        [&](size_t i) { return rate_text(speeds[i].reading.median); });
    add(fmt::format("writes, {} tokens", plan.answer_tokens),
        [&](size_t i) { return rate_text(speeds[i].writing.median); });
  }
  return rows;
}

std::vector<TableColumn> model_columns(const Comparison& comparison, std::string first, bool right) {
  std::vector<TableColumn> columns{{std::move(first)}};
  for (const ModelFigures& model : comparison.models) columns.push_back({visible_controls(model.name), right});
  return columns;
}

/// Tokens for each hundred characters, and a last row with the mean over the languages.
std::vector<Cells> language_rows(const Comparison& comparison) {
  std::vector<Cells> rows;
  std::vector<double> sums(comparison.models.size());
  for (const Comparison::Language& language : comparison.languages) {
    Cells row{std::string(language.sample->name)};
    for (size_t i = 0; i < language.tokens_per_character.size(); ++i) {
      row.push_back(fmt::format("{:.1f}", 100 * language.tokens_per_character[i]));
      sums[i] += language.tokens_per_character[i];
    }
    rows.push_back(std::move(row));
  }
  Cells mean{"mean"};
  for (const double sum : sums) {
    mean.push_back(fmt::format("{:.1f}", 100 * sum / static_cast<double>(comparison.languages.size())));
  }
  rows.push_back(std::move(mean));
  return rows;
}

std::string answer_text(const ComparedAnswer& answer) {
  std::string text;
  if (!answer.reasoning.empty()) text += "<think>\n" + answer.reasoning + "\n</think>\n\n";
  text += answer.text;
  if (answer.error) text += fmt::format("[{}: {}]", error_code_name(answer.error->code()), answer.error->message());
  while (text.ends_with('\n')) text.pop_back();
  return visible_controls(text);
}

std::string answer_summary(const ComparedAnswer& answer) {
  const Finished& finished = answer.finished;
  if (answer.error) return "failed";
  std::string text = fmt::format("{} token{}", finished.new_tokens, finished.new_tokens == 1 ? "" : "s");
  if (const double rate = answer_tokens_per_second(finished); rate > 0) text += fmt::format(", {:.1f} tokens/s", rate);
  if (finished.reason != FinishReason::kStop) text += fmt::format(", ended by {}", finish_reason_name(finished.reason));
  return text;
}

std::vector<Cells> answer_rows(const Comparison::Answers& answers) {
  Cells texts, summaries;
  for (const ComparedAnswer& answer : answers.answers) {
    texts.push_back(answer_text(answer));
    summaries.push_back("(" + answer_summary(answer) + ")");
  }
  return {texts, summaries};
}

std::vector<TableColumn> answer_columns(const Comparison& comparison) {
  std::vector<TableColumn> columns = model_columns(comparison, "", false);
  columns.erase(columns.begin());
  return columns;
}

constexpr std::string_view kLanguageHead = "tokens per 100 characters";

}  // namespace

std::string compare_text(const Comparison& comparison, int width, bool bold) {
  std::string out = table_text(model_columns(comparison, "", false), figure_rows(comparison), width, bold);
  if (!comparison.languages.empty()) {
    out += "\n" + table_text(model_columns(comparison, std::string(kLanguageHead), true), language_rows(comparison),
                             width, bold);
  }
  for (const Comparison::Answers& answers : comparison.answers) {
    out += "\n> " + visible_controls(answers.prompt) + "\n\n";
    out += table_text(answer_columns(comparison), answer_rows(answers), width, bold);
  }
  return out;
}

std::string compare_markdown(const Comparison& comparison) {
  std::string out = "# Comparison\n\n" + table_markdown(model_columns(comparison, "", false), figure_rows(comparison));
  if (!comparison.languages.empty()) {
    out += "\n## Tokens per 100 characters\n\n" +
           table_markdown(model_columns(comparison, "language", true), language_rows(comparison));
  }
  for (const Comparison::Answers& answers : comparison.answers) {
    std::string quoted = "> ";
    for (const char c : visible_controls(answers.prompt)) quoted += c == '\n' ? "\n> " : std::string(1, c);
    out += "\n## Answers\n\n" + quoted + "\n";
    for (size_t i = 0; i < answers.answers.size(); ++i) {
      out += fmt::format("\n### {}\n\n{}\n\n*{}*\n", visible_controls(comparison.models[i].name),
                         answer_text(answers.answers[i]), answer_summary(answers.answers[i]));
    }
  }
  return out;
}

Json compare_json(const Comparison& comparison) {
  Json::Array models;
  for (size_t i = 0; i < comparison.models.size(); ++i) {
    const ModelFigures& model = comparison.models[i];
    Json::Object object{{"name", model.name},
                        {"family", model.family},
                        {"architecture", model.architecture},
                        {"parameters", model.parameters},
                        {"types", model.types},
                        {"file_bytes", model.file_bytes},
                        {"weight_bytes", model.weight_bytes},
                        {"state_token_bytes", model.state_token_bytes},
                        {"state_full_context_bytes", model.state_bytes},
                        {"context_tokens", model.context_tokens},
                        {"vocabulary", model.vocabulary},
                        {"chat_template", model.chat_template},
                        {"thinks", model.thinks},
                        {"licence", model.licence.empty() ? Json() : Json(model.licence)}};
    if (!comparison.speeds.empty()) {
      object.emplace_back("speed", Json::Object{{"prompt_tokens", comparison.plans[i].prompt_tokens},
                                                {"prompt_tok_per_s", comparison.speeds[i].reading.median},
                                                {"answer_tokens", comparison.plans[i].answer_tokens},
                                                {"tok_per_s", comparison.speeds[i].writing.median}});
    }
    models.emplace_back(std::move(object));
  }
  Json::Array languages;
  for (const Comparison::Language& language : comparison.languages) {
    Json::Array values(language.tokens_per_character.begin(), language.tokens_per_character.end());
    languages.push_back(Json::Object{
        {"code", language.sample->code}, {"name", language.sample->name}, {"tokens_per_character", std::move(values)}});
  }
  Json::Array prompts;
  for (const Comparison::Answers& row : comparison.answers) {
    Json::Array answers;
    for (const ComparedAnswer& answer : row.answers) {
      Json::Object object{{"text", answer.text}};
      if (!answer.reasoning.empty()) object.emplace_back("reasoning", answer.reasoning);
      if (answer.error) {
        object.emplace_back("error", Json::Object{{"code", error_code_name(answer.error->code())},
                                                  {"message", answer.error->message()}});
      } else {
        object.emplace_back("reason", finish_reason_name(answer.finished.reason));
        object.emplace_back("prompt_tokens", answer.finished.prompt_tokens);
        object.emplace_back("new_tokens", answer.finished.new_tokens);
        object.emplace_back("prompt_tok_per_s", prompt_tokens_per_second(answer.finished));
        object.emplace_back("tok_per_s", answer_tokens_per_second(answer.finished));
      }
      answers.emplace_back(std::move(object));
    }
    prompts.push_back(Json::Object{{"prompt", row.prompt}, {"answers", std::move(answers)}});
  }
  return Json::Object{
      {"models", std::move(models)}, {"languages", std::move(languages)}, {"prompts", std::move(prompts)}};
}

}  // namespace duet
