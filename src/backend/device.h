#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace duet {

class Device;

/// Owns zero-filled device memory, aligned to 64 bytes at least (2 MiB from 4 MiB on). Movable; must not outlive its
/// device.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device* device, std::byte* data, int64_t bytes) : device_(device), data_(data), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  inline ~Buffer();
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// Memory of one device. Addresses may be unreadable to the host: only copies cross. Work is queued; sync() waits for
/// it.
class Device {
 public:
  virtual ~Device() = default;
  /// Zero-filled. Throws out_of_memory (names the bytes).
  virtual Buffer allocate(int64_t bytes) = 0;
  /// Both copies happen after all work queued before them; copy_to_host returns when the bytes are there.
  virtual void copy_to_device(std::byte* device, const void* host, int64_t bytes) noexcept = 0;
  virtual void copy_to_host(void* host, const std::byte* device, int64_t bytes) noexcept = 0;
  virtual void copy(std::byte* to, const std::byte* from, int64_t bytes) noexcept = 0;
  virtual void sync() noexcept = 0;
  /// `device` as the host may read and write it after sync(); null where only copies cross.
  virtual std::byte* host_view(std::byte*) noexcept { return nullptr; }

 private:
  friend class Buffer;
  virtual void release(std::byte* data, int64_t bytes) noexcept = 0;
};

inline Buffer::~Buffer() {
  if (data_ != nullptr) device_->release(data_, bytes_);
}

}  // namespace duet
