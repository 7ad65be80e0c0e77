// Topics of type PRIORITY: higher ones first.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_encoding.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Priority : public testing::Test {
 protected:
  Priority() : member_(&log_, "priority_test", {}) {
    member_.Start();
    member_.MakeTopic("P", 4, TopicType::kPriority);
  }

  SendResult Send(const std::string& body, std::optional<int32_t> priority,
                  const std::string& tag = "") {
    NewMessage message = MessageOf("P", body, tag);
    message.type = TopicType::kPriority;
    message.priority = priority;
    message.queue = QueueId(1);  // as a client that chooses queues does
    const auto sent = member_.Send({std::move(message)});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }
  std::vector<std::string> Receive(int max = 32, std::vector<std::string> tags = {}) {
    return member_.ReceiveBodies("G", "P", max, std::move(tags));
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Priority, IsTheQueueUpToTheLast) {
  EXPECT_EQ(Send("none", std::nullopt).queue, QueueId(0));
  EXPECT_EQ(Send("low", 0).queue, QueueId(0));
  EXPECT_EQ(Send("middle", 2).queue, QueueId(2));
  EXPECT_EQ(Send("high", 3).queue, QueueId(3));
  EXPECT_EQ(Send("beyond", 1'000'000).queue, QueueId(3));
}

TEST_F(Priority, HigherOnesComeFirstAndEqualOnesInTheirOrder) {
  Send("low", 0);
  Send("middle", 1);
  Send("high", 3);
  Send("low too", 0);
  Send("high too", 3);
  EXPECT_THAT(Receive(2), ElementsAre("high", "high too"));
  Send("late and high", 2);
  EXPECT_THAT(Receive(1), ElementsAre("late and high"));
  EXPECT_THAT(Receive(), ElementsAre("middle", "low", "low too"));
  EXPECT_THAT(Receive(), IsEmpty());
}

TEST_F(Priority, WhatFailedDoesNotOvertakeAHigherOne) {
  Send("low", 0);
  ASSERT_THAT(Receive(), ElementsAre("low"));
  ASSERT_TRUE(member_.Nack("G", "P", member_.last_deliveries()[0].receipt_handle, 0).ok());
  Send("low and new", 0);
  Send("high", 3);
  EXPECT_THAT(Receive(), ElementsAre("high", "low", "low and new"));
}

TEST_F(Priority, AFilterKeepsTheOrder) {
  Send("low", 0, "red");
  Send("blue", 3, "blue");
  Send("high", 2, "red");
  EXPECT_THAT(Receive(32, {"red"}), ElementsAre("high", "low"));
}

TEST_F(Priority, IsKeptInTheDeadLetterQueueAndOnTheWayBack) {
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Send("high", 3);
  ASSERT_THAT(Receive(), ElementsAre("high"));
  ASSERT_TRUE(member_.Nack("G", "P", member_.last_deliveries()[0].receipt_handle).ok());
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  RedriveRequest all;
  all.group = "G";
  ASSERT_EQ(member_.Redrive(all)->messages.size(), 1u);
  Send("low", 0);
  ASSERT_THAT(Receive(), ElementsAre("high", "low"));
  EXPECT_EQ(member_.last_deliveries()[0].queue, QueueId(3));
  const auto record = ParseRecord(member_.last_deliveries()[0].record);
  EXPECT_EQ(PriorityOf(record->properties), 3);
}

TEST_F(Priority, AnotherTypeIsRefused) {
  EXPECT_EQ(ReasonOf(member_.Send({MessageOf("P", "x")}).status()), Reason::kTypeConflict);
}

}  // namespace
}  // namespace raftmq::store
