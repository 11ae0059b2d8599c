#include "apps/bench_report.h"

#include <fmt/format.h>

#include "terminal/output.h"
#include "terminal/table.h"

namespace duet {
namespace {

using BenchRow = std::vector<std::string>;

/// Three digits: "0.123", "12.3", "1234".
std::string figure_text(double value) {
  if (value >= 100) return fmt::format("{:.0f}", value);
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string range_text(const Summary& summary, double unit = 1.0) {
  return fmt::format("{} to {}", figure_text(summary.low / unit), figure_text(summary.high / unit));
}

std::string depth_text(const SpeedPlan& plan) {
  return plan.depth_tokens > 0 ? fmt::format(" at depth {}", plan.depth_tokens) : "";
}

std::string prefill_name(const SpeedPlan& plan) {
  return fmt::format("prefill {}{}", plan.prompt_tokens, depth_text(plan));
}

std::string decode_name(const SpeedPlan& plan) {
  std::string name = fmt::format("decode {}{}", plan.answer_tokens, depth_text(plan));
  if (plan.sequences > 1) name += fmt::format(", {} sequences", plan.sequences);
  return name;
}

std::string machine_text(const BenchResult& result) {
  std::string text = visible_controls(result.cpu);
  for (size_t i = 0; i < result.features.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? ": " : ", ", result.features[i]);
  return text;
}

std::vector<TableColumn> setup_columns() { return {{""}, {""}}; }
std::vector<BenchRow> setup_rows(const BenchResult& result) {
  const ModelFigures& model = result.model;
  std::vector<BenchRow> rows = {
      {"processor", machine_text(result)},
      {"level, threads", fmt::format("{}, {}", result.level, result.threads)},
      {"model", fmt::format("{}: {}, {}, {}", visible_controls(model.name), visible_controls(model.architecture),
                            model.types, human_bytes(static_cast<uint64_t>(model.file_bytes)))},
      {"activations", result.activations},
      {"load", fmt::format("{:.3f} s{}; to the first token {:.3f} s", result.load_seconds,
                           result.from_packed_cache ? " from the packed cache" : "", result.first_token_seconds)},
      {"memory", fmt::format("{}, of it weights {}", human_bytes(result.resident_bytes),
                             human_bytes(static_cast<uint64_t>(model.weight_bytes)))},
  };
  if (result.experts) {
    rows.push_back({"experts", fmt::format("{:.0f} % were in memory; {} reads, {}", 100 * result.experts->hit_rate(),
                                           result.experts->reads,
                                           human_bytes(static_cast<uint64_t>(result.experts->read_bytes)))});
  }
  return rows;
}

std::vector<TableColumn> speed_columns(const BenchResult& result) {
  return {
      {fmt::format("median of {}", result.repetitions)}, {"tokens/s", true}, {"lowest to highest", true}, {"reached"}};
}
std::vector<BenchRow> speed_rows(const BenchResult& result) {
  const Speed& speed = result.speed;
  return {{prefill_name(result.plan), figure_text(speed.reading.median), range_text(speed.reading),
           fmt::format("{:.0f} % of the peak of its multiply-adds", 100 * result.share.reading)},
          {decode_name(result.plan), figure_text(speed.writing.median), range_text(speed.writing),
           fmt::format("{:.0f} % of what memory gives, at {} a step", 100 * result.share.writing,
                       human_bytes(static_cast<uint64_t>(result.work.writing_bytes)))}};
}

std::vector<TableColumn> limit_columns() {
  return {{"limit of this machine"}, {"sustained", true}, {"lowest to highest, instruction"}};
}
std::vector<BenchRow> limit_rows(const BenchResult& result) {
  const MachineLimits& limits = result.limits;
  constexpr double kGiga = 1e9;
  const auto read = [&](std::string name, const Summary& rate) {
    return BenchRow{std::move(name), figure_text(rate.median / kGiga) + " GB/s", range_text(rate, kGiga)};
  };
  const std::string size = human_bytes(static_cast<uint64_t>(limits.read_buffer_bytes));
  std::vector<BenchRow> rows = {read(fmt::format("{} of memory, {} threads", size, result.threads), limits.read),
                                read(fmt::format("{} of memory, one thread", size), limits.read_one_thread)};
  for (const PeakRate& peak : limits.peaks) {
    rows.push_back({std::string(peak.arithmetic), figure_text(peak.macs_per_second / kGiga) + " GMAC/s",
                    std::string(peak.instruction)});
  }
  return rows;
}

std::vector<TableColumn> peer_columns() {
  return {{"in turns with ours"},
          {"tokens/s", true},
          {"lowest to highest", true},
          {"ours by theirs", true},
          {"lowest to highest", true}};
}
std::vector<BenchRow> peer_rows(const BenchResult& result) {
  std::vector<BenchRow> rows;
  for (const BenchResult::PeerFigures& peer : result.peers) {
    const auto add = [&](const std::string& name, const Summary& rate, const Summary& ratio) {
      if (rate.median <= 0) {
        rows.push_back({peer.name + " " + name, "-", "not measured by its program", "", ""});
      } else {
        rows.push_back({peer.name + " " + name, figure_text(rate.median), range_text(rate), figure_text(ratio.median),
                        range_text(ratio)});
      }
    };
    add(prefill_name(result.plan), peer.speed.reading, peer.ratio.reading);
    add(decode_name(result.plan), peer.speed.writing, peer.ratio.writing);
  }
  return rows;
}

std::vector<TableColumn> divergence_columns() {
  return {{"KL from our f32, nats"},      {"mean", true}, {"99 %", true}, {"highest", true},
          {"same likeliest token", true}, {"rows", true}};
}
std::vector<BenchRow> divergence_rows(const BenchResult& result) {
  std::vector<BenchRow> rows;
  const auto add = [&](const std::string& name, const std::optional<Divergence>& found) {
    if (!found) return;
    rows.push_back({name, fmt::format("{:.2e}", found->mean), fmt::format("{:.2e}", found->percentile_99),
                    fmt::format("{:.2e}", found->highest), fmt::format("{:.1f} %", 100 * found->same_top),
                    fmt::format("{}", found->rows)});
  };
  add("ours, " + result.activations, result.divergence);
  for (const BenchResult::PeerFigures& peer : result.peers) add(peer.name, peer.divergence);
  return rows;
}

void add_divergence(Json::Object& object, const std::optional<Divergence>& found) {
  if (!found) return;
  object.emplace_back("kl", Json::Object{{"mean", found->mean},
                                         {"percentile_99", found->percentile_99},
                                         {"highest", found->highest},
                                         {"same_top", found->same_top},
                                         {"rows", found->rows}});
}

void add_summary(Json::Object& object, const std::string& name, const Summary& summary) {
  const bool measured = summary.median > 0;
  object.emplace_back(name, measured ? Json(summary.median) : Json());
  object.emplace_back(name + "_low", measured ? Json(summary.low) : Json());
  object.emplace_back(name + "_high", measured ? Json(summary.high) : Json());
}

void add_speed(Json::Object& object, const Speed& speed) {
  add_summary(object, "prefill_tps", speed.reading);
  add_summary(object, "decode_tps", speed.writing);
}

}  // namespace

std::string bench_text(const BenchResult& result, int width, bool bold) {
  std::string out = table_text(setup_columns(), setup_rows(result), width, bold);
  out += "\n" + table_text(speed_columns(result), speed_rows(result), width, bold);
  out += "\n" + table_text(limit_columns(), limit_rows(result), width, bold);
  if (!result.peers.empty()) out += "\n" + table_text(peer_columns(), peer_rows(result), width, bold);
  const std::vector<BenchRow> divergences = divergence_rows(result);
  if (!divergences.empty()) out += "\n" + table_text(divergence_columns(), divergences, width, bold);
  return out;
}

std::string bench_markdown(const BenchResult& result) {
  std::string out = fmt::format("# Speed of {}\n\n", visible_controls(result.model.name));
  out += table_markdown(setup_columns(), setup_rows(result));
  out += "\n" + table_markdown(speed_columns(result), speed_rows(result));
  out += "\n" + table_markdown(limit_columns(), limit_rows(result));
  if (!result.peers.empty()) out += "\n" + table_markdown(peer_columns(), peer_rows(result));
  const std::vector<BenchRow> divergences = divergence_rows(result);
  if (!divergences.empty()) out += "\n" + table_markdown(divergence_columns(), divergences);
  return out;
}

Json bench_json(const BenchResult& result) {
  constexpr double kMilli = 1e3;
  Json::Object object{{"model", result.model.name},
                      {"architecture", result.model.architecture},
                      {"types", result.model.types},
                      {"file_bytes", result.model.file_bytes},
                      {"weight_bytes", result.model.weight_bytes},
                      {"cpu", result.cpu},
                      {"features", Json::Array(result.features.begin(), result.features.end())},
                      {"level", result.level},
                      {"activations", result.activations},
                      {"threads", result.threads},
                      {"prompt_tokens", result.plan.prompt_tokens},
                      {"answer_tokens", result.plan.answer_tokens},
                      {"depth_tokens", result.plan.depth_tokens},
                      {"sequences", result.plan.sequences},
                      {"repetitions", result.repetitions},
                      {"load_ms", result.load_seconds * kMilli},
                      {"packed_cache", result.from_packed_cache},
                      {"expert_reads", result.experts ? Json(result.experts->reads) : Json()},
                      {"expert_read_bytes", result.experts ? Json(result.experts->read_bytes) : Json()},
                      {"expert_hit_rate", result.experts ? Json(result.experts->hit_rate()) : Json()},
                      {"first_token_ms", result.first_token_seconds * kMilli},
                      {"rss_bytes", static_cast<int64_t>(result.resident_bytes)}};
  add_speed(object, result.speed);
  object.emplace_back("decode_step_bytes", result.work.writing_bytes);
  object.emplace_back("prefill_share_of_peak", result.share.reading);
  object.emplace_back("decode_share_of_memory", result.share.writing);
  Json::Object limits;
  limits.emplace_back("read_buffer_bytes", result.limits.read_buffer_bytes);
  add_summary(limits, "read_bytes_per_s", result.limits.read);
  add_summary(limits, "read_one_thread_bytes_per_s", result.limits.read_one_thread);
  for (const PeakRate& peak : result.limits.peaks) {
    limits.emplace_back(fmt::format("{}_macs_per_s", peak.arithmetic), peak.macs_per_second);
    limits.emplace_back(fmt::format("{}_instruction", peak.arithmetic), peak.instruction);
  }
  object.emplace_back("limits", std::move(limits));
  add_divergence(object, result.divergence);
  Json::Array peers;
  for (const BenchResult::PeerFigures& peer : result.peers) {
    Json::Object own{{"name", peer.name}};
    add_speed(own, peer.speed);
    add_summary(own, "prefill_ratio", peer.ratio.reading);
    add_summary(own, "decode_ratio", peer.ratio.writing);
    add_divergence(own, peer.divergence);
    peers.emplace_back(std::move(own));
  }
  object.emplace_back("peers", std::move(peers));
  return object;
}

}  // namespace duet
