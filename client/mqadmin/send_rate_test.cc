#include "client/mqadmin/send_rate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/testing/fake_clock.h"

namespace raftmq::mqadmin {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class SendRateTest : public testing::Test {
 protected:
  // Sends `count`, each batch of which takes `batch_nanos`; says how long that and the waits took.
  int64_t Send(SendRate* rate, int64_t count, int64_t batch_nanos = 0) {
    const int64_t began = clock_.MonotonicNanos();
    while (count > 0) {
      const int64_t batch = rate->BeginBatch(std::min<int64_t>(count, 256));
      clock_.Advance(batch_nanos);
      clock_.Advance(rate->EndBatch(batch));
      count -= batch;
    }
    return clock_.MonotonicNanos() - began;
  }

  FakeClock clock_;
};

TEST_F(SendRateTest, SoManyASecondAreSentInBatchesOfAQuarterOfASecond) {
  SendRate rate(100, &clock_);
  EXPECT_EQ(rate.BeginBatch(256), 25);
  EXPECT_EQ(rate.EndBatch(25), kSecond / 4);
  clock_.Advance(kSecond / 4);
  EXPECT_EQ(Send(&rate, 1'000), 10 * kSecond);
  EXPECT_EQ(Send(&rate, 1'000, 200'000'000), 10 * kSecond) << "a call's time counts";
}

TEST_F(SendRateTest, AFractionOfAMessageASecondIsOneAtATime) {
  SendRate rate(0.5, &clock_);
  EXPECT_EQ(rate.BeginBatch(256), 1);
  EXPECT_EQ(rate.EndBatch(1), 2 * kSecond);
}

TEST_F(SendRateTest, WithoutARateNothingWaits) {
  SendRate rate(0, &clock_);
  EXPECT_EQ(rate.BeginBatch(256), 256);
  EXPECT_EQ(rate.EndBatch(256), 0);
}

TEST_F(SendRateTest, ABatchThatSentNothingIsNotWaitedFor) {
  SendRate rate(10, &clock_);
  rate.BeginBatch(256);
  EXPECT_EQ(rate.EndBatch(0), 0);
}

TEST_F(SendRateTest, AfterAPauseItGoesOnAtTheRateAndDoesNotCatchUp) {
  SendRate rate(100, &clock_);
  Send(&rate, 500);
  clock_.Advance(60 * kSecond);  // between two batches
  EXPECT_EQ(Send(&rate, 500), 5 * kSecond);
  const int64_t batch = rate.BeginBatch(256);
  clock_.Advance(60 * kSecond);  // in the middle of one
  EXPECT_EQ(rate.EndBatch(batch), 0);
  EXPECT_EQ(Send(&rate, 500), 5 * kSecond);
}

TEST_F(SendRateTest, CallsThatAreSlowerThanTheRateSaveNothingUpForFasterOnes) {
  SendRate rate(100, &clock_);
  EXPECT_EQ(Send(&rate, 250, kSecond), 10 * kSecond);
  EXPECT_EQ(Send(&rate, 250), 5 * kSecond / 2);
}

}  // namespace
}  // namespace raftmq::mqadmin
