// Exactly-once sends: a send that is repeated is stored once and answered as the first one was.

#include <optional>
#include <string>
#include <vector>

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using Sent = absl::StatusOr<std::vector<SendResult>>;

void ExpectRepeatOf(const SendResult& first, const SendResult& repeat) {
  EXPECT_TRUE(repeat.repeated);
  EXPECT_FALSE(first.repeated);
  EXPECT_EQ(repeat.message_id, first.message_id);
  EXPECT_EQ(repeat.queue, first.queue);
  EXPECT_EQ(repeat.offset, first.offset);
  EXPECT_EQ(repeat.position, first.position);
  EXPECT_EQ(repeat.store_ms, first.store_ms);
  EXPECT_EQ(repeat.recall_handle, first.recall_handle);
  EXPECT_EQ(repeat.transaction_id, first.transaction_id);
}

class SendDedupe : public testing::Test {
 protected:
  SendDedupe() : member_(&log_, "send_dedupe_test", SmallWindow()) {
    member_.Start();
    member_.MakeTopic("T", 4);
  }

  static StoreHarness::Options SmallWindow() {
    StoreHarness::Options options;
    options.store.dedupe_messages = 100;
    options.store.dedupe_window_ms = 60'000;
    options.store.dedupe_born_slack_ms = 5'000;
    return options;
  }

  NewMessage Message(const std::string& id, const std::string& body = "b",
                     const std::string& client = "producer-1") {
    NewMessage message = MessageOf("T", body);
    message.message_id = id;
    message.client_id = client;
    message.born_ms = kBorn;
    return message;
  }

  SendResult Send(const NewMessage& message) {
    const Sent sent = member_.Send({message});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }

  // All bodies stored under the topic, by queue.
  std::vector<std::string> Stored(const std::string& topic) {
    std::vector<std::string> bodies;
    for (int q = 0;; ++q) {
      const auto range = member_.store().Range(topic, QueueId(q));
      if (!range.ok()) return bodies;
      for (QueueOffset at = range->min; at < range->max; ++at) {
        const auto records = member_.store().Pull(topic, QueueId(q), at, 1, 1 << 20);
        CHECK(records.ok()) << records.status();
        bodies.push_back(BodyOf(records->at(0)));
      }
    }
  }

  static constexpr int64_t kBorn = 1'700'000'000'000;
  FakeLog log_;
  StoreHarness member_;
};

TEST_F(SendDedupe, ARepeatedSendIsStoredOnceAndAnsweredAsTheFirst) {
  Send(Message("other"));
  const SendResult first = Send(Message("m"));
  Send(Message("another"));
  const LogIndex before = log_.last_index();
  ExpectRepeatOf(first, Send(Message("m")));
  EXPECT_EQ(log_.last_index(), before) << "a repeated send was logged";
  EXPECT_EQ(Stored("T").size(), 3u);
}

TEST_F(SendDedupe, ATryThatItsClientStampedAnewIsARepetition) {
  const SendResult first = Send(Message("m"));
  NewMessage retry = Message("m");
  retry.born_ms += 3'000;
  ExpectRepeatOf(first, Send(retry));
}

TEST_F(SendDedupe, MessagesOfOneIdThatDifferAreAllStored) {
  Send(Message("m", "b"));
  Send(Message("m", "b", "producer-2"));
  Send(Message("m", "c"));
  NewMessage later = Message("m", "b");
  later.born_ms += 5'001;
  EXPECT_FALSE(Send(later).repeated);
  EXPECT_EQ(Stored("T").size(), 4u);
}

TEST_F(SendDedupe, WithoutAClientNothingIsTakenForARepetition) {
  Send(Message("m", "b", ""));
  EXPECT_FALSE(Send(Message("m", "b", "")).repeated);
  EXPECT_EQ(Stored("T").size(), 2u);
}

TEST_F(SendDedupe, ARepetitionOfWhatIsOnlyProposedIsAnsweredWhenThatCommits) {
  member_.ledger().set_synchronous(false);
  std::vector<SendResult> answers;
  for (int i = 0; i < 2; ++i) {
    member_.store().Send({Message("m")}, dledger::AckLevel::kMajorityDisk, [&](const Sent& sent) {
      ASSERT_TRUE(sent.ok()) << sent.status();
      answers.push_back(sent->at(0));
    });
    EXPECT_EQ(member_.ledger().DecideAll(), 1);
  }
  EXPECT_TRUE(answers.empty());
  member_.ledger().CommitAll();
  ASSERT_EQ(answers.size(), 2u);
  ExpectRepeatOf(answers[0], answers[1]);
  ASSERT_TRUE(member_.ledger().ApplyAll().ok());
  EXPECT_EQ(Stored("T").size(), 1u);
}

