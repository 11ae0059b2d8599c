#include "text/jinja/bigint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace duet::jinja {

using Limbs = std::vector<uint32_t>;

BigInt::BigInt(int64_t value) : negative_(value < 0) {
  uint64_t magnitude = negative_ ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  for (; magnitude != 0; magnitude >>= 32) limbs_.push_back(static_cast<uint32_t>(magnitude));
}

void BigInt::trim() {
  while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
  if (limbs_.empty()) negative_ = false;
}

std::optional<BigInt> BigInt::parse(std::string_view digits, int base) {
  if (digits.empty()) return std::nullopt;
  BigInt out;
  const auto value_of = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
  };
  if (std::has_single_bit(static_cast<unsigned>(base))) {  // digits are groups of bits
    const int width = std::countr_zero(static_cast<unsigned>(base));
    uint64_t bits = 0;
    int count = 0;
    for (size_t i = digits.size(); i-- > 0;) {
      const int digit = value_of(digits[i]);
      if (digit >= base) return std::nullopt;
      bits |= static_cast<uint64_t>(digit) << count;
      count += width;
      if (count < 32) continue;
      out.limbs_.push_back(static_cast<uint32_t>(bits));
      bits >>= 32;
      count -= 32;
    }
    out.limbs_.push_back(static_cast<uint32_t>(bits));
    out.trim();
    return out;
  }
  for (const char c : digits) {
    const int digit = value_of(c);
    if (digit >= base) return std::nullopt;
    uint64_t carry = static_cast<uint64_t>(digit);
    for (uint32_t& limb : out.limbs_) {
      carry += static_cast<uint64_t>(limb) * static_cast<uint64_t>(base);
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) out.limbs_.push_back(static_cast<uint32_t>(carry));
  }
  return out;
}

BigInt BigInt::from_double(double value) {
  int exponent = 0;
  const double fraction = std::frexp(std::trunc(value), &exponent);  // |fraction| in [0.5, 1)
  BigInt out;
  if (fraction == 0) return out;
  uint64_t mantissa = static_cast<uint64_t>(std::ldexp(std::fabs(fraction), 53));
  int shift = exponent - 53;
  if (shift < 0) {
    mantissa >>= -shift;
    shift = 0;
  }
  out.limbs_.assign(static_cast<size_t>(shift / 32), 0);
  const int inner = shift % 32;
  const uint64_t low = mantissa << inner;
  out.limbs_.push_back(static_cast<uint32_t>(low));
  out.limbs_.push_back(static_cast<uint32_t>(low >> 32));
  out.limbs_.push_back(inner == 0 ? 0 : static_cast<uint32_t>(mantissa >> (64 - inner)));
  out.negative_ = value < 0;
  out.trim();
  return out;
}

int64_t BigInt::bits() const {
  if (limbs_.empty()) return 0;
  return static_cast<int64_t>(limbs_.size()) * 32 - std::countl_zero(limbs_.back());
}

bool BigInt::fits_int64() const {
  if (bits() < 64) return true;
  return negative_ && bits() == 64 && limbs_[0] == 0 && limbs_[1] == 0x80000000u;
}

int64_t BigInt::to_int64() const {
  uint64_t magnitude = 0;
  if (!limbs_.empty()) magnitude = limbs_[0];
  if (limbs_.size() > 1) magnitude |= static_cast<uint64_t>(limbs_[1]) << 32;
  return static_cast<int64_t>(negative_ ? 0 - magnitude : magnitude);
}

double BigInt::to_double() const {
  const int64_t count = bits();
  if (count > 1024)
    return negative_ ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  // The top 64 bits, with everything below folded into the last one: rounding to 53 bits is then exact.
  uint64_t top = 0;
  const int64_t shift = std::max<int64_t>(0, count - 64);
  bool sticky = false;
  for (int64_t i = 0; i < static_cast<int64_t>(limbs_.size()); ++i) {
    const int64_t position = i * 32 - shift;
    const uint64_t limb = limbs_[static_cast<size_t>(i)];
    if (position >= 0) {
      top |= limb << position;
    } else if (position > -32) {
      top |= limb >> -position;
      sticky = sticky || (limb & ((1ull << -position) - 1)) != 0;
    } else {
      sticky = sticky || limb != 0;
    }
  }
  if (sticky) top |= 1;
  const double magnitude = std::ldexp(static_cast<double>(top), static_cast<int>(shift));
  return negative_ ? -magnitude : magnitude;
}

