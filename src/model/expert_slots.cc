#include "model/expert_slots.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "ops/device.h"
#include "ops/linear.h"

namespace duet {
namespace {

/// Requests that are under way at once: a disk answers several faster than one after the other.
constexpr int kReadThreads = 4;

}  // namespace

ExpertReader::ExpertReader(std::shared_ptr<const PackedCacheFile> file) : file_(std::move(file)) {
  try {
    for (int i = 0; i < kReadThreads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    end();
    fail(ErrorCode::kOutOfMemory, "the system starts {} of {} threads that read experts: {}", threads_.size(),
         kReadThreads, error.what());
  }
}

ExpertReader::~ExpertReader() { end(); }

void ExpertReader::end() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ExpertReader::work() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return ends_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

void ExpertReader::Batch::add(const PackedEntry& entry, std::span<std::byte> out) {
  const auto task = [this, &entry, out] {
    std::optional<Error> error;
    try {
      reader_.file().read(entry, 0, out);
    } catch (const Error& caught) {
      error = caught;
    } catch (const std::bad_alloc&) {
      error = Error(ErrorCode::kOutOfMemory, "no memory to read an expert");
    }
    const std::lock_guard lock(mutex_);
    if (error && !error_) error_ = std::move(error);
    if (--open_ == 0) done_.notify_all();  // under the lock: the batch may end as soon as it is let go
  };
  {
    const std::lock_guard lock(reader_.mutex_);
    reader_.tasks_.emplace_back(task);
    const std::lock_guard own(mutex_);
    ++open_;
  }
  reader_.wake_.notify_one();
}

void ExpertReader::Batch::settle() noexcept {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return open_ == 0; });
}

void ExpertReader::Batch::wait() {
  settle();
  if (error_) throw Error(*error_);
}

void ExpertReader::count(int64_t uses, int64_t reads, int64_t read_bytes) {
  uses_ += uses;
  reads_ += reads;
  read_bytes_ += read_bytes;
}

ExpertStats ExpertReader::stats() const { return {uses_, reads_, read_bytes_}; }

ExpertSlots::ExpertSlots(Backend& backend, std::shared_ptr<ExpertReader> reader, Entries entries, int64_t slots,
                         Activations activations)
    : backend_(backend), reader_(std::move(reader)), entries_(std::move(entries)) {
  const size_t experts = entries_[0].size();
  DUET_CHECK(slots >= 1 && slots <= static_cast<int64_t>(experts));
  for (size_t part = 0; part < kParts; ++part) {
    DUET_CHECK(entries_[part].size() == experts);
    const PackedEntry& like = *entries_[part].front();
    for (int64_t slot = 0; slot < slots; ++slot) {
      weights_[part].push_back(ops::empty_weight(
          backend_, {"an expert", like.form.dtype, like.rows, like.cols, {}, activations, like.form.grouped}));
      layers_[part].add(weights_[part].back());
    }
  }
  expert_in_.assign(static_cast<size_t>(slots), -1);
  used_at_.assign(static_cast<size_t>(slots), 0);
  slot_of_.assign(experts, -1);
}

int64_t ExpertSlots::bytes() const {
  int64_t bytes = 0;
  for (const auto& part : weights_) {
    for (const auto& weight : part) bytes += weight->bytes();
  }
  return bytes;
}

/// The slot that is given up next: an empty one, else that which was used longest ago; -1: all are taken.
int32_t ExpertSlots::victim(const std::vector<bool>& taken) const {
  int32_t best = -1;
  for (size_t slot = 0; slot < expert_in_.size(); ++slot) {
    if (taken[slot]) continue;
    const auto rank = [&](size_t s) { return expert_in_[s] < 0 ? int64_t{-1} : used_at_[s]; };
    if (best < 0 || rank(slot) < rank(static_cast<size_t>(best))) best = static_cast<int32_t>(slot);
  }
  return best;
}

