#include "broker/receive_waiters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/testing/fake_lite_topics.h"
#include "broker/testing/fake_store.h"
#include "store/entry_tag.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

// One message, of which nothing more is told.
const store::Arrival kOne{QueueOffset(0), QueueOffset(1), std::nullopt};

class ReceiveWaitersTest : public testing::Test {
 protected:
  // What became of one receive.
  struct Outcome {
    bool done = false;
    absl::Status status;
    int messages = 0;
    bool inflight_full = false;
  };

  std::shared_ptr<Outcome> Start(const std::string& group, int64_t poll_ms,
                                 std::optional<QueueId> queue = std::nullopt) {
    auto outcome = std::make_shared<Outcome>();
    last_id_ = waiters_.NewId();
    StartAs(last_id_, group, poll_ms, queue, outcome);
    return outcome;
  }

  void StartAs(ReceiveWaiters::WaiterId id, const std::string& group, int64_t poll_ms,
               std::optional<QueueId> queue, std::shared_ptr<Outcome> outcome,
               std::vector<std::string> tags = {}) {
    store::ReceiveRequest request;
    request.filter.tags = std::move(tags);
    request.group = group;
    request.topic = "orders";
    request.queue = queue;
    waiters_.Receive(id, request, clock_.MonotonicMillis() + poll_ms,
                     [outcome](absl::StatusOr<store::ReceiveResult> result) {
                       ASSERT_FALSE(outcome->done) << "answered twice";
                       outcome->done = true;
                       outcome->status = result.status();
                       if (result.ok()) outcome->messages = result->deliveries.size();
                       if (result.ok()) outcome->inflight_full = result->inflight_full;
                     });
  }

  void Arrive(int queue = 0) { waiters_.OnArrival("orders", QueueId(queue), kOne); }
  void ArriveWith(const std::vector<std::string>& tags, const std::string& for_group = "") {
    store::Arrival arrival = kOne;
    arrival.tags.emplace();
    for (const std::string& tag : tags) arrival.tags->push_back(store::EntryTag(tag, for_group));
    waiters_.OnArrival("orders", QueueId(0), arrival);
  }
  void RunForMillis(int64_t ms) { timer_.RunFor(ms * 1'000'000); }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeStore store_;
  ReceiveWaiters waiters_{ReceiveWaiters::Options{.max_waiting = 3, .max_waiting_per_queue = 2},
                          &store_, &clock_, &timer_};
  ReceiveWaiters::WaiterId last_id_ = 0;
};

