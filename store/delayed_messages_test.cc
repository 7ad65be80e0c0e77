// Delayed messages: due, delivered, recalled, over restarts and changes of leader.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DelayedMessages : public testing::Test {
 protected:
  DelayedMessages() : member_(&log_, "delayed_messages_test", {}) { member_.Start(); }

  NewMessage Delayed(const std::string& body, int64_t delay_ms) {
    NewMessage message = MessageOf("D", body);
    message.type = TopicType::kDelay;
    message.deliver_ms = member_.clock().WallMillis() + delay_ms;
    return message;
  }

  SendResult SendDelayed(const std::string& body, int64_t delay_ms) {
    auto sent = member_.Send({Delayed(body, delay_ms)});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }

  void MakeTopic(int queues = 1) { member_.MakeTopic("D", queues, TopicType::kDelay); }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(DelayedMessages, AreDeliveredOnceWhenDueAndNotBefore) {
  MakeTopic();
  const SendResult sent = SendDelayed("later", 5'000);
  member_.clock().AdvanceMillis(4'999);
  EXPECT_EQ(member_.DeliverDue(), 0);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), IsEmpty());
  member_.clock().AdvanceMillis(1);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("later"));
  const auto record = ParseRecord(member_.last_deliveries()[0].record);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->topic, "D");
  EXPECT_EQ(record->unique_key(), sent.message_id);
  EXPECT_EQ(record->properties.Get(property::kTimerDeliverMs), StrCat(sent.due_ms));
  EXPECT_EQ(record->properties.Get(property::kRealTopic), "");
  member_.AckLast("g", "D");
  EXPECT_EQ(member_.DeliverDue(), 0);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), IsEmpty());
  EXPECT_THAT(member_.Dump(), Not(HasSubstr("timer due_ms")));
}

