#pragma once

#include <cstdio>
#include <cstdlib>

/// Stops the program on a bug of ours. Nothing that a file or a request can influence may reach one.
#define DUET_CHECK(condition)                                                                      \
  do {                                                                                             \
    if (!(condition)) [[unlikely]] {                                                               \
      std::fprintf(stderr, "duet: internal error at %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                                \
    }                                                                                              \
  } while (false)
