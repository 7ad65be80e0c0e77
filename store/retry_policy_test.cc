#include "store/retry_policy.h"

#include <gtest/gtest.h>

#include "store/reason.h"

namespace raftmq::store {
namespace {

RetryPolicy Exponential(int64_t initial_ms, int64_t max_ms, int32_t multiplier) {
  return {RetryPolicy::Kind::kExponential, {}, initial_ms, max_ms, multiplier};
}

TEST(RetryPolicy, TheDefaultIsRocketMqsList) {
  const RetryPolicy policy;
  EXPECT_EQ(RetryDelayMs(policy, 1), 1'000);
  EXPECT_EQ(RetryDelayMs(policy, 2), 5'000);
  EXPECT_EQ(RetryDelayMs(policy, 14), 600'000);
  EXPECT_EQ(RetryDelayMs(policy, 18), 7'200'000);
  EXPECT_EQ(RetryDelayMs(policy, 1'000), 7'200'000);
  EXPECT_EQ(RetryDelays(policy, 3).size(), 18u);
}

TEST(RetryPolicy, AListOfItsOwnEndsWithItsLastDelay) {
  RetryPolicy policy;
  policy.delays_ms = {10, 0, 30};
  EXPECT_EQ(RetryDelayMs(policy, 0), 10);
  EXPECT_EQ(RetryDelayMs(policy, 2), 0);
  EXPECT_EQ(RetryDelayMs(policy, 99), 30);
}

TEST(RetryPolicy, AnExponentialOneGrowsToItsMaximum) {
  const RetryPolicy policy = Exponential(5'000, 7'200'000, 2);
  EXPECT_EQ(RetryDelayMs(policy, 1), 5'000);
  EXPECT_EQ(RetryDelayMs(policy, 3), 20'000);
  EXPECT_EQ(RetryDelayMs(policy, 12), 7'200'000);
  EXPECT_EQ(RetryDelayMs(policy, 2'000'000'000), 7'200'000);
  EXPECT_EQ(RetryDelays(policy, 3), (std::vector<int64_t>{5'000, 10'000, 20'000}));
  EXPECT_EQ(RetryDelayMs(Exponential(7, 100, 1), 2'000'000'000), 7);
  EXPECT_EQ(RetryDelayMs(Exponential(0, 100, 9), 2'000'000'000), 0);
}

TEST(RetryPolicy, WhatNoClientCouldWaitIsRefused) {
  EXPECT_TRUE(CheckRetryPolicy(RetryPolicy()).ok());
  EXPECT_TRUE(CheckRetryPolicy(Exponential(0, 12 * 3'600'000, 1'000)).ok());
  RetryPolicy list;
  list.delays_ms = {-1};
  EXPECT_EQ(ReasonOf(CheckRetryPolicy(list)), Reason::kIllegalGroup);
  list.delays_ms = {12 * 3'600'000 + 1};
  EXPECT_FALSE(CheckRetryPolicy(list).ok());
  list.delays_ms.assign(kMaxRetryDelays + 1, 1);
  EXPECT_FALSE(CheckRetryPolicy(list).ok());
  EXPECT_FALSE(CheckRetryPolicy(Exponential(10, 9, 2)).ok());
  EXPECT_FALSE(CheckRetryPolicy(Exponential(10, 90, 0)).ok());
  EXPECT_FALSE(CheckRetryPolicy(Exponential(10, 90, 1'001)).ok());
  EXPECT_FALSE(CheckRetryPolicy({static_cast<RetryPolicy::Kind>(3), {}, 1, 1, 1}).ok());
}

}  // namespace
}  // namespace raftmq::store
