#include "broker/retention_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <utility>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

class FakeRetention final : public store::Retention {
 public:
  std::vector<Limits> asked;
  absl::StatusOr<Outcome> answer = Outcome{};

  void Expire(Limits limits, ExpireCallback done) override {
    asked.push_back(limits);
    done(answer);
  }
  Counters counters() const override { return {}; }
};

class RetentionSchedulerTest : public testing::Test {
 protected:
  void Make(RetentionScheduler::Options options) {
    scheduler_ = std::make_unique<RetentionScheduler>(options, &retention_, &clock_, &runner_);
    scheduler_->SetLeading(true);
    runner_.RunDue();
  }
  void RunFor(int64_t ms) { runner_.RunFor(ms * 1'000'000); }
  int Hour() {
    const time_t seconds = clock_.WallMillis() / 1'000;
    tm local = {};
    localtime_r(&seconds, &local);
    return local.tm_hour;
  }

  FakeClock clock_;
  ManualTaskRunner runner_{&clock_};
  FakeRetention retention_;
  std::unique_ptr<RetentionScheduler> scheduler_;
};

TEST_F(RetentionSchedulerTest, AsksEveryTenSecondsWhileItLeads) {
  Make({.limits = {.reserved_ms = 1'000, .max_bytes = 5}});
  EXPECT_EQ(retention_.asked.size(), 1u);
  RunFor(9'000);
  EXPECT_EQ(retention_.asked.size(), 1u);
  RunFor(2'000);
  ASSERT_EQ(retention_.asked.size(), 2u);
  EXPECT_FALSE(retention_.asked[1].by_topic) << "that is looked at less often";
  EXPECT_EQ(retention_.asked[1].reserved_ms, 1'000);
  EXPECT_EQ(retention_.asked[1].max_bytes, 5);
  retention_.answer = store::Refuse(store::Reason::kNotLeader, "x");
  RunFor(10'000);
  EXPECT_EQ(retention_.asked.size(), 3u);
  scheduler_->SetLeading(false);
  RunFor(100'000);
  EXPECT_EQ(retention_.asked.size(), 3u);
}

TEST_F(RetentionSchedulerTest, GoesOnSoonWhileThereIsMore) {
  retention_.answer = store::Retention::Outcome{.moved = true, .more = true};
  Make({.limits = {.max_bytes = 5}});
  RunFor(1'000);
  EXPECT_GE(retention_.asked.size(), 9u);
}

TEST_F(RetentionSchedulerTest, AgeCountsInItsHoursOnlyAndBytesAlways) {
  const int hour = Hour();
  Make({.limits = {.reserved_ms = 1'000, .max_bytes = 5}, .hours = {(hour + 1) % 24}});
  ASSERT_EQ(retention_.asked.size(), 1u);
  EXPECT_EQ(retention_.asked[0].reserved_ms, 0);
  EXPECT_EQ(retention_.asked[0].max_bytes, 5);
  RunFor(3'600'000);
  EXPECT_EQ(retention_.asked.back().reserved_ms, 1'000);
}

TEST_F(RetentionSchedulerTest, WithoutABoundItAsksForTopicsWithTheirOwnOnceAMinute) {
  Make({});
  RunFor(59'000);
  ASSERT_EQ(retention_.asked.size(), 1u);
  EXPECT_TRUE(retention_.asked[0].by_topic);
  EXPECT_EQ(retention_.asked[0].reserved_ms, 0);
  RunFor(2'000);
  EXPECT_EQ(retention_.asked.size(), 2u);
}

}  // namespace
}  // namespace raftmq::broker
