// Messages that wait under one of the broker's topics: delayed ones and half messages.

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::HasSubstr;
using testing::Not;

class WaitingRecords : public testing::Test {
 protected:
  WaitingRecords() : member_(&log_, "waiting_records_test", {}) { member_.Start(); }

  NewMessage Delayed(int64_t delay_ms) {
    NewMessage message = MessageOf("D", "later");
    message.type = TopicType::kDelay;
    message.deliver_ms = member_.clock().WallMillis() + delay_ms;
    return message;
  }

  NewMessage Half() {
    NewMessage message = MessageOf("X", "perhaps");
    message.type = TopicType::kTransaction;
    return message;
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(WaitingRecords, ADelayedMessageIsATimerAndNotInItsTopic) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  const auto sent = member_.Send({Delayed(5'000)});
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->at(0).due_ms, member_.clock().WallMillis() + 5'000);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), testing::IsEmpty());
  EXPECT_THAT(member_.Dump(), HasSubstr(StrCat("timer due_ms=", sent->at(0).due_ms,
                                               " position=", sent->at(0).position)));
  const auto bytes = member_.store().RecordAt(sent->at(0).position);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto record = ParseRecord(*bytes);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->topic, kTimerTopic);
  EXPECT_EQ(record->properties.Get(property::kRealTopic), "D");
}

TEST_F(WaitingRecords, AMessageThatIsDueAlreadyIsDeliveredAtOnce) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  ASSERT_TRUE(member_.Send({Delayed(-1)}).ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), testing::ElementsAre("later"));
  EXPECT_THAT(member_.Dump(), Not(HasSubstr("timer ")));
}

TEST_F(WaitingRecords, ADelayBeyondTheLimitIsRefused) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  const auto sent = member_.Send({Delayed(int64_t{366} * 24 * 3600 * 1000)});
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(ReasonOf(sent.status()), Reason::kIllegalDeliveryTime);
}

TEST_F(WaitingRecords, ADelayedMessageOfATopicThatDoesNotExistIsRefused) {
  const auto sent = member_.Send({Delayed(5'000)});
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(ReasonOf(sent.status()), Reason::kTopicNotFound);
}

TEST_F(WaitingRecords, AHalfMessageIsATransactionAndNotInItsTopic) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  const auto sent = member_.Send({Half()});
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), testing::IsEmpty());
  EXPECT_THAT(member_.Dump(), HasSubstr(StrCat("transaction position=", sent->at(0).position)));
}

TEST_F(WaitingRecords, AreSentAlone) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  const auto sent = member_.Send({Half(), Half()});
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(ReasonOf(sent.status()), Reason::kMessageCorrupted);
}

TEST_F(WaitingRecords, StillWaitAfterARestartAndAfterALostDatabase) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  ASSERT_TRUE(member_.Send({Delayed(5'000)}).ok());
  ASSERT_TRUE(member_.Send({Half()}).ok());
  const std::string before = member_.Dump();
  member_.Stop();
  member_.Start(/*lead=*/false);
  EXPECT_EQ(member_.Dump(), before);
  member_.Kill();
  member_.Start(/*lead=*/false);
  EXPECT_EQ(member_.Dump(), before);
}

}  // namespace
}  // namespace raftmq::store
