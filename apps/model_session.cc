#include "apps/model_session.h"

#include <unistd.h>

#include <chrono>

#include "hub/resolve.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr auto kSilentFor = std::chrono::milliseconds(500);

}  // namespace

LateProgress::LateProgress()
    : display_(ProgressDisplay::standard_error()),
      drawn_(::isatty(STDERR_FILENO) == 1),
      begin_(ProgressDisplay::Clock::now()) {}

LateProgress::~LateProgress() { display_.finish(); }

bool LateProgress::shows() const {
  throw_if_interrupted();
  return drawn_ && ProgressDisplay::Clock::now() - begin_ >= kSilentFor;
}

void LateProgress::bytes(std::string_view what, int64_t done, int64_t total) {
  if (shows()) display_.advance(what, static_cast<uint64_t>(done), static_cast<uint64_t>(total));
}

void LateProgress::steps(std::string_view what, int64_t done, int64_t total) {
  if (shows()) display_.advance_steps(what, static_cast<uint64_t>(done), static_cast<uint64_t>(total));
}

std::unique_ptr<Session> open_session(const std::filesystem::path& path, const SessionOptions& given) {
  SessionOptions options = given;
  const bool by_model = options.speculate != "off" && options.speculate != "ngram" && options.speculate != "mtp";
  if (by_model) options.speculate = resolve_model(options.speculate).string();
  const std::string what = fmt::format("loading {}", path.filename().string());
  LateProgress progress;
  options.say = [&progress](const std::string& line) { progress.say("duet: note: " + line); };
  return std::make_unique<Session>(
      path, options, [&](int64_t done_bytes, int64_t total_bytes) { progress.bytes(what, done_bytes, total_bytes); });
}

}  // namespace duet
