// Order by message group: what an orderly consumer group is given.

#include <cstdlib>
#include <map>
#include <set>

#include "base/random.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Fifo : public testing::Test {
 protected:
  Fifo() : member_(&log_, "fifo_test", {}) { member_.Start(); }

  void SetUp() override { MakeOrderly(1); }

  void MakeOrderly(int queues) {
    member_.MakeTopic("F", queues, TopicType::kFifo);
    GroupConfig group;
    group.name = "G";
    group.orderly = true;
    ASSERT_TRUE(member_.UpdateGroup(group).ok());
  }

  // The message group is what comes before the first digit: "a1" is of group "a", "1" of none.
  void SendAll(const std::vector<std::string>& bodies, const std::string& tag = "") {
    for (const std::string& body : bodies) {
      NewMessage message = MessageOf("F", body, tag);
      message.message_group = body.substr(0, body.find_first_of("0123456789"));
      message.type = TopicType::kFifo;
      ASSERT_TRUE(member_.Send({message}).ok());
    }
  }

  absl::StatusOr<ReceiveResult> Ask(int max = 32, const std::string& attempt_id = "") {
    ReceiveRequest request;
    request.group = "G";
    request.topic = "F";
    request.max_messages = max;
    request.client_id = "tester";
    request.attempt_id = attempt_id;
    return member_.Receive(request);
  }

  std::vector<std::string> Receive(int max = 32, const std::string& attempt_id = "") {
    const auto result = Ask(max, attempt_id);
    CHECK(result.ok()) << result.status();
    std::vector<std::string> bodies;
    for (const Delivery& delivery : result->deliveries) {
      bodies.push_back(BodyOf(delivery.record));
      held_[bodies.back()] = delivery;
    }
    return bodies;
  }

  void Ack(const std::string& body) {
    ASSERT_TRUE(member_.Ack("G", "F", {held_.at(body).receipt_handle})[0].ok()) << body;
  }

  int64_t Commit() { return member_.store().CommitOffset("G", "F", QueueId(0))->value(); }

  FakeLog log_;
  StoreHarness member_;
  std::map<std::string, Delivery> held_;
};

TEST_F(Fifo, GroupsOfOneQueueDoNotHoldUpEachOther) {
  SendAll({"a0", "a1", "b0", "a2", "c0", "b1"});
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  EXPECT_THAT(Receive(1), ElementsAre("b0"));
  EXPECT_THAT(Receive(), ElementsAre("c0"));
  EXPECT_THAT(Receive(), IsEmpty());
  Ack("b0");
  EXPECT_THAT(Receive(), ElementsAre("b1"));
  Ack("a0");
  EXPECT_THAT(Receive(), ElementsAre("a1", "a2"));
  EXPECT_EQ(held_["a1"].attempt, 1) << "it was passed over, not given out";
  EXPECT_EQ(held_["a1"].offset, QueueOffset(1));
  for (const char* body : {"a1", "c0", "b1", "a2"}) Ack(body);
  EXPECT_EQ(Commit(), 6);
}

TEST_F(Fifo, OneGrantCarriesSeveralMessagesOfAGroupInOrder) {
  SendAll({"a0", "b0", "a1", "a2"});
  EXPECT_THAT(Receive(3), ElementsAre("a0", "b0", "a1"));
  Ack("a0");
  EXPECT_THAT(Receive(), IsEmpty()) << "a1 is out";
  Ack("a1");
  EXPECT_THAT(Receive(), ElementsAre("a2"));
}

TEST_F(Fifo, AnExpiredMessageComesBeforeAnyLaterOneOfItsGroup) {
  SendAll({"a0", "a1", "b0", "a2"});
  EXPECT_THAT(Receive(2), ElementsAre("a0", "a1"));
  Ack("a1");  // out of order: a0 failed
  EXPECT_THAT(Receive(), ElementsAre("b0"));
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  EXPECT_EQ(held_["a0"].attempt, 2);
  EXPECT_THAT(Receive(), ElementsAre("b0")) << "and a2 waits for a0";
  Ack("a0");
  EXPECT_THAT(Receive(), ElementsAre("a2"));
}

