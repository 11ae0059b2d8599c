#pragma once

#include <gtest/gtest.h>

#include <string>

#include "backend/cpu/test_data.h"

namespace duet::test {

/// A test of each level of its parameters that this machine has.
class LevelTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const std::string reason = why_not(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  }
};

}  // namespace duet::test
