#include "client/fault_strategy.h"

#include "base/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

class FaultStrategyTest : public ::testing::Test {
 protected:
  // For how long a broker is left alone after an answer that took `latency_ms`.
  int64_t PauseAfter(int64_t latency_ms) {
    FaultOptions options;
    options.sendLatencyFaultEnable = true;
    FaultStrategy faults(options, &clock_);
    faults.OnAnswer("broker-a", latency_ms);
    int64_t pause = 0;
    while (!faults.IsAvailable("broker-a")) {
      clock_.AdvanceMillis(1'000);
      pause += 1'000;
    }
    return pause;
  }

  FakeClock clock_;
};

TEST_F(FaultStrategyTest, SlowBrokersAreLeftAloneByRocketMqsTable) {
  EXPECT_EQ(PauseAfter(0), 0);
  EXPECT_EQ(PauseAfter(50), 0);
  EXPECT_EQ(PauseAfter(100), 0);
  EXPECT_EQ(PauseAfter(549), 0);
  EXPECT_EQ(PauseAfter(550), 2'000);
  EXPECT_EQ(PauseAfter(1'799), 2'000);
  EXPECT_EQ(PauseAfter(1'800), 5'000);
  EXPECT_EQ(PauseAfter(3'000), 6'000);
  EXPECT_EQ(PauseAfter(5'000), 10'000);
  EXPECT_EQ(PauseAfter(14'999), 10'000);
  EXPECT_EQ(PauseAfter(15'000), 30'000);
}

TEST_F(FaultStrategyTest, AFailureCountsAsTenSecondsAndAQuickAnswerEndsThePause) {
  FaultOptions options;
  options.sendLatencyFaultEnable = true;
  FaultStrategy faults(options, &clock_);
  faults.OnFailure("broker-a");
  clock_.AdvanceMillis(9'999);
  EXPECT_FALSE(faults.IsAvailable("broker-a"));
  EXPECT_TRUE(faults.IsAvailable("broker-b")) << "the others are not to blame";
  faults.OnAnswer("broker-a", 3);
  EXPECT_TRUE(faults.IsAvailable("broker-a"));
  faults.OnFailure("broker-a");
  clock_.AdvanceMillis(10'000);
  EXPECT_TRUE(faults.IsAvailable("broker-a"));
}

TEST_F(FaultStrategyTest, IsOffByDefault) {
  FaultStrategy faults(FaultOptions{}, &clock_);
  faults.OnFailure("broker-a");
  EXPECT_TRUE(faults.IsAvailable("broker-a"));
}

}  // namespace
}  // namespace raftmq::client
