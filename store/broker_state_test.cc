#include "store/broker_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/strings.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;

constexpr char kTopic[] = "orders";
constexpr char kGroup[] = "billing";

// A state with a topic of two queues and a group; each step is an entry of its own.
class BrokerStateTest : public testing::Test {
 protected:
  BrokerStateTest() {
    PutTopicNow(2);
    GroupConfig group;
    group.name = kGroup;
    Must(PutGroup{group});
  }

  absl::Status Try(CommandBody body) {
    return state_.Apply({wall_ms_, now_ms_, std::move(body)}, LogIndex(++index_));
  }

  void Must(CommandBody body) {
    absl::Status status = Try(std::move(body));
    ASSERT_TRUE(status.ok()) << status;
  }

  void PutTopicNow(int32_t queues) {
    TopicConfig topic;
    topic.name = kTopic;
    topic.read_queues = topic.write_queues = queues;
    Must(PutTopic{topic});
  }

  void Store(int32_t queue, int count) {
    for (int i = 0; i < count; ++i) {
      absl::Status status =
          state_.ApplyRecord(kTopic, QueueId(queue), state_.FindQueue(kTopic, QueueId(queue))->max,
                             wall_ms_, LogIndex(++index_));
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  void StartAt(int64_t q0, int64_t q1) {
    Must(InitPositions{
        kGroup, kTopic, {{QueueId(0), QueueOffset(q0)}, {QueueId(1), QueueOffset(q1)}}});
  }

  GrantPlan Pick(int max, const FilterWindow* window = nullptr, int64_t max_inflight = 10'000) {
    std::vector<GrantRequest::Queue> queues;
    for (int32_t q = 0; q < state_.QueueCount(kTopic); ++q) {
      queues.push_back({QueueId(q), state_.FindQueue(kTopic, QueueId(q))->max, window});
    }
    return state_.PickGrants({kGroup, kTopic, queues, now_ms_, max, max_inflight});
  }

  Grant GrantOf(const GrantPlan& plan) {
    return {kGroup, kTopic, now_ms_ + kLeaseMs, "client", "attempt", plan.items, plan.filtered};
  }

  // Leases up to `max` messages; "queue/offset#attempt" each.
  std::vector<std::string> Receive(int max, const FilterWindow* window = nullptr) {
    GrantPlan plan = Pick(max, window);
    if (!plan.empty()) Must(GrantOf(plan));
    std::vector<std::string> got;
    for (const GrantItem& item : plan.items) {
      got.push_back(StrCat(item.queue, "/", item.offset, "#", item.attempt));
    }
    return got;
  }

  std::string Handle(int32_t queue, int64_t offset) {
    const Lease* lease = state_.FindLease(kGroup, kTopic, QueueId(queue), QueueOffset(offset));
    if (lease == nullptr) return "";
    return EncodeReceiptHandle(
        {ReceiptNamesCrc(kGroup, kTopic), QueueId(queue), QueueOffset(offset), lease->lease_id});
  }

  uint64_t LeaseId(int32_t queue, int64_t offset) {
    const Lease* lease = state_.FindLease(kGroup, kTopic, QueueId(queue), QueueOffset(offset));
    return lease == nullptr ? 0 : lease->lease_id;
  }

  void AckNow(int32_t queue, int64_t offset) {
    Must(Ack{kGroup, kTopic, {{QueueId(queue), QueueOffset(offset), LeaseId(queue, offset)}}});
  }

  QueueProgress At(int32_t queue) { return *state_.FindProgress(kGroup, kTopic, QueueId(queue)); }

  static constexpr int64_t kLeaseMs = 60'000;
  using Got = std::vector<std::string>;

  BrokerState state_;
  int64_t index_ = 0;
  int64_t wall_ms_ = 1'700'000'000'000;
  int64_t now_ms_ = 1'000;  // lease clock
};

// ---- Topics, groups, queues

TEST_F(BrokerStateTest, ATopicKeepsWhenItWasCreatedThroughChanges) {
  LogIndex created = state_.FindTopic(kTopic)->created_index;
  EXPECT_EQ(created, LogIndex(1));
  EXPECT_EQ(state_.FindTopic(kTopic)->created_ms, wall_ms_);
  wall_ms_ += 5;
  PutTopicNow(4);
  EXPECT_EQ(state_.FindTopic(kTopic)->created_index, created);
  EXPECT_EQ(state_.FindTopic(kTopic)->created_ms, wall_ms_ - 5);
  EXPECT_EQ(state_.QueueCount(kTopic), 4);
}

TEST_F(BrokerStateTest, QueuesTakenFromATopicStayReadable) {
  Store(1, 3);
  PutTopicNow(1);
  EXPECT_EQ(state_.QueueCount(kTopic), 2);
  EXPECT_EQ(state_.FindQueue(kTopic, QueueId(1))->max, QueueOffset(3));
}

TEST_F(BrokerStateTest, ATopicCreatedAgainStartsAtZeroWithAnotherCreatedIndex) {
  Store(0, 5);
  StartAt(0, 0);
  ASSERT_EQ(Receive(2), (Got{"0/0#1", "0/1#1"}));
  std::string handle = Handle(0, 0);
  LogIndex created = state_.FindTopic(kTopic)->created_index;

  Must(DeleteTopic{kTopic});
  EXPECT_EQ(state_.FindTopic(kTopic), nullptr);
  EXPECT_FALSE(state_.HasPositions(kGroup, kTopic));
  PutTopicNow(2);
  EXPECT_GT(state_.FindTopic(kTopic)->created_index, created);
  EXPECT_EQ(*state_.FindQueue(kTopic, QueueId(0)), QueueEnds{});

  Store(0, 1);
  StartAt(0, 0);
  ASSERT_EQ(Receive(2), (Got{"0/0#1"}));
  EXPECT_EQ(ReasonOf(state_.CheckHandle(kGroup, kTopic, handle).status()),
            Reason::kInvalidReceiptHandle);
}

TEST_F(BrokerStateTest, AGroupCreatedAgainHasNoPositions) {
  StartAt(0, 0);
  Must(DeleteGroup{kGroup});
  EXPECT_EQ(state_.FindGroup(kGroup), nullptr);
  GroupConfig group;
  group.name = kGroup;
  Must(PutGroup{group});
  EXPECT_FALSE(state_.HasPositions(kGroup, kTopic));
}

TEST_F(BrokerStateTest, RecordsMustContinueTheirQueue) {
  Store(0, 2);
  LogIndex index(++index_);
  EXPECT_FALSE(state_.ApplyRecord(kTopic, QueueId(0), QueueOffset(1), wall_ms_, index).ok());
  EXPECT_FALSE(state_.ApplyRecord(kTopic, QueueId(0), QueueOffset(3), wall_ms_, index).ok());
  EXPECT_FALSE(state_.ApplyRecord(kTopic, QueueId(2), QueueOffset(0), wall_ms_, index).ok());
  EXPECT_FALSE(state_.ApplyRecord("nothing", QueueId(0), QueueOffset(0), wall_ms_, index).ok());
  EXPECT_TRUE(state_.ApplyRecord(kTopic, QueueId(0), QueueOffset(2), wall_ms_, index).ok());
}

TEST_F(BrokerStateTest, RecordsOfADeletedTopicWithTheSameNameAreRefused) {
  PutTopicNow(2);
  BrokerState fresh;
  TopicConfig topic;
  topic.name = kTopic;
  ASSERT_TRUE(fresh.Apply({1, 1, PutTopic{topic}}, LogIndex(10)).ok());
  EXPECT_FALSE(fresh.ApplyRecord(kTopic, QueueId(0), QueueOffset(0), 1, LogIndex(9)).ok());
  EXPECT_TRUE(fresh.ApplyRecord(kTopic, QueueId(0), QueueOffset(0), 1, LogIndex(11)).ok());
}

TEST_F(BrokerStateTest, WhatIsAppliedIsNotAppliedAgain) {
  state_.FinishBatch(LogIndex(index_));
  EXPECT_FALSE(state_.Apply({1, 1, DeleteTopic{kTopic}}, LogIndex(index_)).ok());
  EXPECT_FALSE(state_.ApplyRecord(kTopic, QueueId(0), QueueOffset(0), 1, LogIndex(index_)).ok());
  EXPECT_NE(state_.FindTopic(kTopic), nullptr);
}

TEST_F(BrokerStateTest, ClocksNeverGoBack) {
  Must(DeleteGroup{kGroup});
  int64_t wall = wall_ms_, now = now_ms_;
  wall_ms_ -= 1'000;
  now_ms_ -= 500;
  Store(0, 1);
  PutTopicNow(2);
  EXPECT_EQ(state_.log_time_ms(), wall);
  EXPECT_EQ(state_.lease_time_ms(), now);
}

// ---- Leases

TEST_F(BrokerStateTest, AnAckedMessageIsNeverGrantedAgain) {
  Store(0, 3);
  StartAt(0, 0);
  ASSERT_EQ(Receive(3), (Got{"0/0#1", "0/1#1", "0/2#1"}));
  AckNow(0, 1);
  now_ms_ += 10 * kLeaseMs;
  EXPECT_EQ(Receive(10), (Got{"0/0#2", "0/2#2"}));
}

TEST_F(BrokerStateTest, ALeasedMessageIsNotGrantedUntilItsTimeIsOver) {
  Store(0, 1);
  StartAt(0, 0);
  ASSERT_EQ(Receive(1), (Got{"0/0#1"}));
  now_ms_ += kLeaseMs - 1;
  GrantPlan plan = Pick(1);
  EXPECT_TRUE(plan.empty());
  EXPECT_EQ(plan.next_visible_ms, now_ms_ + 1);
  now_ms_ += 1;
  EXPECT_EQ(Receive(1), (Got{"0/0#2"}));
}

TEST_F(BrokerStateTest, AnExpiredLeaseIsGrantedAgainUnderANewLeaseId) {
  Store(0, 1);
  StartAt(0, 0);
  Receive(1);
  uint64_t first = LeaseId(0, 0);
  std::string handle = Handle(0, 0);
  now_ms_ += kLeaseMs;
  EXPECT_TRUE(state_.CheckHandle(kGroup, kTopic, handle).ok()) << "expired, not yet given out";
  ASSERT_EQ(Receive(1), (Got{"0/0#2"}));
  EXPECT_GT(LeaseId(0, 0), first);
  EXPECT_EQ(ReasonOf(state_.CheckHandle(kGroup, kTopic, handle).status()),
            Reason::kInvalidReceiptHandle);
  EXPECT_FALSE(Try(Ack{kGroup, kTopic, {{QueueId(0), QueueOffset(0), first}}}).ok());
  EXPECT_NE(LeaseId(0, 0), 0u) << "an ack under the old lease must not ack the new one";
}

TEST_F(BrokerStateTest, ExpiredMessagesComeBeforeNewOnesLowestFirst) {
  Store(0, 6);
  StartAt(0, 0);
  ASSERT_EQ(Receive(4).size(), 4u);
  // The higher one is over first.
  Must(ChangeInvisible{kGroup, kTopic, QueueId(0), QueueOffset(3), LeaseId(0, 3), now_ms_});
  now_ms_ += 10;
  Must(ChangeInvisible{kGroup, kTopic, QueueId(0), QueueOffset(1), LeaseId(0, 1), now_ms_});
  EXPECT_EQ(Receive(3), (Got{"0/1#2", "0/3#2", "0/4#1"}));
}

TEST_F(BrokerStateTest, ANackMakesTheMessageVisibleAndKeepsTheHandle) {
  Store(0, 1);
  StartAt(0, 0);
  Receive(1);
  std::string handle = Handle(0, 0);
  Must(ChangeInvisible{kGroup, kTopic, QueueId(0), QueueOffset(0), LeaseId(0, 0), now_ms_});
  EXPECT_TRUE(state_.CheckHandle(kGroup, kTopic, handle).ok());
  EXPECT_EQ(Receive(1), (Got{"0/0#2"}));
}

TEST_F(BrokerStateTest, ARenewalThatComesAfterTheLookStillHolds) {
  Store(0, 1);
  StartAt(0, 0);
  Receive(1);
  now_ms_ += kLeaseMs;
  ASSERT_EQ(Pick(1).items.size(), 1u);  // seen as over, not granted
  Must(ChangeInvisible{kGroup, kTopic, QueueId(0), QueueOffset(0), LeaseId(0, 0),
                       now_ms_ + kLeaseMs});
  EXPECT_TRUE(Pick(1).empty());
  now_ms_ += kLeaseMs;
  EXPECT_EQ(Receive(1), (Got{"0/0#2"}));
}

TEST_F(BrokerStateTest, ALiveLeaseCannotBeGrantedToAnother) {
  Store(0, 1);
  StartAt(0, 0);
  Receive(1);
  Grant grant{kGroup, kTopic, now_ms_ + 1, "other", "", {}, {}};
  grant.items = {{QueueId(0), QueueOffset(0), 2, state_.next_lease_id()}};
  EXPECT_FALSE(Try(grant).ok());
}

TEST_F(BrokerStateTest, GarbageAndForeignHandlesAreRefused) {
  Store(0, 1);
  StartAt(0, 0);
  Receive(1);
  std::string handle = Handle(0, 0);
  EXPECT_EQ(ReasonOf(state_.CheckHandle(kGroup, kTopic, "garbage").status()),
            Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(state_.CheckHandle("another", kTopic, handle).status()),
            Reason::kInvalidReceiptHandle);
  AckNow(0, 0);
  EXPECT_EQ(ReasonOf(state_.CheckHandle(kGroup, kTopic, handle).status()),
            Reason::kInvalidReceiptHandle);
}

// ---- Positions

TEST_F(BrokerStateTest, TheCommitOffsetMovesOverAckedRanges) {
  Store(0, 6);
  StartAt(0, 0);
  Receive(5);
  for (int64_t offset : {1, 2, 4}) AckNow(0, offset);
  EXPECT_EQ(At(0).commit_offset, QueueOffset(0));
  AckNow(0, 0);
  EXPECT_EQ(At(0).commit_offset, QueueOffset(3));
  EXPECT_EQ(At(0).inflight, 1);
  AckNow(0, 3);
  EXPECT_EQ(At(0).commit_offset, QueueOffset(5));
  EXPECT_EQ(At(0).next_offset, QueueOffset(5));
}

TEST_F(BrokerStateTest, AGroupStartsWhereItsFirstPositionsSay) {
  Store(0, 5);
  Store(1, 2);
  EXPECT_TRUE(Pick(10).empty()) << "no positions yet";
  StartAt(3, 2);
  EXPECT_FALSE(Try(InitPositions{kGroup, kTopic, {{QueueId(0), QueueOffset(0)}}}).ok());
  EXPECT_EQ(Receive(10), (Got{"0/3#1", "0/4#1"}));
}

TEST_F(BrokerStateTest, AQueueYoungerThanThePositionsStartsAtItsFirstMessage) {
  StartAt(0, 0);
  PutTopicNow(3);
  Store(2, 2);
  EXPECT_EQ(state_.FindProgress(kGroup, kTopic, QueueId(2))->commit_offset, QueueOffset(0));
  EXPECT_EQ(Receive(10), (Got{"2/0#1", "2/1#1"}));
}

TEST_F(BrokerStateTest, UpdateOffsetStartsThePositionAnew) {
  Store(0, 6);
  StartAt(0, 0);
  Receive(4);
  AckNow(0, 2);
  std::string handle = Handle(0, 3);
  Must(UpdateOffset{kGroup, kTopic, QueueId(0), QueueOffset(2)});
  EXPECT_EQ(At(0).commit_offset, QueueOffset(2));
  EXPECT_EQ(At(0).inflight, 0);
  EXPECT_FALSE(state_.CheckHandle(kGroup, kTopic, handle).ok());
  EXPECT_EQ(Receive(10), (Got{"0/2#1", "0/3#1", "0/4#1", "0/5#1"}));
  EXPECT_FALSE(Try(UpdateOffset{kGroup, kTopic, QueueId(0), QueueOffset(7)}).ok());
}

TEST_F(BrokerStateTest, ProgressListsEveryQueueOfEveryTopic) {
  Store(1, 2);
  EXPECT_TRUE(state_.Progress(kGroup).empty());
  StartAt(0, 1);
  std::vector<QueueProgress> rows = state_.Progress(kGroup);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].topic, kTopic);
  EXPECT_EQ(rows[1].queue, QueueId(1));
  EXPECT_EQ(rows[1].max_offset, QueueOffset(2));
  EXPECT_EQ(rows[1].commit_offset, QueueOffset(1));
}

