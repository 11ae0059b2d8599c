#include "apps/plan_report.h"

#include <fmt/format.h>

#include "terminal/output.h"
#include "terminal/table.h"

namespace duet {
namespace {

using PlanRow = std::vector<std::string>;

std::string size_text(int64_t bytes) { return human_bytes(static_cast<uint64_t>(bytes)); }

std::string rate_text(double rate) { return fmt::format("{:.{}f} tokens/s", rate, rate < 10 ? 2 : 0); }

std::vector<PlanRow> memory_rows(const ModelPlan& plan) {
  const MemoryPlan& memory = plan.memory;
  const WeightParts& weights = memory.weights;
  std::vector<PlanRow> rows;
  const auto add = [&](std::string name, int64_t bytes, std::string note) {
    if (bytes > 0) rows.push_back({std::move(name), size_text(bytes), std::move(note)});
  };
  add("weights", weights.total(), plan.types);
  add("  embedding", weights.embedding, weights.head == 0 ? "the head as well" : "");
  add("  head", weights.head, "");
  add("  attention", weights.attention, "");
  add("  Gated DeltaNet", weights.delta_net, "");
  add("  feed-forward", weights.dense, "");
  add("  experts", weights.experts,
      plan.expert_slots > 0
          ? fmt::format("{} of each layer, the others read from disk; routers and shared experts", plan.expert_slots)
          : "routers and shared experts among them");
  add("  norms", weights.norms, "");
  const std::string tokens = fmt::format("{} tokens", memory.context_tokens);
  add("state", memory.state_bytes(),
      fmt::format("of {} sequence{}", memory.sequences, memory.sequences == 1 ? "" : "s"));
  add("  keys and values", memory.kv_bytes, "each sequence, " + tokens);
  add("  recurrent state", memory.recurrent_bytes, "each sequence, whatever its length");
  add("  snapshots", memory.snapshot_bytes, "each sequence, at most");
  add("logits", memory.logits_bytes, "of a step");
  add("scratch", memory.scratch_bytes, "of a step");
  add("together", memory.total(), "");
  return rows;
}

std::vector<PlanRow> machine_rows(const ModelPlan& plan) {
  const Machine& machine = plan.machine;
  std::vector<PlanRow> rows = {{"machine", visible_controls(machine.name)}};
  constexpr double kGiga = 1e9;
  if (machine.memory_bytes > 0) {
    rows.push_back({"memory", fmt::format("{}: the model {}", size_text(machine.memory_bytes),
                                          plan.fits() ? "fits" : "does not fit")});
  }
  if (machine.read_bytes_per_second > 0) {
    rows.push_back({"bandwidth", fmt::format("{:.1f} GB/s", machine.read_bytes_per_second / kGiga)});
    rows.push_back({"decode, at most", fmt::format("{}; with a full context {}", rate_text(plan.decode_tps),
                                                   rate_text(plan.decode_full_tps))});
    if (plan.expert_slots > 0) rows.push_back({"", "with all experts in memory: what is read from disk comes on top"});
    if (plan.memory.sequences > 1) {
      rows.push_back({fmt::format("{} sequences, at most", plan.memory.sequences),
                      rate_text(plan.decode_all_tps) + " together, half full"});
    }
  }
  if (!machine.source.empty()) {
    rows.push_back({"a token, estimated",
                    fmt::format("{:.3g} ms; with a full context {:.3g} ms", plan.token_ms(), plan.token_full_ms())});
  }
  if (plan.prefill_tps > 0) {
    rows.push_back({fmt::format("prefill {}, at most", ModelPlan::kPromptTokens), rate_text(plan.prefill_tps)});
  }
  if (!machine.source.empty()) {
    rows.push_back({"source", machine.source});
    rows.push_back({"", "an estimate from these figures; nothing was measured"});
  }
  return rows;
}

}  // namespace

std::string plan_text(const ModelPlan& plan, int width, bool bold) {
  const std::vector<TableColumn> head = {{visible_controls(plan.name)}, {"memory", true}, {""}};
  std::string out = table_text(head, memory_rows(plan), width, bold);
  out += "\n" + table_text({{""}, {""}}, machine_rows(plan), width, bold);
  if (plan.advice.empty()) return out;
  std::vector<PlanRow> rows;
  for (const Advice& advice : plan.advice) {
    rows.push_back({advice.change, size_text(advice.total_bytes), advice.fits ? "fits" : "not by itself"});
  }
  out += "\n" + table_text({{"what would take less"}, {"together", true}, {""}}, rows, width, bold);
  return out;
}

Json plan_json(const ModelPlan& plan) {
  const auto rate = [](double value) { return value > 0 ? Json(value) : Json(); };
  const MemoryPlan& memory = plan.memory;
  const WeightParts& weights = memory.weights;
  const Machine& machine = plan.machine;
  Json::Array advice;
  for (const Advice& one : plan.advice) {
    advice.push_back(Json::Object{{"change", one.change}, {"total_bytes", one.total_bytes}, {"fits", one.fits}});
  }
  return Json::Object{
      {"model", plan.name},
      {"architecture", plan.architecture},
      {"types", plan.types},
      {"parameters", plan.parameters},
      {"context_tokens", memory.context_tokens},
      {"sequences", memory.sequences},
      {"weight_bytes", weights.total()},
      {"weights", Json::Object{{"embedding", weights.embedding},
                               {"head", weights.head},
                               {"attention", weights.attention},
                               {"delta_net", weights.delta_net},
                               {"dense", weights.dense},
                               {"experts", weights.experts},
                               {"norms", weights.norms}}},
      {"expert_slots", plan.expert_slots > 0 ? Json(plan.expert_slots) : Json()},
      {"kv_bytes", memory.kv_bytes},
      {"recurrent_bytes", memory.recurrent_bytes},
      {"snapshot_bytes", memory.snapshot_bytes},
      {"state_bytes", memory.state_bytes()},
      {"logits_bytes", memory.logits_bytes},
      {"scratch_bytes", memory.scratch_bytes},
      {"total_bytes", memory.total()},
      {"token_weight_bytes", plan.work.bytes},
      {"machine", Json::Object{{"name", machine.name},
                               {"memory_bytes", machine.memory_bytes > 0 ? Json(machine.memory_bytes) : Json()},
                               {"read_bytes_per_s", rate(machine.read_bytes_per_second)},
                               {"int8_macs_per_s", rate(machine.int8_macs_per_second)},
                               {"f32_macs_per_s", rate(machine.f32_macs_per_second)},
                               {"source", machine.source.empty() ? Json() : Json(machine.source)}}},
      {"estimate", !machine.source.empty()},
      {"token_ms", rate(plan.token_ms())},
      {"token_full_ms", rate(plan.token_full_ms())},
      {"decode_tps", rate(plan.decode_tps)},
      {"decode_full_tps", rate(plan.decode_full_tps)},
      {"decode_all_tps", rate(plan.decode_all_tps)},
      {"prefill_tps", rate(plan.prefill_tps)},
      {"fits", plan.fits()},
      {"advice", std::move(advice)}};
}

std::string machines_text(const std::vector<KnownMachine>& machines, int width, bool bold) {
  std::vector<PlanRow> rows;
  for (const KnownMachine& known : machines) {
    constexpr double kGiga = 1e9;
    rows.push_back({known.name, size_text(known.machine.memory_bytes),
                    fmt::format("{:.1f} GB/s", known.machine.read_bytes_per_second / kGiga), known.machine.name});
  }
  return table_text({{"--machine"}, {"memory", true}, {"bandwidth", true}, {""}}, rows, width, bold);
}

Json machines_json(const std::vector<KnownMachine>& machines) {
  Json::Array all;
  for (const KnownMachine& known : machines) {
    const auto rate = [](double value) { return value > 0 ? Json(value) : Json(); };
    const Machine& machine = known.machine;
    all.push_back(Json::Object{{"name", known.name},
                               {"title", machine.name},
                               {"memory_bytes", machine.memory_bytes},
                               {"read_bytes_per_s", rate(machine.read_bytes_per_second)},
                               {"int8_macs_per_s", rate(machine.int8_macs_per_second)},
                               {"f32_macs_per_s", rate(machine.f32_macs_per_second)},
                               {"source", machine.source}});
  }
  return all;
}

}  // namespace duet