TEST_F(DelayedMessages, ComeInTheOrderInWhichTheyAreDue) {
  MakeTopic();
  SendDelayed("third", 3'000);
  SendDelayed("first", 1'000);
  SendDelayed("second", 2'000);
  SendDelayed("second too", 2'000);
  member_.clock().AdvanceMillis(10'000);
  EXPECT_EQ(member_.DeliverDue(), 4);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"),
              ElementsAre("first", "second", "second too", "third"));
}

TEST_F(DelayedMessages, GoToTheQueueThatWasAskedFor) {
  MakeTopic(4);
  NewMessage message = Delayed("to three", 1'000);
  message.queue = QueueId(3);
  ASSERT_TRUE(member_.Send({std::move(message)}).ok());
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  ASSERT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("to three"));
  EXPECT_EQ(member_.last_deliveries()[0].queue, QueueId(3));
}

TEST_F(DelayedMessages, DeliveredTwiceAtATimeOnlyOneCounts) {
  MakeTopic();
  SendDelayed("later", 1'000);
  member_.clock().AdvanceMillis(1'000);
  const std::vector<Timer> due =
      member_.store().waiting().DueTimers(member_.clock().WallMillis(), 10);
  ASSERT_EQ(due.size(), 1u);
  std::vector<absl::Status> first, second;
  member_.ledger().set_synchronous(false);
  member_.store().waiting().Deliver(due, [&](auto statuses) { first = statuses; });
  member_.store().waiting().Deliver(due, [&](auto statuses) { second = statuses; });
  member_.Settle();
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_TRUE(first[0].ok()) << first[0];
  EXPECT_EQ(ReasonOf(second[0]), Reason::kMessageNotFound) << second[0];
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("later"));
}

TEST_F(DelayedMessages, WhoseDeliveryALostLeaderDidNotCommitAreDeliveredByTheNext) {
  MakeTopic();
  SendDelayed("later", 1'000);
  member_.clock().AdvanceMillis(1'000);
  member_.ledger().set_synchronous(false);
  std::vector<absl::Status> statuses;
  member_.store().waiting().Deliver(
      member_.store().waiting().DueTimers(member_.clock().WallMillis(), 10),
      [&](auto result) { statuses = result; });
  member_.runner().RunDue();
  member_.ledger().DecideAll();
  member_.ledger().LoseLeadership();
  member_.runner().RunDue();
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_EQ(ReasonOf(statuses[0]), Reason::kUnknownOutcome) << statuses[0];
  member_.ledger().set_synchronous(true);
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("later"));
}

TEST_F(DelayedMessages, AreDeliveredAfterAKillAndOnlyOnce) {
  MakeTopic();
  SendDelayed("one", 1'000);
  SendDelayed("two", 2'000);
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  member_.Kill();
  member_.Start();
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("one", "two"));
}

TEST_F(DelayedMessages, OfATopicThatIsGoneEndAndGoNowhere) {
  MakeTopic();
  SendDelayed("later", 1'000);
  ASSERT_TRUE(member_.DeleteTopic("D").ok());
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_EQ(member_.store().waiting().Timers().pending, 0u);
}

TEST_F(DelayedMessages, ThatAreRecalledAreNeverDelivered) {
  MakeTopic();
  const SendResult sent = SendDelayed("never", 1'000);
  const auto recalled = member_.Recall("D", sent.recall_handle);
  ASSERT_TRUE(recalled.ok()) << recalled.status();
  EXPECT_EQ(*recalled, sent.message_id);
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 0);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), IsEmpty());
  EXPECT_EQ(ReasonOf(member_.Recall("D", sent.recall_handle).status()), Reason::kMessageNotFound);
  member_.Kill();
  member_.Start();
  EXPECT_EQ(member_.DeliverDue(), 0);
}

TEST_F(DelayedMessages, ThatAreDeliveredCannotBeRecalled) {
  MakeTopic();
  const SendResult sent = SendDelayed("later", 1'000);
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  const auto recalled = member_.Recall("D", sent.recall_handle);
  EXPECT_EQ(ReasonOf(recalled.status()), Reason::kMessageNotFound);
  EXPECT_THAT(Message(recalled.status()), HasSubstr("delivered or recalled"));
}

TEST_F(DelayedMessages, CanBeRecalledAsSoonAsTheyAreCommitted) {
  MakeTopic();
  SendDelayed("first", 1'000);  // the timers' topic is there from now on
  member_.ledger().set_synchronous(false);
  std::optional<absl::StatusOr<std::vector<SendResult>>> sent;
  member_.store().Send({Delayed("never", 1'000)}, dledger::AckLevel::kMajorityDisk,
                       [&](auto result) { sent = std::move(result); });
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();  // and not applied
  ASSERT_TRUE(sent.has_value() && sent->ok());
  const SendResult result = (*sent)->at(0);
  std::optional<absl::StatusOr<std::string>> recalled;
  member_.store().waiting().Recall("D", result.recall_handle,
                                   [&](auto answer) { recalled = std::move(answer); });
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();
  member_.runner().RunDue();
  EXPECT_FALSE(recalled.has_value()) << "its record cannot be read yet";
  member_.Settle();
  ASSERT_TRUE(recalled.has_value());
  ASSERT_TRUE(recalled->ok()) << recalled->status();
  EXPECT_EQ(**recalled, result.message_id);
  member_.ledger().set_synchronous(true);
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(member_.ReceiveBodies("g", "D"), ElementsAre("first"));
}

TEST_F(DelayedMessages, AHandleOfNothingIsRefused) {
  MakeTopic();
  const SendResult sent = SendDelayed("later", 1'000);
  EXPECT_EQ(ReasonOf(member_.Recall("D", "made up").status()), Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(member_.Recall("other", sent.recall_handle).status()),
            Reason::kInvalidReceiptHandle);
}

TEST_F(DelayedMessages, BeyondTheBoundAreRefusedAsBusyAndTakenAgainLater) {
  member_.Stop();
  member_.options().store.max_pending_timers = 2;
  member_.Start();
  MakeTopic();
  SendDelayed("one", 1'000);
  SendDelayed("two", 2'000);
  const auto third = member_.Send({Delayed("three", 3'000)});
  EXPECT_EQ(ReasonOf(third.status()), Reason::kBusy) << third.status();
  EXPECT_THAT(Message(third.status()), HasSubstr("maxPendingTimers"));
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_TRUE(member_.Send({Delayed("three", 3'000)}).ok());
}

}  // namespace
}  // namespace raftmq::store
