#include "text/jinja/limits.h"

#include <ctime>

#include "text/jinja/template_error.h"

namespace duet {

std::string_view template_error_kind_name(TemplateErrorKind kind) {
  switch (kind) {
    case TemplateErrorKind::kRaised:
      return "raised";
    case TemplateErrorKind::kUndefined:
      return "undefined";
    case TemplateErrorKind::kSyntax:
      return "syntax";
    case TemplateErrorKind::kType:
      return "type";
    case TemplateErrorKind::kRuntime:
      return "runtime";
    case TemplateErrorKind::kSecurity:
      return "security";
    case TemplateErrorKind::kLimit:
      return "limit";
  }
  return "runtime";
}

namespace jinja {

Limits Limits::for_input(int64_t bytes) const {
  constexpr int64_t kNanosecondsPerByte = 100;
  Limits out = *this;
  out.max_steps += bytes / 16;
  out.max_output += 2 * bytes;
  out.max_value_bytes += 2 * bytes;
  out.max_live_bytes += 4 * bytes;
  out.max_time += std::chrono::milliseconds(bytes * kNanosecondsPerByte / 1'000'000);
  return out;
}

void Budget::check_size(int64_t size_bytes) const {
  if (size_bytes < 0 || size_bytes > limits_.max_value_bytes) {
    raise_limit("a value of {} bytes is above the limit of {} bytes", size_bytes, limits_.max_value_bytes);
  }
}

void Budget::allocate(int64_t size_bytes) {
  check_size(size_bytes);
  bytes(size_bytes);
  if (live_bytes_ + size_bytes > limits_.max_live_bytes) {
    raise_limit("the template's values take more than {} bytes", limits_.max_live_bytes);
  }
  live_bytes_ += size_bytes;
}

std::chrono::nanoseconds Budget::processor_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void Budget::check_spent() {
  if (spent_ / kUnits >= limits_.max_steps) raise_limit("the template takes more than {} steps", limits_.max_steps);
  if (processor_time() - start_ > limits_.max_time) {
    raise_limit("the template takes longer than {} ms", limits_.max_time.count());
  }
  next_check_ = spent_ + kCheckEvery;
}

void Budget::too_deep(int64_t& counter) {
  const int64_t limit = &counter == &depth_ ? limits_.max_depth : limits_.max_nesting;
  --counter;  // the guard's destructor does not run when its constructor throws
  raise_limit("nested deeper than {} levels", limit);
}

}  // namespace jinja
}  // namespace duet
