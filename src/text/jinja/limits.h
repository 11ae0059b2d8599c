#pragma once

#include <chrono>
#include <cstdint>

namespace duet::jinja {

/// What one rendering may use, beside what its input adds (for_input). The first five are promised in
/// docs/outside-checks.md; the rest keep memory in proportion.
struct Limits {
  int64_t max_steps = 1'000'000;       // statements, iterations and calls; an expression node is a quarter of a step
  int64_t max_depth = 256;             // macros, recursive loops and blocks inside each other; nesting of the source
  int64_t max_output = 1 << 20;        // code points
  int64_t max_source_bytes = 1 << 20;  // size of the template
  std::chrono::milliseconds max_time{300};  // of the processor: a loaded machine does not make a template too slow
  int64_t max_nesting = 2600;               // expressions and statements on the stack
  int64_t max_value_bytes = 16 << 20;       // one string or list
  int64_t max_live_bytes = 48 << 20;        // all values made while rendering that are still in use
  int64_t max_integer_bits = 1 << 19;
  int32_t max_value_depth = 500;  // containers inside each other

  /// For a rendering that is given so many bytes of text: it may repeat them, and a long conversation is not the fault
  /// of its template.
  Limits for_input(int64_t bytes) const;
};

/// Counts what a rendering uses and throws a TemplateError of kind limit when a limit is reached. Not thread-safe.
class Budget {
 public:
  explicit Budget(const Limits& limits = {}) : limits_(limits), start_(processor_time()) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  const Limits& limits() const { return limits_; }
  void step() { spend(kUnits); }
  void expression() { spend(kUnits / 4); }
  /// Work that grows with the data: 16 items or 4 KiB cost as much as a step.
  void items(int64_t count) { spend(count); }
  void bytes(int64_t count) { spend(count / 256); }

  /// What was spent so far, in the unit of items().
  int64_t spent() const { return spent_; }

  /// Throws if a value of this size must not be made; checked before anything is allocated.
  void check_size(int64_t size_bytes) const;
  void allocate(int64_t size_bytes);
  void release(int64_t size_bytes) { live_bytes_ -= size_bytes; }

  /// Guards recursion: `nesting` for every level of the evaluator, `depth` for macros, blocks and recursive loops.
  class Nesting {
   public:
    explicit Nesting(Budget& budget) : budget_(budget) {
      if (++budget_.nesting_ > budget_.limits_.max_nesting) budget_.too_deep(budget_.nesting_);
    }
    ~Nesting() { --budget_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Budget& budget_;
  };
  class Depth {
   public:
    explicit Depth(Budget& budget) : budget_(budget) {
      if (++budget_.depth_ > budget_.limits_.max_depth) budget_.too_deep(budget_.depth_);
    }
    ~Depth() { --budget_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Budget& budget_;
  };

 private:
  static constexpr int64_t kUnits = 16;  // in one step
  static constexpr int64_t kCheckEvery = 1 << 15;

  void spend(int64_t units) {
    spent_ += units;
    if (spent_ >= next_check_) check_spent();
  }
  static std::chrono::nanoseconds processor_time();  // of this thread
  void check_spent();
  [[noreturn]] void too_deep(int64_t& counter);

  Limits limits_;
  std::chrono::nanoseconds start_;
  int64_t spent_ = 0;
  int64_t next_check_ = kCheckEvery;
  int64_t live_bytes_ = 0;
  int64_t nesting_ = 0;
  int64_t depth_ = 0;
};

}  // namespace duet::jinja
