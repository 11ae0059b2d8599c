#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "report/speed.h"

namespace duet {

/// Another engine on this machine, measured by its own programs.
struct Peer {
  std::string name;  // "llama.cpp" or "ik_llama.cpp": they take other options
  std::filesystem::path folder;
};
/// "NAME=FOLDER". The folder, or bin/ or build/bin/ in it, holds llama-bench. Throws usage_error (form, name),
/// not_found (names the program and the folders).
Peer parse_peer(std::string_view text);

/// The path of one of a peer's programs. Throws not_found (names it and the folder).
std::string need_program(const Peer& peer, const std::string& program);
/// Runs a program of a peer to its end. Throws io_error where it fails (names the program and the last line that it
/// wrote), cancelled.
struct PeerOutput {
  std::string output, errors;
};
PeerOutput run_peer(const Peer& peer, const std::vector<std::string>& command, const Cancelled& cancelled);

/// The command lines of one repetition of a plan, each with the figures that it is for. llama-bench has no several
/// sequences, which llama-batched-bench has; ik_llama.cpp's has no prompt at a depth.
struct PeerCommand {
  std::vector<std::string> words;
  bool reads = false, writes = false;
};
std::vector<PeerCommand> peer_commands(const Peer& peer, const std::filesystem::path& model, const SpeedPlan& plan,
                                       int threads);

/// The figures in what llama-bench -o json wrote. Throws bad_json, missing_key.
SpeedSample read_llama_bench(std::string_view output, const SpeedPlan& plan);
/// The figure of the answers in the table of llama-batched-bench. Throws missing_key.
SpeedSample read_batched_bench(std::string_view output, const SpeedPlan& plan);

/// A peer on a GGUF file. What fails names the program and the last line that it wrote.
class PeerSubject final : public SpeedSubject {
 public:
  PeerSubject(Peer peer, std::filesystem::path model, const SpeedPlan& plan, int threads)
      : peer_(std::move(peer)), model_(std::move(model)), plan_(plan), threads_(threads) {}
  /// Finds the programs; they warm up by themselves. Throws not_found.
  void warm_up(const Cancelled& cancelled) override;
  SpeedSample measure(uint32_t run, const Cancelled& cancelled) override;

 private:
  Peer peer_;
  std::filesystem::path model_;
  SpeedPlan plan_;
  int threads_;
};

}  // namespace duet