// ---- Bounds and filters

TEST_F(BrokerStateTest, GrantsAreBounded) {
  Store(0, 10);
  Store(1, 10);
  StartAt(0, 0);
  EXPECT_EQ(Pick(7).items.size(), 7u);
  GrantPlan plan = Pick(32, nullptr, 4);
  EXPECT_EQ(plan.items.size(), 8u) << "four on each queue";
  EXPECT_TRUE(plan.inflight_full);
  Must(GrantOf(plan));
  EXPECT_TRUE(Pick(32, nullptr, 4).items.empty());
  AckNow(0, 2);
  plan = Pick(32, nullptr, 4);
  ASSERT_EQ(plan.items.size(), 1u);
  EXPECT_EQ(plan.items[0].offset, QueueOffset(4));
  now_ms_ += kLeaseMs;
  EXPECT_EQ(Pick(32, nullptr, 4).items.size(), 8u) << "expired ones do not count as new";
}

TEST_F(BrokerStateTest, OnlyOffsetsBelowTheLimitAreGranted) {
  Store(0, 10);
  StartAt(0, 0);
  std::vector<GrantRequest::Queue> queues = {{QueueId(0), QueueOffset(4), nullptr}};
  GrantPlan plan = state_.PickGrants({kGroup, kTopic, queues, now_ms_, 32, 100});
  EXPECT_EQ(plan.items.size(), 4u);
  Grant beyond = GrantOf(plan);
  beyond.filtered = {{QueueId(0), QueueOffset(4), QueueOffset(11)}};
  EXPECT_FALSE(Try(beyond).ok());
}

