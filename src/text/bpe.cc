#include "text/bpe.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/byte_level.h"

namespace duet {

int32_t BpeModel::product_of(std::string_view left, std::string_view right) {
  if (last_ >= 0 && last_ + 1 < vocabulary_.size()) {
    const std::string_view next = vocabulary_.spelling(last_ + 1);
    if (next.size() == left.size() + right.size() && next.starts_with(left) && next.ends_with(right) &&
        vocabulary_.ordinary(last_ + 1)) {
      return last_ + 1;
    }
  }
  product_.assign(left).append(right);
  return vocabulary_.find_ordinary(product_);
}

// Each look-up goes three times to memory that is in no cache. In blocks they go at the same time.
MergeFault BpeModel::add_merges(std::span<const std::pair<std::string_view, std::string_view>> merges, size_t& done) {
  struct Parts {
    uint64_t hash[2];
    int32_t id[2];
    int32_t product;
  };
  std::array<Parts, kMergeBlock> parts;
  const auto ordinary = [&](int32_t id) { return id >= 0 && vocabulary_.ordinary(id) ? id : -1; };
  for (done = 0; done < merges.size();) {
    const size_t count = std::min(kMergeBlock, merges.size() - done);
    const auto block = merges.subspan(done, count);
    for (size_t i = 0; i < count; ++i) {
      parts[i].hash[0] = Vocabulary::hash_of(block[i].first);
      parts[i].hash[1] = Vocabulary::hash_of(block[i].second);
      for (const uint64_t hash : parts[i].hash) vocabulary_.prefetch_slot(hash);
    }
    for (size_t i = 0; i < count; ++i) {
      for (const uint64_t hash : parts[i].hash) vocabulary_.prefetch_spelling(hash);
    }
    for (size_t i = 0; i < count; ++i) {
      const auto& [left, right] = block[i];
      parts[i].id[0] = ordinary(vocabulary_.find(left, parts[i].hash[0]));
      parts[i].id[1] = ordinary(vocabulary_.find(right, parts[i].hash[1]));
      parts[i].product = last_ = product_of(left, right);
      merges_.prefetch(parts[i].id[0], parts[i].id[1]);
    }
    for (size_t i = 0; i < count; ++i, ++done) {
      if (parts[i].id[0] < 0) return MergeFault::kLeft;
      if (parts[i].id[1] < 0) return MergeFault::kRight;
      if (parts[i].product < 0) return MergeFault::kProduct;
      merges_.add(parts[i].id[0], parts[i].id[1], {ranks_++, parts[i].product});
    }
  }
  return MergeFault::kNone;
}

MergeFault BpeModel::add_merge(std::string_view left, std::string_view right) {
  const int32_t left_id = vocabulary_.find_ordinary(left);
  if (left_id < 0) return MergeFault::kLeft;
  const int32_t right_id = vocabulary_.find_ordinary(right);
  if (right_id < 0) return MergeFault::kRight;
  const int32_t product = product_of(left, right);
  if (product < 0) return MergeFault::kProduct;
  merges_.add(left_id, right_id, {ranks_++, product});
  last_ = product;
  return MergeFault::kNone;
}

size_t BpeModel::part_end(std::string_view piece, size_t) const { return piece.size(); }

ByteBpe::ByteBpe(const Vocabulary& vocabulary, const Options& options) : BpeModel(vocabulary), options_(options) {
  for (int b = 0; b < 256; ++b) byte_token_[b] = vocabulary.find_ordinary(spell_byte(static_cast<unsigned char>(b)));
}

namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

size_t character_length(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4; }

}  // namespace

/// What a token is to its neighbours in valid UTF-8.
struct ByteBpe::Shape {
  uint32_t tail = 0;                      // the bytes of its last character, as far as it has them
  uint32_t first_use = Merges::kNoMerge;  // the lowest rank of a merge that it takes part in
  uint8_t first = 0, second = 0;          // bytes, 0: there is none
  bool part_of_character = false;         // begins inside a character, or breaks off inside the one that it begins with
  bool ends_character = false;            // where it ends a character ends, as far as can be told
};

size_t ByteBpe::crossing_slot(uint32_t tail, uint32_t head) {
  return static_cast<size_t>((static_cast<uint64_t>(tail) << 16 | head) * 0x9e3779b97f4a7c15ULL >>
                             (64 - kCrossingBits));
}

