#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace duet::test {

/// Whether a sanitizer watches, under which everything takes ten times as long. There a test may take fewer shapes,
/// files, seeds or places of a fault, as long as those left out go through the same loads and stores and meet the same
/// borders, which is what a sanitizer sees. The run without one holds every case to its result.
#ifdef DUET_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// tests/golden/NAME of the checkout.
std::filesystem::path golden(std::string_view name);

/// NAME under DUET_ASSETS (default ../shared beside the checkout): sets too large for the repository or under a licence
/// that keeps them out. Empty when the folder is absent: skip with DUET_SKIP_WITHOUT_ASSETS.
std::filesystem::path assets(std::string_view name);

/// A fresh folder for one test, removed at the end of the program.
std::filesystem::path temporary_folder();

/// All bytes of a file; none where there is no such file.
std::string read_file(const std::filesystem::path& path);

}  // namespace duet::test

/// Expects `expression` to throw duet::Error with `expected_code` and a message that contains `word`.
#define EXPECT_ERROR(expression, expected_code, word)                                                             \
  do {                                                                                                            \
    try {                                                                                                         \
      static_cast<void>(expression);                                                                              \
      ADD_FAILURE() << "no error thrown by " #expression;                                                         \
    } catch (const ::duet::Error& caught) {                                                                       \
      EXPECT_EQ(::duet::error_code_name(caught.code()), ::duet::error_code_name(expected_code)) << caught.what(); \
      EXPECT_NE(std::string_view(caught.what()).find(word), std::string_view::npos) << caught.what();             \
    }                                                                                                             \
  } while (false)

#define DUET_SKIP_WITHOUT_ASSETS(name) \
  if (::duet::test::assets(name).empty()) GTEST_SKIP() << "needs " << name << " in the folder that DUET_ASSETS names"