TEST_F(Fifo, ANackedMessageHoldsUpItsGroupUntilItsTime) {
  SendAll({"a0", "a1", "b0"});
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  ASSERT_TRUE(member_.ChangeInvisible("G", "F", held_["a0"].receipt_handle, 5'000).ok());
  EXPECT_THAT(Receive(), ElementsAre("b0"));
  const auto none = Ask();
  EXPECT_TRUE(none->deliveries.empty());
  EXPECT_EQ(none->next_visible_in_ms, 5'000);
  member_.clock().AdvanceMillis(5'000);
  EXPECT_THAT(Receive(), ElementsAre("a0", "a1"));
}

TEST_F(Fifo, MessagesWithoutAGroupAreOneGroup) {
  SendAll({"0", "a0", "1", "2"});
  EXPECT_THAT(Receive(1), ElementsAre("0"));
  EXPECT_THAT(Receive(), ElementsAre("a0"));
  EXPECT_THAT(Receive(), IsEmpty());
  Ack("0");
  EXPECT_THAT(Receive(), ElementsAre("1", "2"));
}

TEST_F(Fifo, TheSameAttemptIsGivenItsMessagesAgain) {
  SendAll({"a0", "a1", "b0", "a2"});
  EXPECT_THAT(Receive(2, "try-1"), ElementsAre("a0", "a1"));
  EXPECT_THAT(Receive(1, "try-2"), ElementsAre("b0"));
  const std::string lost = held_["a0"].receipt_handle;
  EXPECT_THAT(Receive(2, "try-1"), ElementsAre("a0", "a1"));
  EXPECT_NE(held_["a0"].receipt_handle, lost);
  EXPECT_EQ(ReasonOf(member_.Ack("G", "F", {lost})[0]), Reason::kInvalidReceiptHandle);
  EXPECT_THAT(Receive(32, "try-3"), IsEmpty());
  Ack("a0");
  Ack("a1");
  EXPECT_THAT(Receive(), ElementsAre("a2"));
}

TEST_F(Fifo, WhatIsFilteredOutHoldsUpNobody) {
  SendAll({"a0"}, "x");
  SendAll({"a1"}, "y");
  SendAll({"b0"}, "x");
  SendAll({"a2"}, "x");
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 1, {"x"}), ElementsAre("a0"));
  const Delivery a0 = member_.last_deliveries()[0];
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 32, {"x"}), ElementsAre("b0"));
  member_.AckLast("G", "F");
  ASSERT_TRUE(member_.Ack("G", "F", {a0.receipt_handle})[0].ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 32, {"x"}), ElementsAre("a2"));
  member_.AckLast("G", "F");
  EXPECT_EQ(Commit(), 4);
}

