#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/os_memory.h"

namespace duet {

/// Many short strings in one block of memory: 250k tokens as std::string objects cost three times the memory and most
/// of the time of reading them. Strings are appended, never changed.
class TextList {
 public:
  // What holds an element by itself.
  using value_type = std::string;  // NOLINT(readability-identifier-naming): as containers must
  /// Bytes of all strings together; append() beyond it is our bug, so readers check before.
  static constexpr uint64_t kMaxBytes = std::numeric_limits<uint32_t>::max();

  TextList() = default;
  TextList(std::initializer_list<std::string_view> texts) {
    for (const std::string_view text : texts) append(text);
  }
  explicit TextList(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) append(text);
  }

  size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  /// Precondition: i < size(). Valid until the next append().
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }
  /// All strings one behind the other.
  std::string_view bytes() const { return bytes_; }
  /// Where string i ends in bytes().
  size_t end_of(size_t i) const { return ends_[i]; }

  void reserve(size_t texts, size_t bytes) {
    ends_.reserve(texts);
    bytes_.reserve(bytes);
  }
  void append(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }

  class Iterator {
   public:
    Iterator(const TextList& list, size_t at) : list_(&list), at_(at) {}
    std::string_view operator*() const { return (*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const TextList* list_;
    size_t at_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }
  bool operator==(const TextList& other) const = default;

 private:
  std::basic_string<char, std::char_traits<char>, TableAllocator<char>> bytes_;
  std::vector<uint32_t> ends_;
};

}  // namespace duet
