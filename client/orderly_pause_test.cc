#include "client/orderly_pause.h"

#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

TEST(OrderlyPause, IsTheListenersElseTheOptionsWithinTenMillisecondsAndThirtySeconds) {
  EXPECT_EQ(OrderlyPauseMs(1'000, -1), 1'000);
  EXPECT_EQ(OrderlyPauseMs(1'000, 300), 300);
  EXPECT_EQ(OrderlyPauseMs(1'000, 0), 10);
  EXPECT_EQ(OrderlyPauseMs(1, -1), 10);
  EXPECT_EQ(OrderlyPauseMs(1'000, 31'000), 30'000);
  EXPECT_EQ(OrderlyPauseMs(3'600'000, -1), 30'000);
}

}  // namespace
}  // namespace raftmq::client