TEST_F(BrokerStateTest, WhereSomeAreForOneGroupNothingIsGrantedUnseen) {
  const auto store = [this](Audience audience) {
    const QueueOffset end = state_.FindQueue(kTopic, QueueId(0))->max;
    ASSERT_TRUE(
        state_.ApplyRecord(kTopic, QueueId(0), end, wall_ms_, LogIndex(++index_), audience).ok());
  };
  Store(0, 3);
  store(Audience::kOneGroup);  // 3
  Store(0, 2);
  store(Audience::kOneGroup);  // 6
  Store(0, 2);
  QueueEnds ends = *state_.FindQueue(kTopic, QueueId(0));
  EXPECT_EQ(ends.for_one_begin, QueueOffset(3));
  EXPECT_EQ(ends.for_one_end, QueueOffset(7));
  StartAt(0, 0);
  const auto pick = [&](const FilterWindow* window) {
    const std::vector<GrantRequest::Queue> queues = {
        {QueueId(0), ends.max, window, ends.for_one_begin, ends.for_one_end}};
    return state_.PickGrants({kGroup, kTopic, queues, now_ms_, 32, 100});
  };
  GrantPlan plan = pick(nullptr);
  EXPECT_EQ(plan.items.size(), 3u) << "those before need no looking at";
  EXPECT_THAT(plan.rescan, ElementsAre(QueueId(0)));
  Must(GrantOf(plan));
  plan = pick(nullptr);
  EXPECT_TRUE(plan.empty());
  EXPECT_THAT(plan.rescan, ElementsAre(QueueId(0)));
  const FilterWindow window{QueueOffset(3), {false, true, true, false, true, true}, {}};
  plan = pick(&window);
  EXPECT_EQ(plan.items.size(), 4u);
  Must(GrantOf(plan));
  Store(0, 2);
  ends = *state_.FindQueue(kTopic, QueueId(0));
  EXPECT_EQ(pick(nullptr).items.size(), 2u) << "nor do those behind";

  Must(Retain{LogPosition(10), {{kTopic, QueueId(0), QueueOffset(8)}}, {}});
  store(Audience::kOneGroup);  // 11
  EXPECT_EQ(state_.FindQueue(kTopic, QueueId(0))->for_one_begin, QueueOffset(11))
      << "what has expired need not be looked at";
}

