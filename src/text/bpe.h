#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "text/vocabulary.h"

namespace duet {

/// Byte-level byte-pair encoding: the tokens of single bytes, and merges by rank. Immutable once built; thread-safe.
class ByteBpe {
 public:
  struct Options {
    /// A piece whose spelling is a token is that token, whether merges lead there or not.
    bool ignore_merges = false;
    /// What a byte without a token becomes, -1: it vanishes, as in the reference.
    int32_t unknown = -1;
    /// Neighbouring unknown bytes become one token.
    bool fuse_unknown = false;
  };
  /// What a merge lacks: the result of add_merge.
  enum class MergeFault { kNone, kLeft, kRight, kProduct };

  /// `vocabulary` must outlive the model; the single bytes must be in it by now.
  ByteBpe(const Vocabulary& vocabulary, const Options& options);
  void reserve(size_t merges);
  /// Adds the merge of next rank, by the spellings of its parts. A merge that stands twice has its last rank.
  MergeFault add_merge(std::string_view left, std::string_view right);

  /// Appends the ids of one piece. The pair of lowest rank is merged first, the leftmost of equal ones; O(n log n).
  void encode(std::string_view piece, std::vector<TokenId>& out) const;

 private:
  struct Merge {
    uint32_t rank;
    int32_t product;
  };
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  class LongPiece;

  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const;
  /// rank kNoMerge when the two do not merge.
  Merge find(int32_t left, int32_t right) const;
  void rehash(size_t slots);
  void start(std::string_view piece, std::vector<int32_t>& symbols) const;

  const Vocabulary& vocabulary_;
  Options options_;
  int32_t byte_token_[256];
  std::vector<Slot> slots_;
  uint32_t merges_ = 0;  // ranks given
  size_t used_ = 0;
  std::string product_;  // scratch of add_merge
};

}  // namespace duet
