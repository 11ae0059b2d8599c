#include "text/vocabulary.h"

#include <algorithm>
#include <cstring>

namespace duet {

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  entries_.reserve(tokens);
  arena_.reserve(bytes);
  size_t slots = 64;
  while (slots < tokens * 2) slots *= 2;
  if (slots > slots_.size()) rehash(slots);
}

std::string_view Vocabulary::spelling(int32_t id) const {
  const Entry& entry = entries_[static_cast<size_t>(id)];
  return entry.length < 0 ? std::string_view{}
                          : std::string_view(arena_).substr(entry.begin, static_cast<size_t>(entry.length));
}

uint64_t Vocabulary::hash_of(std::string_view text) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  uint64_t hash = text.size() * kOdd;
  const char* at = text.data();
  size_t left = text.size();
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kOdd;
    hash ^= hash >> 32;
  };
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  if (left > 0) {
    uint64_t word = 0;
    std::memcpy(&word, at, left);
    mix(word);
  }
  return hash * kOdd;
}

size_t Vocabulary::slot_of(std::string_view text, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(hash);
  const auto is_other = [&](const Slot& slot) {
    return slot.tag != tag || static_cast<size_t>(slot.entry.length) != text.size() ||
           std::memcmp(arena_.data() + slot.entry.begin, text.data(), text.size()) != 0;
  };
  size_t at = first_slot(hash);
  while (slots_[at].id >= 0 && is_other(slots_[at])) at = (at + 1) & mask;
  return at;
}

int32_t Vocabulary::find(std::string_view text) const { return find(text, hash_of(text)); }

void Vocabulary::rehash(size_t slots) {
  const std::vector<Slot> old = std::move(slots_);
  slots_.assign(slots, Slot{});
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    const std::string_view text = spelling(slot.id);
    slots_[slot_of(text, hash_of(text))] = slot;
  }
}

bool Vocabulary::add(int32_t id, std::string_view text, bool ordinary) {
  if (static_cast<size_t>(tokens_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  const uint64_t hash = hash_of(text);
  const size_t slot = slot_of(text, hash);
  if (slots_[slot].id >= 0 || has(id)) return false;
  if (id >= size()) {
    entries_.resize(static_cast<size_t>(id) + 1);
    ordinary_.resize(entries_.size());
  }
  ordinary_[static_cast<size_t>(id)] = ordinary;
  entries_[static_cast<size_t>(id)] = {static_cast<uint32_t>(arena_.size()), static_cast<int32_t>(text.size())};
  arena_ += text;
  longest_ = std::max(longest_, text.size());
  slots_[slot] = {static_cast<uint32_t>(hash), id, entries_[static_cast<size_t>(id)]};
  ++tokens_;
  return true;
}

}  // namespace duet