TEST_F(BrokerStateTest, FilteredOutOffsetsCountAsAcked) {
  Store(0, 6);
  StartAt(6, 0);
  Must(UpdateOffset{kGroup, kTopic, QueueId(0), QueueOffset(0)});
  FilterWindow window{QueueOffset(0), {false, true, false, false, true, false}, {}};
  GrantPlan plan = Pick(32, &window);
  ASSERT_EQ(plan.items.size(), 2u);
  EXPECT_EQ(plan.filtered.size(), 3u);
  Must(GrantOf(plan));
  EXPECT_EQ(At(0).next_offset, QueueOffset(6));
  EXPECT_EQ(At(0).commit_offset, QueueOffset(1));
  AckNow(0, 1);
  EXPECT_EQ(At(0).commit_offset, QueueOffset(4));
  AckNow(0, 4);
  EXPECT_EQ(At(0).commit_offset, QueueOffset(6));
}

TEST_F(BrokerStateTest, AFullGrantStopsTheFilterBeforeTheNextMatch) {
  Store(0, 6);
  StartAt(0, 0);
  FilterWindow window{QueueOffset(0), {false, true, false, true, true, false}, {}};
  EXPECT_EQ(Receive(1, &window), (Got{"0/1#1"}));
  EXPECT_EQ(At(0).next_offset, QueueOffset(3)) << "2 is filtered out, 3 waits";
  EXPECT_EQ(Receive(32, &window), (Got{"0/3#1", "0/4#1"}));
}

