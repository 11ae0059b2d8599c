#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/plan.h"

namespace duet {

/// A machine of catalog/machines.toml: figures of its makers, none measured.
struct KnownMachine {
  std::string name;  // "mac-m4-16"
  Machine machine;   // with its title as name, and the source
};

/// All of them, in the file's order. Throws, of another `toml`, bad_value (not TOML; a value outside its range),
/// bad_key, bad_type, missing_key; each names the line.
std::vector<KnownMachine> known_machines();
std::vector<KnownMachine> read_machines(std::string_view toml, const std::string& origin);

}  // namespace duet
