#pragma once

#include <memory>
#include <string_view>

#include "backend/device.h"
#include "base/thread_pool.h"

namespace duet {

class Backend;

/// What models share: the thread pool and the backend instances. Passed, never global; two models may share one.
class Runtime {
 public:
  /// threads 0 = usable_cores().
  explicit Runtime(int threads = 0);
  ~Runtime();
  ThreadPool& pool() { return pool_; }
  /// "ref", "cpu" or "deferred"; made on first use. Throws bad_value for another name.
  Backend& backend(std::string_view name);

 private:
  ThreadPool pool_;
  std::unique_ptr<Backend> ref_, cpu_, deferred_;
};

/// `cpu_level` "" = the best that this CPU has (or DUET_CPU), else a name of cpu/level.h; throws bad_value
/// for another name, unsupported_feature when the CPU lacks it.
std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, std::string_view cpu_level = "");
std::unique_ptr<Backend> make_ref_backend();
std::unique_ptr<Backend> make_deferred_backend();

}  // namespace duet