// A character is taken whole where that provably gives what its bytes would give: (1) alone, its bytes merge into its
// token; (2) no merge leads from a part of it to what stands beside it; (3) every merge that the token itself takes
// part in comes later than those that make it. Then its inner merges disturb nothing and are disturbed by nothing.
TokenBytes ByteBpe::finish() {
  const auto count = static_cast<size_t>(vocabulary_.size());
  std::vector<Shape, TableAllocator<Shape>> shape(count);
  std::vector<int32_t> whole;  // the tokens that are one character of several bytes
  TokenBytes all;
  all.bytes.reserve(vocabulary_.bytes());
  all.begin.reserve(count + 1);
  if (options_.ignore_merges) {
    size_t slots = 64;
    while (slots < count * 2) slots *= 2;
    tokens_.assign(slots, TokenSlot{});
  }
  for (size_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(i);
    all.begin.push_back(static_cast<uint32_t>(all.bytes.size()));
    if (!vocabulary_.has(id) || !vocabulary_.ordinary(id)) continue;
    append_unspelled(vocabulary_.spelling(id), all.bytes);
    const std::string_view bytes = std::string_view(all.bytes).substr(all.begin.back());
    if (bytes.empty()) continue;
    const auto byte = [&](size_t k) { return static_cast<unsigned char>(bytes[k]); };
    Shape& s = shape[i];
    s.first = byte(0);
    s.second = bytes.size() > 1 ? byte(1) : 0;
    size_t lead = bytes.size() - 1;
    while (lead > 0 && is_continuation(byte(lead))) --lead;
    for (size_t k = std::max(lead, bytes.size() - std::min<size_t>(bytes.size(), 4)); k < bytes.size(); ++k) {
      s.tail = s.tail << 8 | byte(k);
    }
    const bool complete = !is_continuation(byte(lead)) && bytes.size() - lead >= character_length(byte(lead));
    s.ends_character = complete || is_continuation(byte(lead));
    s.part_of_character = is_continuation(byte(0)) || bytes.size() < character_length(byte(0));
    if (byte(0) >= 0x80 && bytes.size() == character_length(byte(0)) && decode_utf8(bytes).valid) whole.push_back(id);
  }
  all.begin.push_back(static_cast<uint32_t>(all.bytes.size()));
  if (options_.ignore_merges) index_tokens(all);
  merges_.for_each([&](int32_t left, int32_t right, const Merges::Merge& merge) {
    Shape &l = shape[static_cast<size_t>(left)], &r = shape[static_cast<size_t>(right)];
    l.first_use = std::min(l.first_use, merge.rank);
    r.first_use = std::min(r.first_use, merge.rank);
    if (!is_continuation(r.first) && l.ends_character && (is_continuation(l.first) || r.part_of_character)) {
      crossing_[(l.tail & 0xff) << 8 | r.first] = true;
      crossing_exactly_[crossing_slot(l.tail, static_cast<uint32_t>(r.first) << 8 | r.second)] = true;
    }
  });
  for (const int32_t id : whole) {
    const auto i = static_cast<size_t>(id);
    add_character(id, std::string_view(all.bytes).substr(all.begin[i], all.begin[i + 1] - all.begin[i]),
                  shape[i].first_use);
  }
  return all;
}

/// Fills tokens_, in blocks whose ways to memory are taken at the same time.
void ByteBpe::index_tokens(const TokenBytes& all) {
  struct Pending {
    uint64_t hash;
    int32_t id;
  };
  std::array<Pending, Vocabulary::kAhead> pending;
  size_t count = 0;
  const auto flush = [&] {
    for (const Pending& token : std::span(pending).first(count)) {
      size_t at = static_cast<size_t>(token.hash >> 32) & (tokens_.size() - 1);
      while (tokens_[at].id >= 0) at = (at + 1) & (tokens_.size() - 1);
      tokens_[at] = {static_cast<uint32_t>(token.hash), token.id};
    }
    count = 0;
  };
  for (size_t i = 0; i + 1 < all.begin.size(); ++i) {
    const std::string_view bytes = std::string_view(all.bytes).substr(all.begin[i], all.begin[i + 1] - all.begin[i]);
    if (bytes.empty()) continue;
    longest_token_ = std::max(longest_token_, bytes.size());
    const uint64_t hash = Vocabulary::hash_of(bytes);
    __builtin_prefetch(&tokens_[static_cast<size_t>(hash >> 32) & (tokens_.size() - 1)]);
    pending[count++] = {hash, static_cast<int32_t>(i)};
    if (count == pending.size()) flush();
  }
  flush();
}

/// The token that stands for these bytes, -1 when there is none. Only with ignore_merges.
int32_t ByteBpe::token_of(std::string_view bytes) const {
  if (bytes.size() > longest_token_) return -1;
  const uint64_t hash = Vocabulary::hash_of(bytes);
  size_t at = static_cast<size_t>(hash >> 32) & (tokens_.size() - 1);
  for (; tokens_[at].id >= 0; at = (at + 1) & (tokens_.size() - 1)) {
    if (tokens_[at].tag == static_cast<uint32_t>(hash) && spells(vocabulary_.spelling(tokens_[at].id), bytes))
      return tokens_[at].id;
  }
  return -1;
}