TEST_F(ReceiveWaitersTest, MessagesForAnotherGroupAloneWakeNobody) {
  const auto outcome = Start("g", 1'000);
  store_.AnswerEmpty();
  ArriveWith({"A"}, "others");
  EXPECT_TRUE(store_.receives.empty());
  ArriveWith({"A"}, "g");
  EXPECT_EQ(store_.receives.size(), 1);
  store_.AnswerEmpty();
  EXPECT_FALSE(outcome->done);
}

TEST_F(ReceiveWaitersTest, MessagesOfOtherTagsWakeNobodyWhoDoesNotWantThem) {
  const auto nothing_there = [&] {
    while (!store_.receives.empty()) store_.AnswerEmpty();
  };
  StartAs(waiters_.NewId(), "g", 1'000, std::nullopt, std::make_shared<Outcome>(), {"A", "B"});
  Start("h", 1'000);
  nothing_there();
  ArriveWith({"C", "D"});
  ASSERT_EQ(store_.receives.size(), 1) << "only for who wants all";
  EXPECT_EQ(store_.receives[0].request.group, "h");
  nothing_there();
  ArriveWith({"C", "B"});
  EXPECT_EQ(store_.receives.size(), 2);
  nothing_there();
  Arrive();
  EXPECT_EQ(store_.receives.size(), 2) << "it may have any tag";
}

TEST_F(ReceiveWaitersTest, WhatIsThereIsAnsweredAtOnce) {
  auto outcome = Start("g", 1'000);
  store_.AnswerMessages(2);
  EXPECT_TRUE(outcome->done);
  EXPECT_EQ(outcome->messages, 2);
  EXPECT_EQ(waiters_.waiting(), 0);
}

TEST_F(ReceiveWaitersTest, NothingFoundIsAnsweredWhenTheTimeIsUpAndNotBefore) {
  auto outcome = Start("g", 1'000);
  store_.AnswerEmpty();
  RunForMillis(999);
  EXPECT_FALSE(outcome->done);
  RunForMillis(1);
  ASSERT_TRUE(outcome->done);
  EXPECT_TRUE(outcome->status.ok());
  EXPECT_EQ(outcome->messages, 0);
  EXPECT_TRUE(store_.receives.empty()) << "the store was polled";
}

TEST_F(ReceiveWaitersTest, AnArrivalWakesOneOfEachGroupNotAll) {
  auto first = Start("g", 1'000);
  store_.AnswerEmpty();
  auto second = Start("g", 1'000);
  store_.AnswerEmpty();
  auto other = Start("h", 1'000);
  store_.AnswerEmpty();
  Arrive();
  EXPECT_EQ(store_.receives.size(), 2);
}

TEST_F(ReceiveWaitersTest, WhoeverWasGivenMessagesWakesTheNextInLine) {
  auto first = Start("g", 1'000);
  store_.AnswerEmpty();
  auto second = Start("g", 1'000);
  store_.AnswerEmpty();
  Arrive();
  ASSERT_EQ(store_.receives.size(), 1);
  store_.AnswerMessages(1);
  EXPECT_TRUE(first->done);
  ASSERT_EQ(store_.receives.size(), 1) << "the second must look whether more is there";
  store_.AnswerEmpty();
  EXPECT_FALSE(second->done);
}

TEST_F(ReceiveWaitersTest, AnArrivalWhileTheStoreIsAskedIsNotMissed) {
  auto outcome = Start("g", 1'000);
  Arrive();
  store_.AnswerEmpty();  // decided before the arrival
  ASSERT_EQ(store_.receives.size(), 1) << "it must be asked again";
  store_.AnswerMessages(1);
  EXPECT_EQ(outcome->messages, 1);
}

TEST_F(ReceiveWaitersTest, AnArrivalOnAnotherQueueLeavesAWaiterForOneQueueAlone) {
  auto outcome = Start("g", 1'000, QueueId(3));
  store_.AnswerEmpty();
  Arrive(2);
  EXPECT_TRUE(store_.receives.empty());
  Arrive(3);
  EXPECT_EQ(store_.receives.size(), 1);
}

TEST_F(ReceiveWaitersTest, TheEndOfALeaseIsLookedAtWhenItComes) {
  auto outcome = Start("g", 10'000);
  store_.AnswerEmpty(300);
  RunForMillis(299);
  EXPECT_TRUE(store_.receives.empty());
  RunForMillis(1);
  ASSERT_EQ(store_.receives.size(), 1);
  store_.AnswerMessages(1);
  EXPECT_TRUE(outcome->done);
}

TEST_F(ReceiveWaitersTest, AnEarlierEndOfALeaseReplacesALaterOne) {
  auto outcome = Start("g", 10'000);
  store_.AnswerEmpty(5'000);
  waiters_.OnReleased("g", "orders", 100);
  RunForMillis(100);
  EXPECT_EQ(store_.receives.size(), 1);
}

TEST_F(ReceiveWaitersTest, AReleaseWakesItsOwnGroupOnly) {
  auto mine = Start("g", 1'000);
  store_.AnswerEmpty();
  auto other = Start("h", 1'000);
  store_.AnswerEmpty();
  waiters_.OnReleased("g", "orders", 0);
  ASSERT_EQ(store_.receives.size(), 1);
  EXPECT_EQ(store_.receives.front().request.group, "g");
}

TEST_F(ReceiveWaitersTest, AParkedReceiveOfAClientThatLeftEndsAtOnce) {
  auto outcome = Start("g", 1'000);
  store_.AnswerEmpty();
  waiters_.Cancel(last_id_);
  ASSERT_TRUE(outcome->done);
  EXPECT_TRUE(absl::IsCancelled(outcome->status));
  Arrive();
  EXPECT_TRUE(store_.receives.empty());
}

TEST_F(ReceiveWaitersTest, AReceiveBeingAskedForEndsWithItsAnswerSoThatItCanBeGivenBack) {
  auto outcome = Start("g", 1'000);
  waiters_.Cancel(last_id_);
  EXPECT_FALSE(outcome->done);
  store_.AnswerMessages(1);
  EXPECT_EQ(outcome->messages, 1);
  auto next = Start("g", 1'000);
  waiters_.Cancel(last_id_);
  store_.AnswerEmpty();
  EXPECT_TRUE(next->done) << "it must not be parked";
}

TEST_F(ReceiveWaitersTest, ACancelBeforeTheBeginningIsNotLost) {
  auto outcome = std::make_shared<Outcome>();
  const ReceiveWaiters::WaiterId id = waiters_.NewId();
  waiters_.Cancel(id);
  StartAs(id, "g", 1'000, std::nullopt, outcome);
  EXPECT_TRUE(outcome->done);
  EXPECT_TRUE(store_.receives.empty());
}

TEST_F(ReceiveWaitersTest, AsManyOfAGroupWaitForAQueueAsMayAndOneMoreIsBusyIfNothingIsThere) {
  auto first = Start("g", 1'000);
  store_.AnswerEmpty();
  auto second = Start("g", 1'000);
  store_.AnswerEmpty();
  auto served = Start("g", 1'000);
  store_.AnswerMessages(1);
  EXPECT_EQ(served->messages, 1) << "it need not wait";
  ASSERT_EQ(store_.receives.size(), 1u) << "and wakes the next";
  store_.AnswerEmpty();
  EXPECT_FALSE(first->done) << "one that was woken keeps its place";
  auto refused = Start("g", 1'000);
  store_.AnswerEmpty();
  ASSERT_TRUE(refused->done);
  EXPECT_EQ(store::ReasonOf(refused->status), store::Reason::kBusy);
  EXPECT_THAT(std::string(refused->status.message()),
              testing::HasSubstr("2 receives of group g wait on topic orders already, as many as "
                                 "popPollingSize allows"));
  auto other_queue = Start("g", 1'000, QueueId(1));
  store_.AnswerEmpty();
  EXPECT_FALSE(other_queue->done);
  RunForMillis(1'000);
  EXPECT_TRUE(first->done && second->done);
  auto later = Start("g", 1'000);
  store_.AnswerEmpty();
  EXPECT_FALSE(later->done) << "there is room again";
}

TEST_F(ReceiveWaitersTest, AsManyWaitInAllAsMay) {
  for (const char* group : {"f", "g", "h"}) {
    Start(group, 1'000);
    store_.AnswerEmpty();
  }
  auto refused = Start("i", 1'000);
  store_.AnswerEmpty();
  ASSERT_TRUE(refused->done);
  EXPECT_EQ(store::ReasonOf(refused->status), store::Reason::kBusy);
  EXPECT_THAT(std::string(refused->status.message()),
              testing::HasSubstr("3 receives wait already, as many as maxPopPollingSize allows"));
  EXPECT_EQ(waiters_.waiting(), 3u);
}

TEST_F(ReceiveWaitersTest, AnAckLetsOneGoOnThatWaitsBecauseTooMuchIsInFlight) {
  store::ReceiveResult full;
  full.inflight_full = true;
  auto outcome = Start("g", 1'000);
  store_.Answer(full);
  waiters_.OnAcked("h", "orders");
  waiters_.OnAcked("g", "payments");
  EXPECT_TRUE(store_.receives.empty());
  waiters_.OnAcked("g", "orders");
  ASSERT_EQ(store_.receives.size(), 1u);
  waiters_.OnAcked("g", "orders");  // while the store is asked
  store_.Answer(full);
  ASSERT_EQ(store_.receives.size(), 1u) << "that ack made room, too";
  store_.Answer(full);
  EXPECT_TRUE(store_.receives.empty());
  RunForMillis(1'000);
  EXPECT_TRUE(outcome->inflight_full) << "its client can be told why";
  auto without = Start("g", 1'000);
  store_.AnswerEmpty();
  waiters_.OnAcked("g", "orders");
  EXPECT_TRUE(store_.receives.empty()) << "there is nothing that an ack could make room for";
}

TEST_F(ReceiveWaitersTest, ALossOfLeadershipEndsWhatIsParked) {
  auto outcome = Start("g", 1'000);
  store_.AnswerEmpty(500);
  waiters_.Abandon(store::Refuse(store::Reason::kNotLeader, "lost"));
  ASSERT_TRUE(outcome->done);
  EXPECT_EQ(store::ReasonOf(outcome->status), store::Reason::kNotLeader);
  RunForMillis(2'000);
  EXPECT_TRUE(store_.receives.empty());
}

TEST_F(ReceiveWaitersTest, WhatAWokenReceiveCouldNotTakeIsForTheNextInLine) {
  auto first = Start("g", 1'000);
  store_.AnswerEmpty();
  auto second = Start("g", 1'000);
  store_.AnswerEmpty();
  Arrive();
  ASSERT_EQ(store_.receives.size(), 1) << "the first in line is asked for";
  store_.Answer(absl::DataLossError("its record cannot be read here"));
  EXPECT_TRUE(first->done);
  ASSERT_EQ(store_.receives.size(), 1) << "then the second";
  store_.AnswerMessages(1);
  EXPECT_EQ(second->messages, 1);
}

TEST_F(ReceiveWaitersTest, AnErrorOfTheStoreIsPassedOn) {
  auto outcome = Start("g", 1'000);
  store_.Answer(store::Refuse(store::Reason::kGroupNotFound, "g"));
  EXPECT_EQ(store::ReasonOf(outcome->status), store::Reason::kGroupNotFound);
  EXPECT_EQ(waiters_.waiting(), 0);
}

// From lite topics: who waits is known by its client, and whom an arrival is for by the store.
class LiteWaitersTest : public testing::Test {
 protected:
  void Start(const std::string& client_id) {
    store::ReceiveRequest request;
    request.group = "g";
    request.topic = "sessions";
    request.lite = true;
    request.client_id = client_id;
    waiters_.Receive(waiters_.NewId(), request, clock_.MonotonicMillis() + 60'000,
                     [](const absl::StatusOr<store::ReceiveResult>&) {});
    store_.AnswerEmpty();
  }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeStore store_;
  FakeLiteTopics lite_topics_;
  ReceiveWaiters waiters_{ReceiveWaiters::Options(), &store_, &clock_, &timer_, &lite_topics_};
  const std::string a_ = store::LiteTopicName("sessions", "a");
};

TEST_F(LiteWaitersTest, AnArrivalWakesThoseThatSubscribed) {
  lite_topics_.subscribers[a_] = {"c2"};
  Start("c1");
  Start("c2");
  waiters_.OnArrival(store::LiteTopicName("sessions", "b"), QueueId(0), kOne);
  waiters_.OnArrival("sessions", QueueId(0), kOne);
  EXPECT_TRUE(store_.receives.empty());
  waiters_.OnArrival(a_, QueueId(0), kOne);
  ASSERT_EQ(store_.receives.size(), 1u);
  EXPECT_EQ(store_.receives[0].request.client_id, "c2");
}

TEST_F(LiteWaitersTest, AnEndedLeaseAndASubscriptionWakeThem) {
  lite_topics_.subscribers[a_] = {"c1"};
  Start("c1");
  waiters_.OnReleased("g", a_, 500);
  EXPECT_TRUE(store_.receives.empty());
  timer_.RunFor(500'000'000);
  ASSERT_EQ(store_.receives.size(), 1u);
  store_.AnswerEmpty();
  waiters_.OnSubscribed("g", "sessions", "c1");
  EXPECT_EQ(store_.receives.size(), 1u);
}

}  // namespace
}  // namespace raftmq::broker
