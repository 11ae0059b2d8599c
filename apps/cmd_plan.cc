#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/plan_report.h"
#include "apps/report_output.h"
#include "base/thread_pool.h"
#include "hub/resolve.h"
#include "model/footprint.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr const char* kThisMachine = "this";

struct PlanArguments {
  std::string model;
  std::string machine = kThisMachine;
  int64_t sequences = 1;
  SessionOptions session;
  SyntheticArguments synthetic;
};

void plan(const PlanArguments& arguments, bool json) {
  MemoryPlanOptions options;
  options.context_tokens = arguments.session.context_tokens;
  options.sequences = arguments.sequences;
  options.threads = arguments.session.threads > 0 ? arguments.session.threads : usable_cores();
  const bool here = arguments.machine == kThisMachine;
  Machine machine = here ? Machine{} : parse_machine(arguments.machine);
  watch_interrupts();
  const std::filesystem::path path = resolve_model(arguments.model);
  const auto synthetic = arguments.synthetic.options();
  LoadedModel model = synthetic ? LoadedModel(path, *synthetic) : LoadedModel(path);
  options.arithmetic = choose_arithmetic(arguments.session, model.checkpoint());
  if (arguments.session.expert_memory_bytes) {
    options.arithmetic.expert_slots =
        expert_slots_for(model.description(), *arguments.session.expert_memory_bytes, options.arithmetic.mtp);
  }
  plan_memory(model.description(), options);  // what is wrong is said before anything is measured
  if (here) {
    ThreadPool pool(options.threads);
    with_progress([&](const ReportProgress& progress) {
      machine = measure_machine(
          pool, [] { return interrupt_requested().load(); }, progress);
    });
  }
  const ModelPlan result = plan_model(model.checkpoint(), model.description(), options, std::move(machine));
  print_report({.json = [&] { return plan_json(result); },
                .markdown = {},
                .text = [&](int width, bool bold) { return plan_text(result, width, bold); }},
               json, false);
}

}  // namespace

void add_plan_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("plan", "what memory a model will take and how fast it can be, unloaded");
  const auto arguments = std::make_shared<PlanArguments>();
  command->add_option("model", arguments->model, "a name (duet list), a GGUF file, or a Hugging Face folder")
      ->required()
      ->type_name("MODEL");
  add_session_options(*command, arguments->session, /*context=*/true);
  add_expert_memory_option(*command, arguments->session);
  add_synthetic_options(*command, arguments->synthetic);
  command->add_option("--parallel", arguments->sequences, "sequences that are in flight at the same time")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--machine", arguments->machine,
                   "this: measured now; or GB of memory and GB/s of bandwidth of another, as in 64:80")
      ->type_name("this|GB[:GB/S]")
      ->capture_default_str();
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->footer(
      "Reads no weights. Sizes are those that loading and answering really take, for the backend cpu. Speeds are what the\n"
      "machine's limits allow: a token reads all weights that it multiplies by, and the keys and values before it.\n\n"
      "Examples:\n"
      "  duet plan smollm2-135m\n"
      "  duet plan model.gguf --ctx 32768 --parallel 8 --kv-type q8_0\n"
      "  duet plan config.json --synthetic --machine 64:80 --json");
  command->callback([arguments, &state] { plan(*arguments, state.json_errors); });
}

}  // namespace duet
