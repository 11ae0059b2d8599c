#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace duet::jinja {

/// An integer of any size: sign and magnitude, 32-bit limbs, least first. Callers bound the sizes (Limits).
class BigInt {
 public:
  BigInt() = default;
  BigInt(int64_t value);
  /// Digits of `base` (2..36), no sign, no separators; std::nullopt for anything else.
  static std::optional<BigInt> parse(std::string_view digits, int base);
  /// The integral part of a finite double.
  static BigInt from_double(double value);

  bool negative() const { return negative_; }
  bool zero() const { return limbs_.empty(); }
  int64_t bits() const;
  bool fits_int64() const;
  int64_t to_int64() const;  // precondition: fits_int64()
  /// Nearest double, half to even; infinite when too large.
  double to_double() const;
  std::string to_string(int base = 10) const;

  BigInt operator-() const;
  friend BigInt operator+(const BigInt& a, const BigInt& b);
  friend BigInt operator-(const BigInt& a, const BigInt& b) { return a + (-b); }
  friend BigInt operator*(const BigInt& a, const BigInt& b);
  /// Python's // and %: rounded to minus infinity, the remainder has the sign of the divisor. Precondition: b is not
  /// zero.
  static void floor_divide(const BigInt& a, const BigInt& b, BigInt& quotient, BigInt& remainder);
  /// -1, 0, 1
  static int compare(const BigInt& a, const BigInt& b);
  /// Exact comparison with a double that is not NaN.
  static int compare(const BigInt& a, double b);
  bool operator==(const BigInt&) const = default;

 private:
  static int compare_magnitude(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);
  static void add_magnitude(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b, std::vector<uint32_t>& out);
  static void subtract_magnitude(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b,
                                 std::vector<uint32_t>& out);
  static uint32_t divide_small(std::vector<uint32_t>& limbs, uint32_t divisor);
  void trim();

  bool negative_ = false;
  std::vector<uint32_t> limbs_;
};

}  // namespace duet::jinja
