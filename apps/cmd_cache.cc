#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "apps/command.h"
#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "hub/pack_store.h"
#include "terminal/output.h"

namespace duet {
namespace {

Json pack_json(const KeptPack& pack) {
  return Json::Object{{"model", pack.model},
                      {"bytes", static_cast<int64_t>(pack.bytes)},
                      {"used_unix_s", pack.used_ns / 1'000'000'000},
                      {"unfinished", pack.unfinished},
                      {"path", pack.file.string()}};
}

std::string since(int64_t used_ns) {
  using namespace std::chrono;
  const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  const int64_t minutes = std::max<int64_t>(0, now - used_ns) / 60'000'000'000;
  if (minutes < 120) return fmt::format("{} minutes ago", minutes);
  if (minutes < 48 * 60) return fmt::format("{} hours ago", minutes / 60);
  return fmt::format("{} days ago", minutes / (24 * 60));
}

std::string pack_table(const std::vector<KeptPack>& packs) {
  size_t model = 5;
  uint64_t total = 0;
  for (const KeptPack& pack : packs) {
    model = std::max(model, pack.model.size());
    total += pack.bytes;
  }
  std::string out = fmt::format("{:<{}}  {:>8}  {}\n", "MODEL", model, "SIZE", "USED");
  for (const KeptPack& pack : packs) {
    out += fmt::format("{:<{}}  {:>8}  {}{}\n", pack.model, model, human_bytes(pack.bytes), since(pack.used_ns),
                       pack.unfinished ? ", unfinished" : "");
  }
  return out + fmt::format("{} of at most {} (DUET_CACHE_LIMIT)\n", human_bytes(total),
                           human_bytes(static_cast<uint64_t>(PackStore::limit_from_environment())));
}

std::string list_text(const PackStore& store, bool json) {
  const std::vector<KeptPack> packs = store.list();
  if (!json) return pack_table(packs);
  std::string text;
  for (const KeptPack& pack : packs) text += pack_json(pack).dump() + "\n";
  return text;
}

std::string clear_text(const PackStore& store, bool json) {
  uint64_t bytes = 0;
  const std::vector<KeptPack> removed = store.clear();
  for (const KeptPack& pack : removed) bytes += pack.bytes;
  if (!json) return fmt::format("{} removed, {} are free again\n", removed.size(), human_bytes(bytes));
  return Json(Json::Object{{"removed", static_cast<int64_t>(removed.size())},
                           {"freed_bytes", static_cast<int64_t>(bytes)}})
             .dump() +
         "\n";
}

}  // namespace

void add_cache_command(CLI::App& app, CommandState& state) {
  CLI::App* command = app.add_subcommand("cache", "show or remove the packed weights that are kept on disk");
  const auto action = std::make_shared<std::string>();
  command
      ->add_option("action", *action, "list: what is kept, the last used first; clear: remove all of it, models stay")
      ->required()
      ->check(CLI::IsMember({"list", "clear"}))
      ->type_name("list|clear");
  command->add_flag("--json", state.json_errors, "list: one JSON object for each, one a line; clear: one JSON object");
  command->footer(
      "--packed-cache of run, chat and bench keeps a model's weights in DUET_HOME/packed as this machine multiplies with\n"
      "them. All of them together stay below DUET_CACHE_LIMIT (default 64GB): what was used longest ago goes first. A\n"
      "damaged file, or one of a model that has changed, is ignored and written anew.\n\n"
      "Examples:\n"
      "  duet cache list\n"
      "  duet cache clear\n"
      "  DUET_CACHE_LIMIT=20GB duet run smollm2-135m --packed-cache \"Hello\"");
  command->callback([action, &state] {
    const PackStore store(Store::from_environment());
    Output(STDOUT_FILENO)
        .write_untrusted(*action == "list" ? list_text(store, state.json_errors)
                                           : clear_text(store, state.json_errors));
  });
}

}  // namespace duet