TEST_F(SendDedupe, ARepetitionOfWhatIsLostWithItsLeaderGoesToTheNextOne) {
  member_.ledger().set_synchronous(false);
  std::vector<absl::Status> answers;
  for (int i = 0; i < 2; ++i) {
    member_.store().Send({Message("m")}, dledger::AckLevel::kMajorityDisk,
                         [&](const Sent& sent) { answers.push_back(sent.status()); });
  }
  member_.ledger().DecideAll();
  member_.ledger().LoseLeadership();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(ReasonOf(answers[0]), Reason::kUnknownOutcome);
  EXPECT_EQ(ReasonOf(answers[1]), Reason::kNotLeader) << "nothing of it was logged";
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_FALSE(Send(Message("m")).repeated) << "the first one did not survive";
  EXPECT_TRUE(Send(Message("m")).repeated);
  EXPECT_EQ(Stored("T").size(), 1u);
}

TEST_F(SendDedupe, EachMessageOfABatchIsLookedAtByItself) {
  const SendResult first = Send(Message("m1", "1"));
  const Sent sent = member_.Send({Message("m0", "0"), Message("m1", "1"), Message("m2", "2"),
                                  Message("m0", "0"), Message("m0", "other")});
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_FALSE(sent->at(0).repeated);
  ExpectRepeatOf(first, sent->at(1));
  EXPECT_FALSE(sent->at(2).repeated);
  ExpectRepeatOf(sent->at(0), sent->at(3));  // of a message of the same batch
  EXPECT_FALSE(sent->at(4).repeated);
  EXPECT_EQ(sent->at(2).offset, sent->at(0).offset + 1);
  EXPECT_EQ(sent->at(4).offset, sent->at(0).offset + 2);
  EXPECT_EQ(Stored("T").size(), 4u);
  // And all of it again.
  const Sent again = member_.Send({Message("m0", "0"), Message("m1", "1"), Message("m2", "2"),
                                   Message("m0", "0"), Message("m0", "other")});
  ASSERT_TRUE(again.ok());
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(again->at(i).repeated);
    EXPECT_EQ(again->at(i).position, sent->at(i).position) << i;
  }
  EXPECT_EQ(Stored("T").size(), 4u);
}