uint32_t BigInt::divide_small(Limbs& limbs, uint32_t divisor) {
  uint64_t remainder = 0;
  for (size_t i = limbs.size(); i-- > 0;) {
    remainder = (remainder << 32) | limbs[i];
    limbs[i] = static_cast<uint32_t>(remainder / divisor);
    remainder %= divisor;
  }
  while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
  return static_cast<uint32_t>(remainder);
}

std::string BigInt::to_string(int base) const {
  if (limbs_.empty()) return "0";
  constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string out;
  if (std::has_single_bit(static_cast<unsigned>(base))) {  // digits are groups of bits
    const int width = std::countr_zero(static_cast<unsigned>(base));
    uint64_t part = 0;
    int count = 0;
    for (const uint32_t limb : limbs_) {
      part |= static_cast<uint64_t>(limb) << count;
      for (count += 32; count >= width; count -= width) {
        out += kDigits[part & static_cast<uint64_t>(base - 1)];
        part >>= width;
      }
    }
    if (count > 0) out += kDigits[part];
    while (out.ends_with('0')) out.pop_back();
    if (negative_) out += '-';
    std::reverse(out.begin(), out.end());
    return out;
  }
  uint32_t chunk = static_cast<uint32_t>(base);
  int digits_per_chunk = 1;
  while (static_cast<uint64_t>(chunk) * static_cast<uint64_t>(base) <= 0xffffffffu) {
    chunk *= static_cast<uint32_t>(base);
    ++digits_per_chunk;
  }
  Limbs rest = limbs_;
  while (!rest.empty()) {
    uint32_t part = divide_small(rest, chunk);
    for (int i = 0; i < digits_per_chunk && (!rest.empty() || part != 0); ++i) {
      out += kDigits[part % static_cast<uint32_t>(base)];
      part /= static_cast<uint32_t>(base);
    }
  }
  if (negative_) out += '-';
  std::reverse(out.begin(), out.end());
  return out;
}

BigInt BigInt::operator-() const {
  BigInt out = *this;
  out.negative_ = !negative_ && !limbs_.empty();
  return out;
}

int BigInt::compare_magnitude(const Limbs& a, const Limbs& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  for (size_t i = a.size(); i-- > 0;) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

void BigInt::add_magnitude(const Limbs& a, const Limbs& b, Limbs& out) {
  out.clear();
  uint64_t carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()) || carry != 0; ++i) {
    carry += (i < a.size() ? a[i] : 0ull) + (i < b.size() ? b[i] : 0ull);
    out.push_back(static_cast<uint32_t>(carry));
    carry >>= 32;
  }
}

void BigInt::subtract_magnitude(const Limbs& a, const Limbs& b, Limbs& out) {
  out.clear();
  int64_t borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t difference = static_cast<int64_t>(a[i]) - (i < b.size() ? static_cast<int64_t>(b[i]) : 0) - borrow;
    borrow = difference < 0 ? 1 : 0;
    if (borrow != 0) difference += int64_t{1} << 32;
    out.push_back(static_cast<uint32_t>(difference));
  }
}

BigInt operator+(const BigInt& a, const BigInt& b) {
  BigInt out;
  if (a.negative_ == b.negative_) {
    BigInt::add_magnitude(a.limbs_, b.limbs_, out.limbs_);
    out.negative_ = a.negative_;
  } else if (BigInt::compare_magnitude(a.limbs_, b.limbs_) >= 0) {
    BigInt::subtract_magnitude(a.limbs_, b.limbs_, out.limbs_);
    out.negative_ = a.negative_;
  } else {
    BigInt::subtract_magnitude(b.limbs_, a.limbs_, out.limbs_);
    out.negative_ = b.negative_;
  }
  out.trim();
  return out;
}

