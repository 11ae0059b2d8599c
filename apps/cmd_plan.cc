#include <memory>

#include "apps/command.h"
#include "apps/generation_options.h"
#include "apps/plan_report.h"
#include "apps/report_output.h"
#include "base/thread_pool.h"
#include "hub/resolve.h"
#include "model/footprint.h"
#include "report/machines.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr const char* kThisMachine = "this";

struct PlanArguments {
  std::string model;
  std::string machine = kThisMachine;
  bool machines = false;  // list those that are known
  int64_t sequences = 1;
  SessionOptions session;
  SyntheticArguments synthetic;
};

void list_machines(bool json) {
  const std::vector<KnownMachine> machines = known_machines();
  print_report({.json = [&] { return machines_json(machines); },
                .markdown = {},
                .text = [&](int width, bool bold) { return machines_text(machines, width, bold); }},
               json, false);
}

void plan(const PlanArguments& arguments, bool json) {
  if (arguments.machines) return list_machines(json);
  if (arguments.model.empty()) {
    throw Error(ErrorCode::kUsageError, "plan needs a model", "duet plan MODEL, or duet plan --machines");
  }
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
      ->type_name("MODEL");
  add_session_options(*command, arguments->session, /*context=*/true);
  add_expert_memory_option(*command, arguments->session);
  add_synthetic_options(*command, arguments->synthetic);
  command->add_option("--parallel", arguments->sequences, "sequences that are in flight at the same time")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option(
          "--machine", arguments->machine,
          "this: measured now; a name (--machines), or GB of memory and GB/s of bandwidth of another, as in 64:80")
      ->type_name("this|NAME|GB[:GB/S]")
      ->capture_default_str();
  command->add_flag("--machines", arguments->machines, "list the machines that --machine knows by name");
  command->add_flag("--json", state.json_errors, "print one JSON object");
  command->footer(
      "Reads no weights. Sizes are those that loading and answering really take, for the backend cpu. Speeds are what the\n"
      "machine's limits allow: a token reads all weights that it multiplies by, and the keys and values before it. Of a\n"
      "machine by name both are estimates from its makers' figures, whether or not Duet can use its processor yet.\n\n"
      "Examples:\n"
      "  duet plan smollm2-135m\n"
      "  duet plan model.gguf --ctx 32768 --parallel 8 --kv-type q8_0\n"
      "  duet plan config.json --synthetic --machine 64:80 --json\n"
      "  duet plan model.gguf --machine mac-m4-max-128");
  command->callback([arguments, &state] { plan(*arguments, state.json_errors); });
}

}  // namespace duet
