#include "text/vocabulary.h"

#include <algorithm>

namespace duet {

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  entries_.reserve(tokens);
  arena_.reserve(bytes);
  ordinary_.reserve(tokens);
  size_t slots = 64;
  while (slots < tokens * 2) slots *= 2;
  if (slots > slots_.size()) rehash(slots);
}

std::string_view Vocabulary::spelling(int32_t id) const {
  const Entry& entry = entries_[static_cast<size_t>(id)];
  return entry.length < 0 ? std::string_view{}
                          : std::string_view(arena_).substr(entry.begin, static_cast<size_t>(entry.length));
}

size_t Vocabulary::slot_of(std::string_view text, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(hash);
  const auto is_other = [&](const Slot& slot) {
    return slot.tag != tag || static_cast<size_t>(slot.entry.length) != text.size() ||
           !same(arena_.data() + slot.entry.begin, text.data(), text.size());
  };
  size_t at = first_slot(hash);
  while (slots_[at].id >= 0 && is_other(slots_[at])) at = (at + 1) & mask;
  return at;
}

int32_t Vocabulary::find(std::string_view text) const { return find(text, hash_of(text)); }

void Vocabulary::rehash(size_t slots) {
  const std::vector<Slot, TableAllocator<Slot>> old = std::move(slots_);
  slots_.assign(slots, Slot{});
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    const std::string_view text = spelling(slot.id);
    slots_[slot_of(text, hash_of(text))] = slot;
  }
}

bool Vocabulary::add(int32_t id, std::string_view text, bool ordinary, uint64_t hash) {
  if (static_cast<size_t>(tokens_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  const size_t slot = slot_of(text, hash);
  if (slots_[slot].id >= 0 || has(id)) return false;
  const Entry entry{static_cast<uint32_t>(arena_.size()), static_cast<int32_t>(text.size())};
  if (id == size()) {
    entries_.push_back(entry);
    ordinary_.push_back(ordinary);
  } else {
    if (id > size()) {
      entries_.resize(static_cast<size_t>(id) + 1);
      ordinary_.resize(entries_.size());
    }
    entries_[static_cast<size_t>(id)] = entry;
    ordinary_[static_cast<size_t>(id)] = ordinary;
  }
  arena_ += text;
  longest_ = std::max(longest_, text.size());
  slots_[slot] = {static_cast<uint32_t>(hash), id, entry};
  ++tokens_;
  return true;
}

}  // namespace duet