BigInt operator*(const BigInt& a, const BigInt& b) {
  BigInt out;
  out.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (size_t i = 0; i < a.limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.limbs_.size() || carry != 0; ++j) {
      carry += out.limbs_[i + j] + (j < b.limbs_.size() ? static_cast<uint64_t>(a.limbs_[i]) * b.limbs_[j] : 0);
      out.limbs_[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  out.negative_ = a.negative_ != b.negative_;
  out.trim();
  return out;
}

void BigInt::floor_divide(const BigInt& a, const BigInt& b, BigInt& quotient, BigInt& remainder) {
  DUET_CHECK(!b.zero());
  quotient = BigInt();
  remainder = BigInt();
  if (b.limbs_.size() == 1) {
    quotient.limbs_ = a.limbs_;
    const uint32_t rest = divide_small(quotient.limbs_, b.limbs_[0]);
    if (rest != 0) remainder.limbs_.push_back(rest);
  } else if (compare_magnitude(a.limbs_, b.limbs_) < 0) {
    remainder.limbs_ = a.limbs_;
  } else {
    // Long division (Knuth, TAOCP 2, 4.3.1 D) on limbs shifted so that the divisor's top bit is set.
    const int shift = std::countl_zero(b.limbs_.back());
    const auto shifted = [shift](const Limbs& limbs) {
      Limbs out(limbs.size() + 1, 0);
      for (size_t i = 0; i < limbs.size(); ++i) {
        const uint64_t wide = static_cast<uint64_t>(limbs[i]) << shift;
        out[i] |= static_cast<uint32_t>(wide);
        out[i + 1] = static_cast<uint32_t>(wide >> 32);
      }
      return out;
    };
    Limbs u = shifted(a.limbs_);
    Limbs v = shifted(b.limbs_);
    v.pop_back();
    const size_t n = v.size(), m = a.limbs_.size() - n;
    quotient.limbs_.assign(m + 1, 0);
    for (size_t j = m + 1; j-- > 0;) {
      const uint64_t numerator = (static_cast<uint64_t>(u[j + n]) << 32) | u[j + n - 1];
      uint64_t digit = numerator / v[n - 1], rest = numerator % v[n - 1];
      while (digit > 0xffffffffu || digit * v[n - 2] > ((rest << 32) | u[j + n - 2])) {
        --digit;
        rest += v[n - 1];
        if (rest > 0xffffffffu) break;
      }
      int64_t borrow = 0;
      uint64_t carry = 0;
      for (size_t i = 0; i <= n; ++i) {
        carry += i < n ? digit * v[i] : 0;
        const int64_t difference = static_cast<int64_t>(u[i + j]) - static_cast<int64_t>(carry & 0xffffffffu) - borrow;
        u[i + j] = static_cast<uint32_t>(difference);
        borrow = difference < 0 ? 1 : 0;
        carry >>= 32;
      }
      if (borrow != 0) {
        --digit;
        uint64_t sum = 0;
        for (size_t i = 0; i <= n; ++i) {
          sum += static_cast<uint64_t>(u[i + j]) + (i < n ? v[i] : 0);
          u[i + j] = static_cast<uint32_t>(sum);
          sum >>= 32;
        }
      }
      quotient.limbs_[j] = static_cast<uint32_t>(digit);
    }
    remainder.limbs_.assign(n, 0);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t wide = (static_cast<uint64_t>(u[i + 1]) << 32) | u[i];
      remainder.limbs_[i] = static_cast<uint32_t>(wide >> shift);
    }
  }
  quotient.negative_ = a.negative_ != b.negative_;
  remainder.negative_ = a.negative_;
  quotient.trim();
  remainder.trim();
  if (!remainder.zero() && a.negative_ != b.negative_) {
    quotient = quotient + BigInt(-1);
    remainder = remainder + b;
  }
}

int BigInt::compare(const BigInt& a, const BigInt& b) {
  if (a.negative_ != b.negative_) return a.negative_ ? -1 : 1;
  const int magnitude = compare_magnitude(a.limbs_, b.limbs_);
  return a.negative_ ? -magnitude : magnitude;
}

int BigInt::compare(const BigInt& a, double b) {
  if (std::isinf(b)) return b > 0 ? -1 : 1;
  const int whole = compare(a, from_double(b));
  if (whole != 0) return whole;
  const double fraction = b - std::trunc(b);
  return fraction > 0 ? -1 : fraction < 0 ? 1 : 0;
}

}  // namespace duet::jinja