TEST_F(BrokerStateTest, AWindowThatMissesThePositionAsksForARescan) {
  Store(0, 8);
  StartAt(4, 0);
  FilterWindow before{QueueOffset(0), {true, true, true, true}, {}};
  FilterWindow after{QueueOffset(5), {true, true}, {}};
  FilterWindow part{QueueOffset(3), {true, false, false}, {}};
  for (const FilterWindow* window : {&before, &after}) {
    GrantPlan plan = Pick(32, window);
    EXPECT_TRUE(plan.empty());
    EXPECT_EQ(plan.rescan, (std::vector<QueueId>{QueueId(0)}));
  }
  GrantPlan plan = Pick(32, &part);
  EXPECT_TRUE(plan.items.empty());
  ASSERT_EQ(plan.filtered.size(), 1u);
  EXPECT_EQ(plan.filtered[0].to, QueueOffset(6));
  EXPECT_EQ(plan.rescan, (std::vector<QueueId>{QueueId(0)}));
}

TEST_F(BrokerStateTest, AGrantThatLeavesAGapIsRefused) {
  Store(0, 6);
  StartAt(0, 0);
  Grant grant{kGroup, kTopic, now_ms_ + 1, "c", "", {}, {}};
  grant.items = {{QueueId(0), QueueOffset(1), 1, state_.next_lease_id()}};
  EXPECT_FALSE(Try(grant).ok());
}