TEST_F(Fifo, BlockedGroupsStayBlockedOverRestartsAndChangesOfLeader) {
  SendAll({"a0", "a1", "b0", "b1", "a2"});
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  EXPECT_THAT(Receive(1), ElementsAre("b0"));
  member_.Stop();  // the leases come back from their rows
  member_.Start();
  EXPECT_THAT(Receive(), IsEmpty());
  member_.Kill();  // and from the log
  member_.Start();
  EXPECT_THAT(Receive(), IsEmpty());
  Ack("a0");
  EXPECT_THAT(Receive(1), ElementsAre("a1"));
  EXPECT_EQ(held_["a1"].attempt, 1);
  member_.Kill();

  StoreHarness other(&log_, "fifo_test_other", {});
  other.Start();
  EXPECT_THAT(other.ReceiveBodies("G", "F"), IsEmpty());
  ASSERT_TRUE(other.Ack("G", "F", {held_["a1"].receipt_handle})[0].ok());
  EXPECT_THAT(other.ReceiveBodies("G", "F"), ElementsAre("a2"));
  other.clock().AdvanceMillis(120'000);
  EXPECT_THAT(other.ReceiveBodies("G", "F"), ElementsAre("b0", "b1", "a2"));
}

TEST_F(Fifo, TheSearchPastABlockedGroupIsBounded) {
  member_.Stop();
  member_.options().store.filter_window = 32;
  member_.Start();
  std::vector<std::string> bodies;
  for (int i = 0; i < 40; ++i) bodies.push_back(StrCat("a", i));
  bodies.push_back("b0");
  SendAll(bodies);
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  const auto none = Ask();
  EXPECT_TRUE(none->deliveries.empty()) << "b0 is 40 messages away";
  EXPECT_EQ(none->next_visible_in_ms, 60'000) << "asking again at once would be of no use";
  for (int i = 0; i < 9; ++i) {
    Ack(StrCat("a", i));
    EXPECT_THAT(Receive(1), ElementsAre(StrCat("a", i + 1)));
  }
  EXPECT_THAT(Receive(1), ElementsAre("b0")) << "now it is near enough";
}

TEST_F(Fifo, WhatWaitsBehindBlockedGroupsIsBounded) {
  member_.Stop();
  member_.options().store.max_in_order_per_queue = 4;
  member_.Start();
  SendAll({"a0", "a1", "a2", "b0", "c0"});
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  EXPECT_THAT(Receive(), ElementsAre("b0"));
  EXPECT_THAT(Receive(), IsEmpty()) << "four are in flight";
  Ack("b0");
  EXPECT_THAT(Receive(), ElementsAre("c0"));
}

TEST_F(Fifo, AGroupThatIsNotOrderlyIsNotHeldUp) {
  SendAll({"a0", "a1"});
  EXPECT_THAT(member_.ReceiveBodies("H", "F", 1), ElementsAre("a0"));
  EXPECT_THAT(member_.ReceiveBodies("H", "F", 1), ElementsAre("a1"));
}

TEST_F(Fifo, AGroupThatBecomesOrderlyWaitsForWhatIsOut) {
  GroupConfig group;
  group.name = "G";
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  SendAll({"a0", "b0"});
  EXPECT_THAT(Receive(1), ElementsAre("a0"));
  group.orderly = true;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  EXPECT_THAT(Receive(), IsEmpty());
  Ack("a0");
  EXPECT_THAT(Receive(), ElementsAre("b0"));
}

// Consumers that ack, nack, forget and repeat at random never see a group out of order.
TEST_F(Fifo, RandomConsumersSeeEachGroupInOrder) {
  const char* fixed = std::getenv("RAFTMQ_SEED");
  const uint64_t seed = fixed != nullptr ? std::strtoull(fixed, nullptr, 10) : 7;
  SCOPED_TRACE(StrCat("replay: RAFTMQ_SEED=", seed));
  Random random(seed);
  member_.MakeTopic("F", 3, TopicType::kFifo);
  std::vector<std::string> bodies;
  for (int i = 0; i < 300; ++i) {
    bodies.push_back(StrCat(std::string(1, static_cast<char>('a' + random.Below(7))), i));
  }
  SendAll(bodies);
  std::map<char, std::vector<std::string>> left;
  for (const std::string& body : bodies) left[body[0]].push_back(body);
  size_t acked = 0;
  for (int step = 0; step < 5'000 && acked < bodies.size(); ++step) {
    const std::vector<std::string> got = Receive(1 + static_cast<int>(random.Below(5)));
    std::map<char, size_t> in_batch;
    for (const std::string& body : got) {
      const auto& group = left[body[0]];
      ASSERT_EQ(body, group[in_batch[body[0]]++]) << "an earlier one of its group is not acked";
    }
    std::set<char> failed;
    for (const std::string& body : got) {
      if (random.Chance(0.3) || failed.contains(body[0])) {
        failed.insert(body[0]);
        continue;
      }
      Ack(body);
      ++acked;
      left[body[0]].erase(left[body[0]].begin());
    }
    if (random.Chance(0.2)) member_.clock().AdvanceMillis(random.Between(1'000, 61'000));
    if (random.Chance(0.02)) {
      member_.Kill();
      member_.Start();
    }
  }
  EXPECT_EQ(acked, bodies.size());
}

}  // namespace
}  // namespace raftmq::store
