#include "apps/model_session.h"

#include <unistd.h>

#include <chrono>

#include "hub/resolve.h"
#include "terminal/interrupt.h"
#include "terminal/progress.h"

namespace duet {
namespace {

constexpr auto kSilentFor = std::chrono::milliseconds(500);

}  // namespace

std::unique_ptr<Session> open_session(const std::filesystem::path& path, const SessionOptions& given) {
  SessionOptions options = given;
  const bool by_model = options.speculate != "off" && options.speculate != "ngram" && options.speculate != "mtp";
  if (by_model) options.speculate = resolve_model(options.speculate).string();
  const auto begin = std::chrono::steady_clock::now();
  const std::string what = fmt::format("loading {}", path.filename().string());
  ProgressDisplay display(ProgressDisplay::standard_error());
  options.say = [&display](const std::string& line) { display.say("duet: note: " + line); };
  const bool drawn = ::isatty(STDERR_FILENO) == 1;
  const auto progress = [&](int64_t done_bytes, int64_t total_bytes) {
    throw_if_interrupted();
    if (!drawn || std::chrono::steady_clock::now() - begin < kSilentFor) return;
    display.advance(what, static_cast<uint64_t>(done_bytes), static_cast<uint64_t>(total_bytes));
  };
  try {
    auto session = std::make_unique<Session>(path, options, progress);
    display.finish();
    return session;
  } catch (...) {
    display.finish();
    throw;
  }
}

}  // namespace duet