/// Experts on their way into slots.
struct ExpertSlots::Reads {
  struct Staged {
    PackedWeight* weight;
    std::vector<std::byte> bytes;
  };
  ExpertSlots& owner;
  std::vector<std::pair<int32_t, int32_t>> experts;  // expert, slot
  std::deque<Staged> staged;                         // where the host cannot write the slot itself
  ExpertReader::Batch batch{*owner.reader_};         // ends first: it writes to what is above

  void add(int32_t expert, int32_t slot) {
    experts.emplace_back(expert, slot);
    int64_t read_bytes = 0;
    for (size_t part = 0; part < kParts; ++part) {
      PackedWeight& weight = *owner.weights_[part][static_cast<size_t>(slot)];
      const PackedEntry& entry = *owner.entries_[part][static_cast<size_t>(expert)];
      std::span<std::byte> out = ops::packed_memory(owner.backend_, weight);
      if (out.empty()) {
        staged.push_back({&weight, std::vector<std::byte>(static_cast<size_t>(entry.bytes))});
        out = staged.back().bytes;
      }
      batch.add(entry, out);
      read_bytes += entry.bytes;
    }
    owner.reader_->count(0, 1, read_bytes);
  }
  /// Afterwards the experts are in their slots.
  void finish() {
    batch.wait();
    for (const Staged& one : staged) ops::copy_to_packed(owner.backend_, *one.weight, 0, one.bytes);
    for (const auto& [expert, slot] : experts) {
      owner.expert_in_[static_cast<size_t>(slot)] = expert;
      owner.slot_of_[static_cast<size_t>(expert)] = slot;
    }
  }
};

void ExpertSlots::run(std::span<const int32_t> chosen,
                      const std::function<void(std::span<const int32_t> places)>& compute) {
  const std::lock_guard lock(mutex_);
  std::vector<bool> wanted(slot_of_.size());
  std::vector<int32_t> missing;             // in order of their rows
  std::vector<bool> pass(slot_of_.size());  // the experts that are computed now
  int64_t ready = 0, uses = 0;
  for (const int32_t expert : chosen) {
    DUET_CHECK(expert >= 0 && static_cast<size_t>(expert) < wanted.size());
    const auto e = static_cast<size_t>(expert);
    if (wanted[e]) continue;
    wanted[e] = true;
    ++uses;
    if (slot_of_[e] < 0) {
      missing.push_back(expert);
      continue;
    }
    pass[e] = true;
    ++ready;
  }
  reader_->count(uses, 0, 0);
  std::vector<int32_t> places(chosen.size());
  auto next = missing.begin();
  while (ready > 0 || next != missing.end()) {
    std::vector<bool> taken(expert_in_.size());
    for (size_t slot = 0; slot < taken.size(); ++slot) {
      if (expert_in_[slot] < 0 || !pass[static_cast<size_t>(expert_in_[slot])]) continue;
      taken[slot] = true;
      used_at_[slot] = ++clock_;
    }
    if (next != missing.end()) ops::device_of(backend_).sync();  // no queued work reads what is overwritten now
    Reads reads{*this, {}, {}};
    for (int32_t slot; next != missing.end() && (slot = victim(taken)) >= 0; ++next) {
      const auto s = static_cast<size_t>(slot);
      taken[s] = true;
      if (expert_in_[s] >= 0) slot_of_[static_cast<size_t>(expert_in_[s])] = -1;
      expert_in_[s] = -1;
      reads.add(*next, slot);
    }
    if (ready > 0) {
      for (size_t i = 0; i < chosen.size(); ++i) {
        const auto e = static_cast<size_t>(chosen[i]);
        places[i] = pass[e] ? slot_of_[e] : -1;
      }
      compute(places);
    }
    reads.finish();
    std::fill(pass.begin(), pass.end(), false);
    for (const auto& [expert, slot] : reads.experts) pass[static_cast<size_t>(expert)] = true;
    ready = static_cast<int64_t>(reads.experts.size());
  }
}

}  // namespace duet