TEST_F(BrokerStateTest, LeaseIdsAreNeverUsedTwice) {
  Store(0, 2);
  StartAt(0, 0);
  Grant grant{kGroup, kTopic, now_ms_ + 1, "c", "", {}, {}};
  grant.items = {{QueueId(0), QueueOffset(0), 1, state_.next_lease_id() + 1}};
  EXPECT_FALSE(Try(grant).ok());
}

// ---- Copies

TEST_F(BrokerStateTest, ACopyEqualsTheOriginalAfterEqualCommands) {
  Store(0, 4);
  StartAt(0, 0);
  Receive(3);
  BrokerState copy = state_.Copy();
  EXPECT_EQ(copy.DumpText(), state_.DumpText());
  now_ms_ += kLeaseMs;
  Pick(1);  // looking at the original sorts its leases, which is no difference
  Command ack{wall_ms_, now_ms_, Ack{kGroup, kTopic, {{QueueId(0), QueueOffset(1), 2}}}};
  ASSERT_TRUE(state_.Apply(ack, LogIndex(100)).ok());
  EXPECT_NE(copy.DumpText(), state_.DumpText()) << "a copy is a state of its own";
  ASSERT_TRUE(copy.Apply(ack, LogIndex(100)).ok());
  EXPECT_EQ(copy.DumpText(), state_.DumpText());
}

TEST_F(BrokerStateTest, TheDumpIsSortedAndNamesEverything) {
  Store(0, 2);
  StartAt(0, 0);
  Receive(1);
  state_.FinishBatch(LogIndex(index_));
  EXPECT_EQ(state_.DumpText(),
            "applied index=6\n"
            "clock log_time_ms=1700000000000 lease_time_ms=1000 next_lease_id=2\n"
            "group billing enable=1 orderly=0 retry=16 from=1 timestamp=0 created_index=2 "
            "created_ms=1700000000000\n"
            "lease billing orders 0 offset=0 id=1 until_ms=61000 attempt=1 client=\"client\" "
            "attempt_id=\"attempt\"\n"
            "position billing orders 0 commit=0 next=1\n"
            "position billing orders 1 commit=0 next=0\n"
            "queue orders 0 min=0 max=2 last_store_ms=1700000000000\n"
            "topic orders read=2 write=2 perm=6 type=1 queues=2 created_index=1 "
            "created_ms=1700000000000\n");
}

}  // namespace
}  // namespace raftmq::store
