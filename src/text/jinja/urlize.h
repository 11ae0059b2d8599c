#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace duet::jinja {

struct UrlizeOptions {
  Value trim_limit;  // characters of a link that are shown; missing: all
  std::string rel;
  std::string target;
  std::vector<std::string> extra_schemes;
};

/// Makes links of what looks like a web or mail address in an escaped text (the filter urlize).
std::string urlize(Runtime& runtime, std::string_view escaped, const UrlizeOptions& options);
/// "scheme:", "scheme:/" or "scheme://"
bool is_uri_scheme(std::string_view text);

}  // namespace duet::jinja
