#include "text/jinja/attributes.h"

namespace duet::jinja {
Value bytes_method(Runtime&, const Value&, std::string_view) { return {}; }
}  // namespace duet::jinja
