#include "text/jinja/filter_tables.h"

namespace duet::jinja {
std::span<const Builtin> layout_filters() { return {}; }
}  // namespace duet::jinja
