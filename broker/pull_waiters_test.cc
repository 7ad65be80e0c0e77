#include "broker/pull_waiters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/testing/fake_store.h"
#include "store/entry_tag.h"

namespace raftmq::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Outcome = PullWaiters::Outcome;

class PullWaitersTest : public testing::Test {
 protected:
  PullWaiters::WaiterId Park(int queue, int64_t offset, int64_t for_ms) {
    const PullWaiters::WaiterId id = *waiters_.Begin();
    ParkAgain(id, queue, offset, for_ms);
    return id;
  }
  void ParkAgain(PullWaiters::WaiterId id, int queue, int64_t offset, int64_t for_ms,
                 const std::vector<std::string>& tags = {}) {
    waiters_.Wait(id, "orders", QueueId(queue), QueueOffset(offset), {"readers", tags},
                  clock_.MonotonicMillis() + for_ms, [this, id](Outcome outcome, QueueOffset next) {
                    woken_.emplace_back(id, outcome);
                    next_ = next;
                  });
    timer_.RunFor(0);
  }
  PullWaiters::WaiterId ParkFor(const std::vector<std::string>& tags, int64_t offset) {
    const PullWaiters::WaiterId id = *waiters_.Begin();
    ParkAgain(id, 0, offset, 1'000, tags);
    return id;
  }
  void Arrive(int queue, int64_t max) {
    waiters_.OnArrival("orders", QueueId(queue), {QueueOffset(max), QueueOffset(max), {}});
  }
  // New messages with these tags.
  void Arrive(int64_t first, int64_t max, const std::vector<std::string>& tags,
              const std::string& for_group = "") {
    std::vector<int64_t> entry_tags;
    for (const std::string& tag : tags) entry_tags.push_back(store::EntryTag(tag, for_group));
    waiters_.OnArrival("orders", QueueId(0), {QueueOffset(first), QueueOffset(max), entry_tags});
  }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeStore store_;
  PullWaiters waiters_{PullWaiters::Options{.max_waiting = 3}, &store_, &clock_, &timer_};
  std::vector<std::pair<PullWaiters::WaiterId, Outcome>> woken_;
  QueueOffset next_;  // of the latest
};

TEST_F(PullWaitersTest, AnArrivalWakesThoseWhoseOffsetItReachesAndNoOthers) {
  const auto at_five = Park(0, 5, 1'000);
  Park(0, 6, 1'000);
  Park(1, 5, 1'000);
  Arrive(0, 5);
  EXPECT_THAT(woken_, IsEmpty()) << "offset 5 is the next one";
  Arrive(0, 6);
  EXPECT_THAT(woken_, ElementsAre(std::pair(at_five, Outcome::kLookAgain)));
  EXPECT_EQ(waiters_.parked(), 2);
}

TEST_F(PullWaitersTest, MessagesOfOtherTagsDoNotWakeItAndLieBehindItThen) {
  const auto id = ParkFor({"A", "B"}, 5);
  const auto all = ParkFor({}, 5);
  Arrive(5, 9, {"C", "D"});
  EXPECT_THAT(woken_, ElementsAre(std::pair(all, Outcome::kLookAgain)));
  EXPECT_EQ(next_, QueueOffset(5));
  Arrive(9, 10, {"C"});
  Arrive(10, 12, {"C", "B"});
  EXPECT_EQ(woken_.back(), std::pair(id, Outcome::kLookAgain));
  EXPECT_EQ(next_, QueueOffset(10)) << "nothing before that is wanted";
}

TEST_F(PullWaitersTest, MessagesForAnotherGroupAloneDoNotWakeItWhateverItsTags) {
  const auto tagged = ParkFor({"A"}, 5);
  const auto all = ParkFor({}, 5);
  Arrive(5, 7, {"A", ""}, "others");
  EXPECT_THAT(woken_, IsEmpty());
  Arrive(7, 8, {"C"}, "readers");
  EXPECT_THAT(woken_, ElementsAre(std::pair(all, Outcome::kLookAgain)));
  EXPECT_EQ(next_, QueueOffset(7)) << "nothing before that is for it";
  Arrive(8, 9, {"A"}, "readers");
  EXPECT_EQ(woken_.back(), std::pair(tagged, Outcome::kLookAgain));
}

TEST_F(PullWaitersTest, WhenItsTimeIsUpItKnowsWhatItNeedNotLookAt) {
  const auto id = ParkFor({"A"}, 5);
  Arrive(5, 400, {"C"});
  timer_.RunFor(1'000'000'000);
  EXPECT_THAT(woken_, ElementsAre(std::pair(id, Outcome::kOver)));
  EXPECT_EQ(next_, QueueOffset(400));
}

TEST_F(PullWaitersTest, AfterMessagesThatItWasNotToldOfItLooksWhateverTheTags) {
  const auto id = ParkFor({"A"}, 5);
  Arrive(6, 7, {"C"});  // 5 arrived before it was parked
  EXPECT_THAT(woken_, ElementsAre(std::pair(id, Outcome::kLookAgain)));
  EXPECT_EQ(next_, QueueOffset(5));
}

TEST_F(PullWaitersTest, WhatArrivedBeforeItWasParkedIsSeen) {
  store_.range.max = QueueOffset(6);
  const auto id = Park(0, 5, 1'000);
  EXPECT_THAT(woken_, ElementsAre(std::pair(id, Outcome::kLookAgain)));
}

TEST_F(PullWaitersTest, EachWaitsUntilItsOwnTimeIsUp) {
  const auto later = Park(0, 0, 500);
  const auto sooner = Park(0, 0, 200);
  timer_.RunFor(199'000'000);
  EXPECT_THAT(woken_, IsEmpty());
  timer_.RunFor(1'000'000);
  EXPECT_THAT(woken_, ElementsAre(std::pair(sooner, Outcome::kOver)));
  timer_.RunFor(300'000'000);
  EXPECT_THAT(woken_,
              ElementsAre(std::pair(sooner, Outcome::kOver), std::pair(later, Outcome::kOver)));
}

TEST_F(PullWaitersTest, AClientThatIsGoneDoesNotWaitAgain) {
  const auto id = Park(0, 0, 500);
  waiters_.Cancel(id);
  EXPECT_THAT(woken_, ElementsAre(std::pair(id, Outcome::kOver)));
  ParkAgain(id, 0, 0, 500);
  EXPECT_EQ(woken_.size(), 2) << "answered at once";
  waiters_.End(id);
  waiters_.Cancel(id);  // comes late
  EXPECT_EQ(woken_.size(), 2);
}

TEST_F(PullWaitersTest, TooManyAreRefusedUntilOneEnds) {
  const auto first = *waiters_.Begin();
  ASSERT_TRUE(waiters_.Begin().ok());
  ASSERT_TRUE(waiters_.Begin().ok());
  EXPECT_EQ(store::ReasonOf(waiters_.Begin().status()), store::Reason::kBusy);
  waiters_.End(first);
  EXPECT_TRUE(waiters_.Begin().ok());
}

TEST_F(PullWaitersTest, ClosingEndsAllWaitsNowAndLater) {
  const auto id = Park(0, 0, 500);
  waiters_.Close();
  ParkAgain(id, 0, 0, 500);
  EXPECT_THAT(woken_, ElementsAre(std::pair(id, Outcome::kOver), std::pair(id, Outcome::kOver)));
}

}  // namespace
}  // namespace raftmq::broker
