#include "terminal/chat_store.h"

#include <algorithm>
#include <ctime>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "terminal/output.h"
#include "terminal/width.h"

namespace duet {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;
constexpr size_t kMaxNameBytes = 64;

/// What of a model's name or path fits into a file's name.
std::string name_part(const std::string& model) {
  std::string name = std::filesystem::path(model).filename().string().substr(0, kMaxNameBytes);
  for (char& c : name) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    if (!good) c = '_';
  }
  return name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

}  // namespace

void ChatStore::save(const std::string& model, const Conversation& conversation) {
  if (!keeps()) return;
  std::error_code error;
  const auto& messages = conversation.messages();
  if (std::none_of(messages.begin(), messages.end(), [](const Message& m) { return m.role == "assistant"; })) {
    if (!file_.empty()) std::filesystem::remove(file_, error);
    return begin();
  }
  std::filesystem::create_directories(folder_, error);
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
  if (file_.empty()) {
    const std::string name = utc_now() + "-" + name_part(model);
    file_ = folder_ / (name + ".json");
    for (int i = 2; std::filesystem::exists(file_, error); ++i) file_ = folder_ / fmt::format("{}-{}.json", name, i);
  }
  Json::Object object{{"model", model}};
  Json json = conversation.to_json();
  for (Json::Member& member : json.object()) object.push_back(std::move(member));
  write_file_atomically(file_, Json(std::move(object)).dump() + "\n");
  using std::filesystem::perms;
  std::filesystem::permissions(file_, perms::owner_read | perms::owner_write, error);
  const std::vector<std::filesystem::path> all = files();
  for (size_t i = kKept; i < all.size(); ++i) std::filesystem::remove(all[i], error);
}

std::vector<std::filesystem::path> ChatStore::files() const {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entries(folder_, error), end; !error && entries != end;
       entries.increment(error)) {
    if (entries->path().extension() != ".json") continue;
    std::error_code gone;
    const auto time = entries->last_write_time(gone);
    if (!gone) found.emplace_back(time, entries->path());
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<std::filesystem::path> paths;
  paths.reserve(found.size());
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  return paths;
}

std::optional<StoredChat> ChatStore::newest(std::vector<std::string>& problems) const {
  if (!keeps()) return std::nullopt;
  for (const std::filesystem::path& file : files()) {
    const std::string name = file.filename().string();
    try {
      const Json json = parse_json(read_text_file(file, kMaxFileBytes), name);
      StoredChat chat{file, {}, Conversation::from_json(json, name)};
      if (const Json* model = json.find("model"); model != nullptr && model->is_string()) chat.model = model->string();
      return chat;
    } catch (const Error& error) {
      problems.push_back(error.message());
    }
  }
  return std::nullopt;
}

std::string one_line(std::string_view text, int64_t columns) {
  std::string line = visible_controls(text.substr(0, static_cast<size_t>(columns) * 8));
  for (char& c : line) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  return shortened(line, columns);
}

}  // namespace duet
