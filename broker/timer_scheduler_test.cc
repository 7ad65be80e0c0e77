#include "broker/timer_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/testing/fake_waiting_messages.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

using store::Timer;
using testing::ElementsAre;
using testing::IsEmpty;

class TimerSchedulerTest : public testing::Test {
 protected:
  void AddTimer(int64_t in_ms, int64_t position) {
    waiting_.timers.insert({clock_.WallMillis() + in_ms, LogPosition(position)});
    scheduler_.OnTimersApplied();
    timer_.RunDue();
  }
  std::vector<int64_t> Delivered() const {
    std::vector<int64_t> positions;
    for (const store::TimerRef& timer : waiting_.delivered) {
      positions.push_back(timer.position.value());
    }
    return positions;
  }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeWaitingMessages waiting_;
  TimerScheduler scheduler_{{.max_batch = 2, .max_per_second = 100}, &waiting_, &clock_, &timer_};
};

constexpr int64_t kMs = 1'000'000;

TEST_F(TimerSchedulerTest, DeliversWhenDueAndNotBefore) {
  scheduler_.SetLeading(true);
  AddTimer(5'000, 1);
  timer_.RunFor(4'999 * kMs);
  EXPECT_THAT(Delivered(), IsEmpty());
  timer_.RunFor(1 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(1));
}

TEST_F(TimerSchedulerTest, IsWokenByAnEarlierTimer) {
  scheduler_.SetLeading(true);
  AddTimer(900, 1);
  AddTimer(10, 2);
  timer_.RunFor(10 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(2));
}

TEST_F(TimerSchedulerTest, DoesNothingUnlessThisMemberLeads) {
  AddTimer(10, 1);
  timer_.RunFor(5'000 * kMs);
  EXPECT_THAT(Delivered(), IsEmpty());
  scheduler_.SetLeading(true);
  timer_.RunFor(100 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(1));
}

TEST_F(TimerSchedulerTest, NoticesThatTheWallClockWasSet) {
  scheduler_.SetLeading(true);
  AddTimer(3'600'000, 1);
  clock_.JumpWall(3'600'000);
  timer_.RunFor(1'000 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(1));
}

TEST_F(TimerSchedulerTest, ABurstIsDeliveredInOrderAtTheBoundedRate) {
  scheduler_.SetLeading(true);
  for (int i = 0; i < 100; ++i) {
    waiting_.timers.insert({clock_.WallMillis(), LogPosition(i)});
  }
  scheduler_.OnTimersApplied();
  timer_.RunFor(500 * kMs);
  EXPECT_LE(waiting_.delivered.size(), 52u);
  EXPECT_GE(waiting_.delivered.size(), 48u);
  EXPECT_LE(waiting_.largest_batch, 2u);
  timer_.RunFor(1'000 * kMs);
  ASSERT_EQ(waiting_.delivered.size(), 100u);
  EXPECT_TRUE(std::is_sorted(waiting_.delivered.begin(), waiting_.delivered.end()));
}

TEST_F(TimerSchedulerTest, ARefusedDeliveryIsTriedAgain) {
  scheduler_.SetLeading(true);
  waiting_.refuse_next = store::Refuse(store::Reason::kBusy, "busy");
  AddTimer(0, 1);
  EXPECT_THAT(Delivered(), IsEmpty());
  timer_.RunFor(100 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(1));
}

TEST_F(TimerSchedulerTest, AMessageThatCannotBeReadDoesNotHoldUpTheOthers) {
  scheduler_.SetLeading(true);
  waiting_.unreadable.insert(LogPosition(1));
  waiting_.unreadable.insert(LogPosition(2));
  AddTimer(0, 1);
  AddTimer(0, 2);
  AddTimer(1, 3);
  timer_.RunFor(1'000 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(3));
  waiting_.unreadable.clear();
  timer_.RunFor(12'000 * kMs);
  EXPECT_THAT(Delivered(), ElementsAre(3, 1, 2));
}

}  // namespace
}  // namespace raftmq::broker
