#include "hub/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <new>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"

namespace duet {

struct Sha256::State {
  EVP_MD_CTX* context = nullptr;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->context = EVP_MD_CTX_new();
  if (state_->context == nullptr) throw std::bad_alloc();
  DUET_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(state_->context); }

void Sha256::update(std::span<const std::byte> bytes) {
  DUET_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  DUET_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1);
  DUET_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string sha256_of_file(const std::filesystem::path& path, std::string_view name, ProgressSink& progress,
                           const Cancelled& cancelled) {
  const auto file = open_file(path);
  const std::string what = fmt::format("checking {}", name);
  std::vector<std::byte> buffer(size_t{1} << 20);
  Sha256 hash;
  for (uint64_t offset = 0; offset < file->size();) {
    if (cancelled && cancelled()) throw Error(ErrorCode::kCancelled, fmt::format("checking {} was interrupted", name));
    const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), file->size() - offset));
    file->read_at(offset, piece);
    hash.update(piece);
    offset += piece.size();
    progress.advance(what, offset, file->size());
  }
  progress.finish();
  return hash.finish();
}

}  // namespace duet
