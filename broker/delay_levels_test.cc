#include "broker/delay_levels.h"

#include <gtest/gtest.h>

namespace raftmq::broker {
namespace {

TEST(DelayLevelsTest, TheDefaultsAreRocketMqs) {
  const auto levels = DelayLevels::Parse(kDefaultDelayLevels);
  ASSERT_TRUE(levels.ok()) << levels.status();
  EXPECT_EQ(levels->count(), 18);
  EXPECT_EQ(levels->Millis(1), 1'000);
  EXPECT_EQ(levels->Millis(4), 30'000);
  EXPECT_EQ(levels->Millis(14), 600'000);
  EXPECT_EQ(levels->Millis(18), 7'200'000);
  EXPECT_EQ(levels->Clamp(99), 18);
  EXPECT_EQ(levels->Clamp(3), 3);
}

TEST(DelayLevelsTest, WhatIsNoDelayIsRefused) {
  for (const char* text :
       {"", "   ", "5", "s", "0s", "-1s", "1w", "1s 2", "99999999999999999999s"}) {
    EXPECT_FALSE(DelayLevels::Parse(text).ok()) << text;
  }
  EXPECT_TRUE(DelayLevels::Parse(" 1d  2s ").ok());
}

}  // namespace
}  // namespace raftmq::broker
