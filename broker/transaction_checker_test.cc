#include "broker/transaction_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/testing/fake_waiting_messages.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kMs = 1'000'000;

class TransactionCheckerTest : public testing::Test {
 protected:
  void AddHalf(int64_t position, int64_t check_in_ms) {
    store::HalfMessage half;
    half.stored_ms = clock_.WallMillis();
    half.next_check_ms = clock_.WallMillis() + check_in_ms;
    waiting_.open[LogPosition(position)] = half;
    checker_.OnHalfMessagesApplied();
    timer_.RunDue();
  }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeWaitingMessages waiting_;
  std::vector<std::string> asked_;
  TransactionChecker checker_{{.check_max = 3, .check_interval_ms = 30'000},
                              &waiting_,
                              &clock_,
                              &timer_,
                              &timer_,
                              [this](std::string record) { asked_.push_back(std::move(record)); }};
};

TEST_F(TransactionCheckerTest, AsksWhenDueAndAgainAfterTheInterval) {
  checker_.SetLeading(true);
  AddHalf(7, 6'000);
  timer_.RunFor(5'999 * kMs);
  EXPECT_THAT(asked_, IsEmpty());
  timer_.RunFor(1 * kMs);
  EXPECT_THAT(asked_, ElementsAre("record 7"));
  EXPECT_EQ(waiting_.open[LogPosition(7)].checks, 1);
  timer_.RunFor(29'999 * kMs);
  EXPECT_EQ(asked_.size(), 1u);
  timer_.RunFor(1 * kMs);
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(TransactionCheckerTest, GivesUpAfterSoManyChecks) {
  checker_.SetLeading(true);
  AddHalf(7, 6'000);
  timer_.RunFor(200'000 * kMs);
  EXPECT_EQ(asked_.size(), 3u);
  EXPECT_THAT(asked_, Each("record 7"));
  EXPECT_THAT(waiting_.expired, ElementsAre(LogPosition(7)));
}

TEST_F(TransactionCheckerTest, DoesNotAskAboutOneThatEnded) {
  checker_.SetLeading(true);
  AddHalf(7, 6'000);
  waiting_.open.clear();
  timer_.RunFor(100'000 * kMs);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_THAT(waiting_.expired, IsEmpty());
}

TEST_F(TransactionCheckerTest, DoesNothingUnlessThisMemberLeads) {
  AddHalf(7, 10);
  timer_.RunFor(10'000 * kMs);
  EXPECT_THAT(asked_, IsEmpty());
  checker_.SetLeading(true);
  timer_.RunFor(1 * kMs);
  EXPECT_EQ(asked_.size(), 1u);
  checker_.SetLeading(false);
  timer_.RunFor(100'000 * kMs);
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(TransactionCheckerTest, ACheckThatWasRefusedIsMadeLater) {
  checker_.SetLeading(true);
  waiting_.refuse_next = store::Refuse(store::Reason::kBusy, "busy");
  AddHalf(7, 10);
  timer_.RunFor(10 * kMs);
  EXPECT_THAT(asked_, IsEmpty());
  timer_.RunFor(1'001 * kMs);
  EXPECT_EQ(asked_.size(), 1u);
}

}  // namespace
}  // namespace raftmq::broker
