#include "report/peer.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "base/os_process.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNames[] = {"llama.cpp", "ik_llama.cpp"};
constexpr size_t kMaxOutput = size_t{1} << 20;

bool is_ik(const Peer& peer) { return peer.name == kNames[1]; }

/// The path of a peer's program; std::nullopt where it is not.
std::optional<std::string> program_of(const fs::path& folder, const std::string& program) {
  for (const char* below : {"", "bin", "build/bin"}) {
    if (auto found = find_program((folder / below / program).string())) return found;
  }
  return std::nullopt;
}

std::string_view last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  const size_t end = text.rfind('\n');
  return end == std::string_view::npos ? text : text.substr(end + 1);
}

[[noreturn]] void refuse(const Peer& peer, const std::string& program, const PeerOutput& wrote, std::string_view what) {
  const std::string_view said = last_line(wrote.errors.empty() ? wrote.output : wrote.errors);
  throw Error(ErrorCode::kIoError,
              fmt::format("{}: {} {}: {}", peer.name, fs::path(program).filename().string(), what,
                          said.empty() ? "it wrote nothing" : printable(said, 300)),
              "run it by hand to see all that it writes");
}

int64_t integer_of(const Json& record, std::string_view key) {
  const Json* value = record.find(key);
  return value != nullptr && value->is_integer() ? value->integer() : 0;
}

std::vector<double> numbers_in_row(std::string_view line) {
  std::vector<double> numbers;
  for (size_t at = 0; at < line.size();) {
    at = line.find_first_not_of(" |", at);
    if (at == std::string_view::npos) break;
    const size_t end = std::min(line.find_first_of(" |", at), line.size());
    double value = 0;
    const auto [stop, code] = std::from_chars(line.data() + at, line.data() + end, value);
    if (code != std::errc() || stop != line.data() + end) return {};
    numbers.push_back(value);
    at = end;
  }
  return numbers;
}

}  // namespace

std::string need_program(const Peer& peer, const std::string& program) {
  const auto found = program_of(peer.folder, program);
  if (!found) {
    throw Error(ErrorCode::kNotFound,
                fmt::format("{}: no program {} in {}", peer.name, program, printable(peer.folder.string())),
                "the folder, or bin/ or build/bin/ in it, must hold the peer's programs");
  }
  return *found;
}

PeerOutput run_peer(const Peer& peer, const std::vector<std::string>& command, const Cancelled& cancelled) {
  ProcessResult result =
      run_process({.command = command, .max_output_bytes = kMaxOutput, .separate_errors = true}, cancelled, {});
  if (result.cancelled) throw Error(ErrorCode::kCancelled, "interrupted");
  PeerOutput wrote{std::move(result.output), std::move(result.errors)};
  if (result.exit_status != 0) refuse(peer, command[0], wrote, fmt::format("ended with status {}", result.exit_status));
  return wrote;
}

Peer parse_peer(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  if (equals == std::string_view::npos || equals + 1 == text.size() ||
      std::find(std::begin(kNames), std::end(kNames), name) == std::end(kNames)) {
    fail(ErrorCode::kUsageError, "'{}' is no peer, legal: llama.cpp=FOLDER or ik_llama.cpp=FOLDER", printable(text));
  }
  Peer peer{std::string(name), fs::path(text.substr(equals + 1))};
  need_program(peer, "llama-bench");
  return peer;
}

