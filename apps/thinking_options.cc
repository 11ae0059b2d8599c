#include "apps/thinking_options.h"

namespace duet {

ChatOptions ThinkingOptions::over(ChatOptions defaults) const {
  if (think) defaults.think = true;
  if (no_think) defaults.think = false;
  if (budget_tokens) defaults.thought_tokens = budget_tokens;
  if (drop_oldest) defaults.drop_oldest = true;
  return defaults;
}

void ThinkingOptions::check(Session& session) const {
  if ((!think && !budget_tokens) || session.can_think()) return;
  throw Error(ErrorCode::kUnsupportedFeature,
              fmt::format("{}: the model's template knows no thinking that could be set", session.model().name()),
              "leave out --think and --think-budget");
}

void add_thinking_options(CLI::App& command, ThinkingOptions& options, bool turns) {
  CLI::Option* think = command.add_flag("--think", options.think, "the model thinks before it answers");
  CLI::Option* no_think =
      command.add_flag("--no-think", options.no_think, "the model answers at once")->excludes(think);
  command.add_option("--think-budget", options.budget_tokens, "think, for at most N tokens, then answer")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
      ->type_name("N")
      ->excludes(no_think);
  if (!turns) return;
  command.add_flag("--drop-oldest", options.drop_oldest,
                   "leave out the oldest turns of a conversation that is longer than the context, saying so");
}

}  // namespace duet
