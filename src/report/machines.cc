#include "report/machines.h"

#define TOML_HEADER_ONLY 1
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/error.h"

namespace duet {
namespace {

constexpr char kBuiltIn[] =
#include "machines.toml.inc"
    ;
constexpr double kMostFigure = 1e6;  // of any; far above all machines
constexpr std::string_view kKeys[] = {"name", "title", "memory_gib", "read_gbs", "int8_tops", "f32_tflops", "source"};

/// Reads a table of the file and names file and line when it throws.
class MachineReader {
 public:
  MachineReader(const std::string& origin, const toml::table& table) : origin_(origin), table_(table) {
    for (const auto& [key, value] : table) {
      if (std::find(std::begin(kKeys), std::end(kKeys), key.str()) != std::end(kKeys)) continue;
      refuse(ErrorCode::kBadKey, value, fmt::format("unknown key '{}'", printable(key.str())));
    }
  }
  [[noreturn]] void refuse(ErrorCode code, const toml::node& where, const std::string& why) const {
    fail(code, "{}: line {}: {}", origin_, where.source().begin.line, why);
  }
  const toml::node& require(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) refuse(ErrorCode::kMissingKey, table_, fmt::format("key '{}' is missing", key));
    return *node;
  }
  std::string text(std::string_view key) const {
    const toml::node& node = require(key);
    const auto value = node.value_exact<std::string>();
    if (!value) refuse(ErrorCode::kBadType, node, fmt::format("'{}' must be a string", key));
    if (value->empty()) refuse(ErrorCode::kBadValue, node, fmt::format("'{}' is empty", key));
    return *value;
  }
  double number(std::string_view key) const {
    const toml::node& node = require(key);
    const auto value = node.value<double>();
    if (!node.is_number() || !value) refuse(ErrorCode::kBadType, node, fmt::format("'{}' must be a number", key));
    if (!(*value > 0 && *value <= kMostFigure)) {
      refuse(ErrorCode::kBadValue, node, fmt::format("'{}' is {}, legal: above 0, up to {}", key, *value, kMostFigure));
    }
    return *value;
  }
  double number_or_0(std::string_view key) const { return table_.contains(key) ? number(key) : 0; }

 private:
  const std::string& origin_;
  const toml::table& table_;
};

KnownMachine read_machine(const std::string& origin, const toml::table& table) {
  constexpr double kGiga = 1e9, kHalfTera = 1e12 / 2;  // a multiply-add counts as two operations
  const MachineReader reader(origin, table);
  KnownMachine known;
  known.name = reader.text("name");
  const bool plain = std::all_of(known.name.begin(), known.name.end(),
                                 [](char c) { return c == '-' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (!plain || known.name.front() < 'a' || known.name == "this") {  // else it could be taken for GB
    reader.refuse(ErrorCode::kBadValue, reader.require("name"),
                  fmt::format("'{}' is no name: a-z, then a-z, 0-9 and -", printable(known.name)));
  }
  known.machine.name = reader.text("title");
  known.machine.source = reader.text("source");
  known.machine.memory_bytes = static_cast<int64_t>(reader.number("memory_gib") * static_cast<double>(1 << 30));
  known.machine.read_bytes_per_second = reader.number("read_gbs") * kGiga;
  known.machine.int8_macs_per_second = reader.number_or_0("int8_tops") * kHalfTera;
  known.machine.f32_macs_per_second = reader.number_or_0("f32_tflops") * kHalfTera;
  return known;
}

}  // namespace

std::vector<KnownMachine> read_machines(std::string_view toml, const std::string& origin) {
  toml::table root;
  try {
    root = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::kBadValue, "{}: line {}: not TOML: {}", origin, error.source().begin.line,
         printable(error.description()));
  }
  const toml::array* const tables = root.get_as<toml::array>("machine");
  if (tables == nullptr || root.size() != 1) {
    fail(ErrorCode::kBadKey, "{}: only [[machine]] tables are known, and at least one is needed", origin);
  }
  std::vector<KnownMachine> machines;
  for (const toml::node& node : *tables) {
    if (!node.is_table()) {
      fail(ErrorCode::kBadType, "{}: line {}: 'machine' must be tables", origin, node.source().begin.line);
    }
    machines.push_back(read_machine(origin, *node.as_table()));
    const auto same = std::count_if(machines.begin(), machines.end(),
                                    [&](const KnownMachine& other) { return other.name == machines.back().name; });
    if (same > 1) {
      fail(ErrorCode::kBadValue, "{}: line {}: '{}' is there twice", origin, node.source().begin.line,
           machines.back().name);
    }
  }
  return machines;
}

std::vector<KnownMachine> known_machines() { return read_machines(kBuiltIn, "machines.toml"); }

}  // namespace duet
