#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace duet {

/// Numbers of code points, in pages that exist where something was put.
class CodePointMap {
 public:
  CodePointMap() : index_(0x110000 / kPage, 0), pages_(kPage, -1) {}
  /// -1 when nothing was put. Precondition: code < 0x110000.
  int32_t get(char32_t code) const { return pages_[static_cast<size_t>(index_[code / kPage]) * kPage + code % kPage]; }
  void put(char32_t code, int32_t value) {
    uint16_t& page = index_[code / kPage];
    if (page == 0) {
      page = static_cast<uint16_t>(pages_.size() / kPage);
      pages_.resize(pages_.size() + kPage, -1);
    }
    pages_[static_cast<size_t>(page) * kPage + code % kPage] = value;
  }

 private:
  static constexpr size_t kPage = 256;
  std::vector<uint16_t> index_;  // page 0 is empty
  std::vector<int32_t> pages_;
};

}  // namespace duet
