#pragma once

#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

// What the programs of bench/ share.

namespace duet::bench {

/// Seconds by the clock on the wall.
inline double now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t = {};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
/// Seconds of the processor that all threads of this process have had: neighbours on a shared machine count less.
inline double processor_seconds() { return now(CLOCK_PROCESS_CPUTIME_ID); }

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Best seconds of one call among calls that fill `budget` seconds, after one that does not count.
template <typename Call>
double best_seconds(double budget, const Call& call) {
  call();
  double best = 1e30;
  for (const double end = now() + budget; now() < end;) {
    const double begin = now();
    call();
    best = std::min(best, now() - begin);
  }
  return best;
}

/// A program of bench/; --help shows the defaults of its options.
struct Program : CLI::App {
  Program(const std::string& description, const std::string& name) : CLI::App(description, name) {
    option_defaults()->always_capture_default();
  }

  /// --threads and --cpu, as duet has them.
  void add_machine_options(int& threads, std::string& level) {
    add_option("--threads", threads, "threads (0: as many as physical cores)")->check(CLI::Range(0, 1024));
    add_option("--cpu", level, "level of the instruction set (default: the best that this CPU has)");
  }

  /// Reads the arguments and runs; returns the exit status of main().
  int main(int argc, char** argv, const std::function<void()>& run) {
    try {
      parse(argc, argv);
      run();
      return 0;
    } catch (const CLI::ParseError& error) {
      return exit(error);
    } catch (const Error& error) {
      fmt::print(stderr, "{}: {}\n", get_name(), error.message());
      return error.exit_status();
    }
  }
};

}  // namespace duet::bench