TEST_F(SendDedupe, TheWindowEndsByCountAndByTime) {
  Send(Message("m"));
  for (int i = 0; i < 99; ++i) Send(Message(StrCat("n", i)));
  EXPECT_TRUE(Send(Message("m")).repeated);
  Send(Message("one more"));
  EXPECT_FALSE(Send(Message("m")).repeated);
  member_.clock().AdvanceMillis(60'000);
  EXPECT_TRUE(Send(Message("m")).repeated);
  member_.clock().AdvanceMillis(1);
  EXPECT_FALSE(Send(Message("m")).repeated);
}

TEST_F(SendDedupe, ARestartForgetsNothing) {
  const SendResult first = Send(Message("m"));
  member_.Stop();
  member_.Start();
  ExpectRepeatOf(first, Send(Message("m")));
  const SendResult second = Send(Message("n"));
  member_.Kill();
  member_.Start();
  ExpectRepeatOf(first, Send(Message("m")));
  ExpectRepeatOf(second, Send(Message("n")));
  EXPECT_EQ(Stored("T").size(), 2u);
}

TEST_F(SendDedupe, ARestartReplaysTheWindowAndNotTheLog) {
  for (int i = 0; i < 5'000; ++i) Send(Message(StrCat("m", i)));
  ASSERT_TRUE(member_.store().Flush().ok());
  EXPECT_EQ(member_.store().DurableAppliedIndex(), log_.last_index());
  EXPECT_LE(member_.store().ReplayAfter(), log_.last_index() - 100);
  EXPECT_GT(member_.store().ReplayAfter(), log_.last_index() - 2'000);
  member_.Kill();
  member_.Start();
  EXPECT_TRUE(Send(Message("m4901")).repeated);
  EXPECT_FALSE(Send(Message("m4800")).repeated);
}

TEST_F(SendDedupe, AnotherMemberThatTakesOverKnowsWhatWasSent) {
  const SendResult first = Send(Message("m"));
  member_.ledger().LoseLeadership();
  StoreHarness other(&log_, "send_dedupe_test_other", SmallWindow());
  other.Start();
  const Sent sent = other.Send({Message("m")});
  ASSERT_TRUE(sent.ok()) << sent.status();
  ExpectRepeatOf(first, sent->at(0));
}

TEST_F(SendDedupe, ADelayedMessageKeepsItsHandleAndIsDeliveredOnce) {
  member_.MakeTopic("D", 1, TopicType::kDelay);
  NewMessage message = Message("m");
  message.topic = "D";
  message.type = TopicType::kDelay;
  message.deliver_ms = member_.clock().WallMillis() + 1'000;
  const SendResult first = Send(message);
  ASSERT_FALSE(first.recall_handle.empty());
  NewMessage by_level = message;  // a level counts from when the try came
  by_level.deliver_ms += 300;
  ExpectRepeatOf(first, Send(by_level));
  EXPECT_EQ(Send(by_level).due_ms, first.due_ms);
  member_.Kill();
  member_.Start();
  ExpectRepeatOf(first, Send(message));
  member_.clock().AdvanceMillis(1'000);
  EXPECT_EQ(member_.DeliverDue(), 1);
  EXPECT_THAT(Stored("D"), ElementsAre("b"));
  // Due by now: a new one would be delivered at once.
  ExpectRepeatOf(first, Send(message));
  EXPECT_THAT(Stored("D"), ElementsAre("b"));
}

TEST_F(SendDedupe, AHalfMessageHasOneTransactionId) {
  member_.MakeTopic("X", 1, TopicType::kTransaction);
  NewMessage message = Message("m");
  message.topic = "X";
  message.type = TopicType::kTransaction;
  const SendResult first = Send(message);
  ASSERT_FALSE(first.transaction_id.empty());
  ExpectRepeatOf(first, Send(message));
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 1u);
  ASSERT_TRUE(member_.EndTransaction("X", first, /*commit=*/true).ok());
  EXPECT_THAT(Stored("X"), ElementsAre("b"));
  // A try that comes after all that.
  ExpectRepeatOf(first, Send(message));
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 0u);
  EXPECT_THAT(Stored("X"), ElementsAre("b"));
}

TEST_F(SendDedupe, WhatTheBrokerPublishesItselfIsNotAboutWhoSentIt) {
  member_.MakeTopic("D", 1, TopicType::kMixed);
  NewMessage delayed = Message("m");
  delayed.topic = "D";
  delayed.type = TopicType::kDelay;
  delayed.deliver_ms = member_.clock().WallMillis() + 1'000;
  Send(delayed);
  member_.clock().AdvanceMillis(1'000);
  ASSERT_EQ(member_.DeliverDue(), 1);
  const auto records = member_.store().Pull("D", QueueId(0), QueueOffset(0), 1, 1 << 20);
  ASSERT_TRUE(records.ok());
  const auto record = ParseRecord(records->at(0));
  ASSERT_TRUE(record.ok());
  std::string_view client;
  EXPECT_FALSE(record->properties.Find(property::kClient, &client));
  EXPECT_EQ(record->unique_key(), "m");
}

TEST_F(SendDedupe, AMessageOfATopicThatWasDeletedIsNewInItsSuccessor) {
  Send(Message("m"));
  ASSERT_TRUE(member_.DeleteTopic("T").ok());
  member_.MakeTopic("T", 4);
  EXPECT_FALSE(Send(Message("m")).repeated);
  EXPECT_TRUE(Send(Message("m")).repeated);
  member_.Kill();
  member_.Start();
  EXPECT_TRUE(Send(Message("m")).repeated);
  EXPECT_THAT(Stored("T"), ElementsAre("b"));
}

TEST_F(SendDedupe, ARepetitionIsAnsweredWhateverBecameOfTheTopicsSettings) {
  const SendResult first = Send(Message("m"));
  TopicConfig topic = *member_.store().FindTopic("T");
  topic.perm = kPermRead;
  ASSERT_TRUE(member_.UpdateTopic(topic).ok());
  ExpectRepeatOf(first, Send(Message("m")));
  EXPECT_EQ(ReasonOf(member_.Send({Message("n")}).status()), Reason::kForbidden);
}

TEST_F(SendDedupe, TheClientIsInTheRecordAsTheFormatSays) {
  const SendResult first = Send(Message("m"));
  const auto bytes = member_.store().RecordAt(first.position);
  ASSERT_TRUE(bytes.ok());
  const auto record = ParseRecord(*bytes);
  ASSERT_TRUE(record.ok());
  // Golden: the same for ever.
  EXPECT_EQ(record->properties.Get("__CID"), "1f43df79cc2479e7");
}

}  // namespace
}  // namespace raftmq::store
