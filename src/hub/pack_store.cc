#include "hub/pack_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>

#include "base/byte_size.h"
#include "base/error.h"
#include "base/progress.h"
#include "hub/file_lock.h"
#include "hub/sha256.h"

namespace duet {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kExtension = ".pack", kTemporary = ".tmp";
constexpr size_t kHashDigits = 16, kMostNameBytes = 80;

std::string sha256_text(std::string_view text) {
  Sha256 sum;
  sum.update(std::as_bytes(std::span(text)));
  return sum.finish();
}

/// A model's name as part of a file's: letters, digits, dots, underscores and dashes.
std::string file_name_part(const std::string& name) {
  std::string out;
  for (const char c : name.substr(0, kMostNameBytes)) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    out += plain ? c : '_';
  }
  return out;
}

/// MODEL of MODEL-HASH.pack, or of MODEL-HASH.pack.PID.N.tmp; empty where it is neither.
std::string model_of(const std::string& file) {
  const size_t end = file.rfind(kExtension);
  if (end == std::string::npos || end < kHashDigits + 1) return {};
  return file.substr(0, end - kHashDigits - 1);
}

/// Whether the process that writes NAME.pack.PID.N.tmp has ended.
bool writer_is_gone(const std::string& file) {
  const size_t at = file.rfind(kExtension);
  int pid = 0;
  const char* const begin = file.data() + at + kExtension.size() + 1;
  const auto [end, error] = std::from_chars(begin, file.data() + file.size(), pid);
  return error == std::errc() && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

bool remove(const KeptPack& pack) {
  std::error_code ignored;
  return fs::remove(pack.file, ignored);
}

}  // namespace

std::vector<KeptPack> PackStore::list() const {
  std::vector<KeptPack> out;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const std::string file = at->path().filename().string();
    KeptPack pack{at->path(), model_of(file)};
    pack.unfinished = file.ends_with(kTemporary);
    struct stat status {};
    if (pack.model.empty() || (!pack.unfinished && !file.ends_with(kExtension)) ||
        ::lstat(at->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
      continue;
    }
    pack.bytes = static_cast<uint64_t>(status.st_blocks) * 512;  // less than its size: what is aligned leaves holes
    pack.used_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    out.push_back(std::move(pack));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    fail(ErrorCode::kIoError, "{}: cannot list the folder: {}", folder_.string(), error.message());
  }
  std::sort(out.begin(), out.end(), [](const KeptPack& a, const KeptPack& b) {
    return a.used_ns != b.used_ns ? a.used_ns > b.used_ns : a.file < b.file;
  });
  return out;
}

std::vector<KeptPack> PackStore::clear() const {
  std::vector<KeptPack> removed;
  for (const KeptPack& pack : list()) {
    if (pack.unfinished && !writer_is_gone(pack.file.filename().string())) continue;
    if (remove(pack)) removed.push_back(pack);
  }
  return removed;
}

fs::path PackStore::path_of(const Checkpoint& checkpoint, std::string_view variant) const {
  std::error_code error;
  fs::path path = fs::weakly_canonical(checkpoint.path(), error);
  if (error) path = fs::absolute(checkpoint.path());
  const std::string hash = sha256_text(path.string() + "\n" + std::string(variant));
  std::string name = (path.filename() == "config.json" ? path.parent_path() : path).filename().string();
  if (fs::path(checkpoint.path()).extension() == ".gguf") name = checkpoint.path().stem().string();
  return folder_ /
         (file_name_part(name.empty() ? "model" : name) + "-" + hash.substr(0, kHashDigits) + std::string(kExtension));
}

bool PackStore::make_room(const fs::path& file, int64_t bytes, int64_t limit_bytes,
                          const std::function<void(const std::string& line)>& say) const {
  if (bytes > limit_bytes) {
    say(fmt::format("the packed weights are not kept: they take {}, and DUET_CACHE_LIMIT allows {}",
                    human_bytes(static_cast<uint64_t>(bytes)), human_bytes(static_cast<uint64_t>(limit_bytes))));
    return false;
  }
  make_folder(folder_);
  const FileLock held = FileLock::acquire(folder_ / "lock");
  const std::vector<KeptPack> packs = list();
  int64_t room = limit_bytes - bytes;
  for (const KeptPack& pack : packs) {  // the last used first
    if (pack.file == file) continue;    // it will be replaced
    if (pack.unfinished && writer_is_gone(pack.file.filename().string())) {
      remove(pack);
      continue;
    }
    room -= static_cast<int64_t>(pack.bytes);
    if (room < 0 && !pack.unfinished) remove(pack);
  }
  return true;
}

void PackStore::touch(const fs::path& file) { ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0); }

int64_t PackStore::limit_from_environment() {
  const char* const limit = std::getenv("DUET_CACHE_LIMIT");
  return limit == nullptr || *limit == '\0' ? kDefaultLimitBytes : parse_byte_size("DUET_CACHE_LIMIT", limit);
}

std::string stored_hash(const Store& store, const Checkpoint& checkpoint) {
  std::error_code error;
  const fs::path real = fs::canonical(checkpoint.path(), error);
  const std::string blob = error ? "" : real.filename().string();
  constexpr std::string_view kBlob = "sha256-";
  const bool stored =
      blob.starts_with(kBlob) && fs::equivalent(real, store.blob(blob.substr(kBlob.size())), error) && !error;
  return stored ? blob : "";
}

std::string checkpoint_key(const Store& store, const Checkpoint& checkpoint) {
  std::string key;
  if (const std::string hash = stored_hash(store, checkpoint); !hash.empty()) {
    key = hash + "\n";
  } else {
    for (const auto& file : checkpoint.files()) {
      const std::string identity = file->identity();
      if (identity.empty()) return {};
      key += identity.starts_with("file ") ? identity + "\n" : sha256_text(identity) + "\n";
    }
  }
  if (checkpoint.config() != nullptr) key += "config " + sha256_text(checkpoint.config()->dump()) + "\n";
  return key;
}

}  // namespace duet