/// Whether a merge of a part of a character may cross the end of a character at `at`, which is inside the piece.
bool ByteBpe::crosses(std::string_view piece, size_t at) const {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(piece[k]); };
  if (!crossing_[static_cast<size_t>(byte(at - 1)) << 8 | byte(at)]) return false;
  const uint32_t head = static_cast<uint32_t>(byte(at)) << 8;
  const uint32_t second = at + 1 < piece.size() ? byte(at + 1) : 0;
  uint32_t tail = 0;
  for (size_t length = 1; length <= at && length <= 4; ++length) {
    tail |= static_cast<uint32_t>(byte(at - length)) << (8 * (length - 1));
    if (crossing_exactly_[crossing_slot(tail, head)] || crossing_exactly_[crossing_slot(tail, head | second)]) {
      return true;
    }
    if (!is_continuation(byte(at - length))) break;
  }
  return false;
}

void ByteBpe::add_character(int32_t id, std::string_view bytes, uint32_t first_use) {
  std::array<int32_t, 4> symbols;
  for (size_t i = 0; i < bytes.size(); ++i) {
    symbols[i] = byte_token_[static_cast<unsigned char>(bytes[i])];
    if (symbols[i] < 0) return;
  }
  uint32_t made = 0;
  for (size_t count = bytes.size(); count > 1; --count) {
    Merges::Merge best{Merges::kNoMerge, -1};
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      const Merges::Merge merge = merges_.find(symbols[i], symbols[i + 1]);
      if (merge.rank < best.rank) best = merge, at = i;
    }
    if (best.rank == Merges::kNoMerge) return;
    made = std::max(made, best.rank);
    symbols[at] = best.product;
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 2,
              symbols.begin() + static_cast<std::ptrdiff_t>(count),
              symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  if (symbols[0] != id || first_use <= made) return;
  characters_.put(decode_utf8(bytes).code, id);
}

/// Returns the number of symbols; SIZE_MAX when a byte has no token.
size_t ByteBpe::start(std::string_view piece, int32_t* symbols) const {
  size_t count = 0;
  for (size_t i = 0; i < piece.size();) {
    const auto lead = static_cast<unsigned char>(piece[i]);
    if (lead < 0x80) {
      const int32_t id = byte_token_[lead];
      if (id < 0) return SIZE_MAX;
      symbols[count++] = id;
      ++i;
      continue;
    }
    const size_t length = character_length(lead), end = i + length;
    const auto byte = [&](size_t k) { return static_cast<unsigned char>(piece[k]); };
    const char32_t code = length == 2   ? (lead & 0x1fU) << 6 | (byte(i + 1) & 0x3fU)
                          : length == 3 ? (lead & 0x0fU) << 12 | (byte(i + 1) & 0x3fU) << 6 | (byte(i + 2) & 0x3fU)
                                        : (lead & 0x07U) << 18 | (byte(i + 1) & 0x3fU) << 12 |
                                              (byte(i + 2) & 0x3fU) << 6 | (byte(i + 3) & 0x3fU);
    const int32_t whole = characters_.get(code);
    if (whole >= 0 && (i == 0 || !crosses(piece, i)) && (end == piece.size() || !crosses(piece, end))) {
      symbols[count++] = whole;
    } else {
      for (size_t k = i; k < end; ++k) {
        const int32_t id = byte_token_[byte(k)];
        if (id < 0) return SIZE_MAX;
        symbols[count++] = id;
      }
    }
    i = end;
  }
  return count;
}

void ByteBpe::start_with_gaps(std::string_view piece, std::vector<int32_t>& symbols) const {
  symbols.clear();
  symbols.reserve(piece.size());
  bool fuse = false;
  for (const char c : piece) {
    const int32_t id = byte_token_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      symbols.push_back(id);
    } else if (options_.unknown >= 0 && !fuse) {
      symbols.push_back(options_.unknown);
    }
    fuse = id < 0 && options_.fuse_unknown;
  }
}

void ByteBpe::encode(std::string_view piece, std::vector<int32_t>& symbols, std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    if (const int32_t id = token_of(piece); id >= 0) {
      out.push_back(TokenId{id});
      return;
    }
  }
  constexpr size_t kStack = 3 * Merges::kFew;
  if (piece.size() <= kStack) {
    int32_t few[kStack];
    const size_t count = start(piece, few);
    if (count <= Merges::kFew) {
      const size_t left = merges_.apply_few(few, count);
      for (size_t i = 0; i < left; ++i) out.push_back(TokenId{few[i]});
      return;
    }
    if (count != SIZE_MAX) {
      symbols.assign(few, few + count);
    } else {
      start_with_gaps(piece, symbols);
    }
  } else {
    symbols.resize(piece.size());
    const size_t count = start(piece, symbols.data());
    if (count != SIZE_MAX) {
      symbols.resize(count);
    } else {
      start_with_gaps(piece, symbols);
    }
  }
  merges_.apply_many(symbols);
  for (const int32_t id : symbols) out.push_back(TokenId{id});
}

}  // namespace duet