std::vector<PeerCommand> peer_commands(const Peer& peer, const fs::path& model, const SpeedPlan& plan, int threads) {
  using Words = std::vector<std::string>;
  const auto number = [](int64_t value) { return std::to_string(value); };
  const bool batched = plan.sequences > 1, deep = plan.depth_tokens > 0;
  const bool reads = !(is_ik(peer) && deep);
  std::vector<PeerCommand> commands;
  if (reads || !batched) {
    PeerCommand bench;
    bench.reads = reads;
    bench.writes = !batched;
    bench.words = {need_program(peer, "llama-bench"), "-m", model.string(), "-t", number(threads), "-r", "1"};
    const std::string answer = number(bench.writes ? plan.answer_tokens : 0);
    if (is_ik(peer) && deep) {
      for (const auto& word : Words{"-p", "0", "-n", "0", "-gp", number(plan.depth_tokens) + "," + answer})
        bench.words.push_back(word);
    } else {
      for (const auto& word : Words{"-p", number(plan.prompt_tokens), "-n", answer}) bench.words.push_back(word);
      if (deep) {
        for (const auto& word : Words{"-d", number(plan.depth_tokens)}) bench.words.push_back(word);
      }
    }
    if (is_ik(peer)) {
      for (const char* word : {"-fa", "1", "-rtr", "1", "-fmoe", "1"}) bench.words.emplace_back(word);
    }
    for (const char* word : {"-o", "json"}) bench.words.emplace_back(word);
    commands.push_back(std::move(bench));
  }
  if (batched) {
    PeerCommand bench;
    bench.writes = true;
    const int64_t prompt = std::max<int64_t>(1, plan.depth_tokens);
    bench.words = {need_program(peer, "llama-batched-bench"),
                   "-m",
                   model.string(),
                   "-t",
                   number(threads),
                   "-npp",
                   number(prompt),
                   "-ntg",
                   number(plan.answer_tokens),
                   "-npl",
                   number(plan.sequences),
                   "-c",
                   number(plan.sequences * (prompt + plan.answer_tokens))};
    if (is_ik(peer)) bench.words.emplace_back("-rtr");
    commands.push_back(std::move(bench));
  }
  return commands;
}

SpeedSample read_llama_bench(std::string_view output, const SpeedPlan& plan) {
  // Before the array some builds say on standard output what they run on.
  const size_t begin = output.starts_with("[") ? 0 : output.find("\n[");
  if (begin == std::string_view::npos) fail(ErrorCode::kBadJson, "llama-bench wrote no JSON array");
  const Json records = parse_json(output.substr(begin), "the output of llama-bench");
  SpeedSample sample;
  if (!records.is_array()) fail(ErrorCode::kBadType, "llama-bench wrote no JSON array");
  for (const Json& record : records.array()) {
    const Json* rate = record.find("avg_ts");
    if (rate == nullptr || !rate->is_number()) fail(ErrorCode::kMissingKey, "llama-bench gives no number 'avg_ts'");
    const int64_t prompt = integer_of(record, "n_prompt"), answer = integer_of(record, "n_gen");
    if (answer == 0 && prompt == plan.prompt_tokens) sample.reading = rate->number();
    // At a depth, ik_llama.cpp calls what stands there the prompt.
    if (answer == plan.answer_tokens && (prompt == 0 || prompt == plan.depth_tokens)) sample.writing = rate->number();
  }
  return sample;
}

SpeedSample read_batched_bench(std::string_view output, const SpeedPlan& plan) {
  // | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |
  constexpr size_t kColumns = 10, kSequences = 2, kAnswer = 1, kAnswerRate = 7;
  while (!output.empty()) {
    const size_t end = std::min(output.find('\n'), output.size());
    const std::vector<double> row = numbers_in_row(output.substr(0, end));
    output.remove_prefix(std::min(end + 1, output.size()));
    if (row.size() == kColumns && static_cast<int64_t>(row[kSequences]) == plan.sequences &&
        static_cast<int64_t>(row[kAnswer]) == plan.answer_tokens) {
      return {.writing = row[kAnswerRate]};
    }
  }
  fail(ErrorCode::kMissingKey, "llama-batched-bench gives no row of {} sequences and {} tokens", plan.sequences,
       plan.answer_tokens);
}

void PeerSubject::warm_up(const Cancelled&) { peer_commands(peer_, model_, plan_, threads_); }

SpeedSample PeerSubject::measure(uint32_t, const Cancelled& cancelled) {
  SpeedSample sample;
  for (const PeerCommand& command : peer_commands(peer_, model_, plan_, threads_)) {
    const PeerOutput wrote = run_peer(peer_, command.words, cancelled);
    const bool batched = command.words[0].ends_with("llama-batched-bench");
    try {
      const SpeedSample found =
          batched ? read_batched_bench(wrote.output + wrote.errors, plan_) : read_llama_bench(wrote.output, plan_);
      if (command.reads) sample.reading = found.reading;
      if (command.writes) sample.writing = found.writing;
    } catch (const Error& error) {
      refuse(peer_, command.words[0], wrote, error.message());
    }
    if ((command.reads && sample.reading <= 0) || (command.writes && sample.writing <= 0)) {
      refuse(peer_, command.words[0], wrote, "did not measure what it was asked for");
    }
  }
  return sample;
}

}  // namespace duet
