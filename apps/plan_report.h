#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "report/machines.h"
#include "report/plan.h"

namespace duet {

/// A plan for the terminal, at most `width` columns; `bold` makes heads stand out.
std::string plan_text(const ModelPlan& plan, int width, bool bold);
/// As one JSON object; docs/outside-checks.md has its fields.
Json plan_json(const ModelPlan& plan);

/// The machines that are known by name.
std::string machines_text(const std::vector<KnownMachine>& machines, int width, bool bold);
Json machines_json(const std::vector<KnownMachine>& machines);

}  // namespace duet
