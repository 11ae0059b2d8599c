#pragma once

#include <string>

#include "base/json.h"
#include "report/plan.h"

namespace duet {

/// A plan for the terminal, at most `width` columns; `bold` makes heads stand out.
std::string plan_text(const ModelPlan& plan, int width, bool bold);
/// As one JSON object; docs/outside-checks.md has its fields.
Json plan_json(const ModelPlan& plan);

}  // namespace duet
