#include "backend/runtime.h"

#include "backend/backend.h"
#include "base/error.h"

namespace duet {

Runtime::Runtime(int threads) : pool_(threads) {}
Runtime::~Runtime() = default;

Backend& Runtime::backend(std::string_view name) {
  const auto made = [](std::unique_ptr<Backend>& slot, auto make) -> Backend& {
    if (!slot) slot = make();
    return *slot;
  };
  if (name == "cpu") return made(cpu_, [this] { return make_cpu_backend(pool_); });
  if (name == "ref") return made(ref_, [] { return make_ref_backend(); });
  if (name == "deferred") return made(deferred_, [] { return make_deferred_backend(); });
  fail(ErrorCode::kBadValue, "backend '{}' is not known: cpu, ref and deferred are", printable(name));
}

}  // namespace duet
