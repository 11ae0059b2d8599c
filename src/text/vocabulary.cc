#include "text/vocabulary.h"

#include <functional>

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

size_t Vocabulary::slot_of(std::string_view text) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>{}(text)&mask;
  while (slots_[slot] >= 0 && spelling(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocabulary::find(std::string_view text) const { return slots_.empty() ? -1 : slots_[slot_of(text)]; }

void Vocabulary::rehash(size_t slots) {
  slots_.assign(slots, -1);
  for (int64_t id = 0; id < size(); ++id) {
    if (has(id)) slots_[slot_of(spelling(static_cast<int32_t>(id)))] = static_cast<int32_t>(id);
  }
}

bool Vocabulary::add(int32_t id, std::string_view text) {
  if (static_cast<size_t>(tokens_ + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
  const size_t slot = slot_of(text);
  if (slots_[slot] >= 0 || has(id)) return false;
  if (id >= size()) entries_.resize(static_cast<size_t>(id) + 1);
  entries_[static_cast<size_t>(id)] = {static_cast<uint32_t>(arena_.size()), static_cast<int32_t>(text.size())};
  arena_ += text;
  slots_[slot] = id;
  ++tokens_;
  return true;
}

}  // namespace duet
