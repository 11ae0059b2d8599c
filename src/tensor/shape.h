#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace duet {

/// Up to 8 dimensions, outermost first, the last one contiguous: a weight is [out, in] (docs/shapes.md).
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (const int64_t d : dims) push_back(d);
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  /// Precondition: rank() < kMaxRank.
  void push_back(int64_t dim) { dims_[static_cast<size_t>(rank_++)] = dim; }
  /// Product of the dimensions (1 for rank 0). Precondition: readers have checked that it fits 63 bits.
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= (*this)[i];
    return n;
  }
  /// "[151936,2048]"
  std::string str() const;
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace duet
