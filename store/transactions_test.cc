// Transactions: a half message is seen once after its commit, or never.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/ended_transactions.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/testing/store_harness.h"
#include "store/waiting_handles.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Transactions : public testing::Test {
 protected:
  Transactions() : member_(&log_, "transactions_test", {}) { member_.Start(); }

  NewMessage Half(const std::string& body) {
    NewMessage message = MessageOf("X", body);
    message.type = TopicType::kTransaction;
    return message;
  }

  SendResult SendHalf(const std::string& body) {
    auto sent = member_.Send({Half(body)});
    CHECK(sent.ok()) << sent.status();
    return sent->at(0);
  }

  void MakeTopic() { member_.MakeTopic("X", 1, TopicType::kTransaction); }
  std::vector<OpenTransaction> Due() {
    return member_.store().waiting().DueForCheck(member_.clock().WallMillis(), 10);
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Transactions, ACommittedMessageIsSeenOnce) {
  MakeTopic();
  const SendResult half = SendHalf("yes");
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), IsEmpty());
  ASSERT_TRUE(member_.EndTransaction("X", half, true).ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
  const auto record = ParseRecord(member_.last_deliveries()[0].record);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->unique_key(), half.message_id);
  EXPECT_EQ(record->sys_flag & sys_flag::kTransactionMask, sys_flag::kTransactionCommit);
  EXPECT_EQ(record->prepared_transaction_offset, half.position.value());
  EXPECT_THAT(member_.Dump(), Not(HasSubstr("transaction position")));
}

TEST_F(Transactions, ARolledBackMessageIsNeverSeen) {
  MakeTopic();
  const SendResult half = SendHalf("no");
  ASSERT_TRUE(member_.EndTransaction("X", half, false).ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), IsEmpty());
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 0u);
}

TEST_F(Transactions, TheSameAnswerTwiceIsFineAndChangesNothing) {
  MakeTopic();
  const SendResult kept = SendHalf("yes");
  const SendResult dropped = SendHalf("no");
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(member_.EndTransaction("X", kept, true).ok());
    EXPECT_TRUE(member_.EndTransaction("X", dropped, false).ok());
  }
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
}

TEST_F(Transactions, AContradictingAnswerIsRefusedAlsoAfterAKill) {
  MakeTopic();
  const SendResult kept = SendHalf("yes");
  const SendResult dropped = SendHalf("no");
  ASSERT_TRUE(member_.EndTransaction("X", kept, true).ok());
  ASSERT_TRUE(member_.EndTransaction("X", dropped, false).ok());
  for (const bool killed : {false, true}) {
    const absl::Status rollback = member_.EndTransaction("X", kept, false);
    EXPECT_EQ(ReasonOf(rollback), Reason::kInvalidTransactionId) << rollback;
    EXPECT_THAT(Message(rollback), HasSubstr("committed already"));
    const absl::Status commit = member_.EndTransaction("X", dropped, true);
    EXPECT_EQ(ReasonOf(commit), Reason::kInvalidTransactionId) << commit;
    EXPECT_THAT(Message(commit), HasSubstr("rolled back already"));
    if (killed) break;
    const std::string before = member_.Dump();
    member_.Kill();
    member_.Start();
  }
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
}

TEST_F(Transactions, OfTwoAnswersAtOnceOneCounts) {
  MakeTopic();
  const SendResult half = SendHalf("yes");
  member_.ledger().set_synchronous(false);
  std::optional<absl::Status> first, second, third;
  const auto end = [&](bool commit, std::optional<absl::Status>* answer) {
    member_.store().waiting().EndTransaction("X", half.message_id, half.transaction_id, commit,
                                             [answer](absl::Status status) { *answer = status; });
  };
  end(true, &first);
  end(true, &second);
  member_.runner().RunDue();  // both have read it and propose its commit
  end(false, &third);
  member_.Settle();
  ASSERT_TRUE(first.has_value() && second.has_value() && third.has_value());
  EXPECT_TRUE(first->ok()) << *first;
  EXPECT_TRUE(second->ok()) << *second;
  EXPECT_EQ(ReasonOf(*third), Reason::kInvalidTransactionId) << *third;
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
}

TEST_F(Transactions, ACommitThatALostLeaderDidNotCommitIsNotSeenUntilItIsRepeated) {
  MakeTopic();
  const SendResult half = SendHalf("yes");
  member_.ledger().set_synchronous(false);
  std::optional<absl::Status> ended;
  member_.store().waiting().EndTransaction("X", half.message_id, half.transaction_id, true,
                                           [&](absl::Status status) { ended = status; });
  member_.runner().RunDue();
  member_.ledger().DecideAll();
  member_.ledger().LoseLeadership();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ReasonOf(*ended), Reason::kUnknownOutcome) << *ended;
  member_.ledger().set_synchronous(true);
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), IsEmpty());
  EXPECT_TRUE(member_.EndTransaction("X", half, true).ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
}

TEST_F(Transactions, CanBeEndedAsSoonAsTheyAreCommittedToTheLog) {
  MakeTopic();
  SendHalf("first");
  member_.ledger().set_synchronous(false);
  std::optional<absl::StatusOr<std::vector<SendResult>>> sent;
  member_.store().Send({Half("yes")}, dledger::AckLevel::kMajorityDisk,
                       [&](auto result) { sent = std::move(result); });
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();  // and not applied
  ASSERT_TRUE(sent.has_value() && sent->ok());
  const SendResult half = (*sent)->at(0);
  EXPECT_TRUE(member_.EndTransaction("X", half, true).ok());
  member_.ledger().set_synchronous(true);
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
}

TEST_F(Transactions, AnIdOfAnotherMessageOrOfNothingIsRefused) {
  MakeTopic();
  const SendResult half = SendHalf("yes");
  SendResult other = half;
  other.message_id = "another";
  EXPECT_EQ(ReasonOf(member_.EndTransaction("X", other, true)), Reason::kInvalidTransactionId);
  other = half;
  other.transaction_id = "";
  EXPECT_EQ(ReasonOf(member_.EndTransaction("X", other, true)), Reason::kInvalidTransactionId);
  EXPECT_EQ(ReasonOf(member_.EndTransaction("Y", half, true)), Reason::kInvalidTransactionId);
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 1u);
}

TEST_F(Transactions, AreDueForACheckAfterTheirImmunity) {
  MakeTopic();
  SendHalf("default");
  NewMessage patient = Half("patient");
  patient.check_immunity_ms = 20'000;
  ASSERT_TRUE(member_.Send({std::move(patient)}).ok());
  member_.clock().AdvanceMillis(5'999);
  EXPECT_THAT(Due(), IsEmpty());
  member_.clock().AdvanceMillis(1);
  EXPECT_EQ(Due().size(), 1u);
  member_.clock().AdvanceMillis(14'000);
  EXPECT_EQ(Due().size(), 2u);
}

TEST_F(Transactions, ChecksAreCountedAlsoOverAKill) {
  MakeTopic();
  const SendResult half = SendHalf("maybe");
  member_.clock().AdvanceMillis(6'000);
  std::vector<OpenTransaction> due = Due();
  ASSERT_EQ(due.size(), 1u);
  due[0].half.checks += 1;
  due[0].half.next_check_ms += 30'000;
  due.push_back({LogPosition(half.position.value() + 1'000'000), HalfMessage()});  // not open
  const auto checked = member_.SetChecks(due);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_THAT(*checked, ElementsAre(half.position));
  EXPECT_THAT(Due(), IsEmpty());
  member_.Kill();
  member_.Start();
  EXPECT_THAT(Due(), IsEmpty());
  member_.clock().AdvanceMillis(30'000);
  ASSERT_EQ(Due().size(), 1u);
  EXPECT_EQ(Due()[0].half.checks, 1);
}

TEST_F(Transactions, ThatExpireAreKeptAsideAndSayWhere) {
  MakeTopic();
  const SendResult half = SendHalf("orphan");
  std::vector<OpenTransaction> open = member_.store().waiting().ListTransactions(LogPosition(0), 9);
  ASSERT_EQ(open.size(), 1u);
  open[0].half.checks = 15;
  ASSERT_TRUE(member_.SetChecks(open).ok());
  ASSERT_TRUE(member_.ExpireTransaction(half.position).ok());
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 0u);
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), IsEmpty());
  const auto kept = member_.store().Pull(std::string(kCheckMaxTimeTopic), QueueId(0),
                                         QueueOffset(0), 10, 1 << 20);
  ASSERT_TRUE(kept.ok()) << kept.status();
  ASSERT_EQ(kept->size(), 1u);
  const auto record = ParseRecord(kept->at(0));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->body, "orphan");
  EXPECT_EQ(record->properties.Get(property::kRealTopic), "X");
  EXPECT_EQ(record->properties.Get(property::kTransactionCheckTimes), "15");
  const absl::Status late = member_.EndTransaction("X", half, true);
  EXPECT_EQ(ReasonOf(late), Reason::kMessageNotFound) << late;
  EXPECT_THAT(Message(late), HasSubstr("given up"));
}

TEST_F(Transactions, ThatExpiredAreCheckedAgainOnceTheyArePutBack) {
  MakeTopic();
  const auto give_up = [this](const std::string& body) {
    const SendResult half = SendHalf(body);
    CHECK(member_.ExpireTransaction(half.position).ok());
    return half;
  };
  const SendResult first = give_up("yes");
  give_up("no");
  RedriveRequest all;
  all.dry_run = true;
  ASSERT_EQ(member_.Redrive(all)->messages.size(), 2u);
  EXPECT_THAT(Due(), IsEmpty());
  all.dry_run = false;
  all.max_messages = 1;
  const auto put_back = member_.Redrive(all);
  ASSERT_TRUE(put_back.ok()) << put_back.status();
  ASSERT_EQ(put_back->messages.size(), 1u);
  EXPECT_TRUE(put_back->messages[0].status.ok()) << put_back->messages[0].status;
  EXPECT_EQ(put_back->messages[0].origin_topic, "X");
  EXPECT_EQ(put_back->messages[0].message_id, first.message_id);

  const std::vector<OpenTransaction> open = Due();
  ASSERT_EQ(open.size(), 1u) << "its producers are asked at once";
  EXPECT_EQ(open[0].half.checks, 0);
  const auto record = ParseRecord(*member_.store().waiting().ReadHalf(open[0].position));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->properties.Get(property::kRealTopic), "X");
  EXPECT_EQ(ReasonOf(member_.EndTransaction("X", first, true)), Reason::kMessageNotFound)
      << "it has another id now";
  SendResult anew = first;
  anew.position = open[0].position;
  anew.transaction_id = EncodeTransactionId("X", first.message_id, HalfRef{open[0].position});
  ASSERT_TRUE(member_.EndTransaction("X", anew, true).ok());
  EXPECT_THAT(member_.ReceiveBodies("g", "X"), ElementsAre("yes"));
  EXPECT_THAT(member_.ReceiveBodies("h", "X"), ElementsAre("yes")) << "for all groups";

  all.max_messages = 32;
  EXPECT_EQ(member_.Redrive(all)->messages.size(), 1u);
  const auto again = member_.Redrive(all);
  EXPECT_THAT(again->messages, IsEmpty());
  EXPECT_EQ(again->done_before, 2);
  member_.Stop();
  member_.Start();
  EXPECT_EQ(Due().size(), 1u);
  EXPECT_EQ(member_.Redrive(all)->done_before, 2);
}

TEST_F(Transactions, OfATopicThatIsGoneStayOpenWhenTheyAreCommitted) {
  MakeTopic();
  const SendResult half = SendHalf("yes");
  ASSERT_TRUE(member_.DeleteTopic("X").ok());
  EXPECT_EQ(ReasonOf(member_.EndTransaction("X", half, true)), Reason::kTopicNotFound);
  EXPECT_EQ(member_.store().waiting().OpenTransactions(), 1u);
  EXPECT_TRUE(member_.EndTransaction("X", half, false).ok());
}

TEST_F(Transactions, BeyondTheBoundAreRefusedAsBusy) {
  member_.Stop();
  member_.options().store.max_pending_transactions = 1;
  member_.Start();
  MakeTopic();
  const SendResult half = SendHalf("one");
  EXPECT_EQ(ReasonOf(member_.Send({Half("two")}).status()), Reason::kBusy);
  ASSERT_TRUE(member_.EndTransaction("X", half, false).ok());
  EXPECT_TRUE(member_.Send({Half("two")}).ok());
}

TEST(EndedTransactionsTest, TheOldestIsForgottenFirst) {
  EndedTransactions ended;
  uint64_t forgotten = 0;
  for (size_t i = 0; i < EndedTransactions::kMax; ++i) {
    ended.Add(LogPosition(static_cast<int64_t>(i)), TransactionEnd::kCommitted, &forgotten);
    ASSERT_EQ(forgotten, 0u);
  }
  ended.Add(LogPosition(-1), TransactionEnd::kRolledBack, &forgotten);
  EXPECT_EQ(forgotten, 1u);
  EXPECT_EQ(ended.Find(LogPosition(0)), std::nullopt);
  EXPECT_EQ(ended.Find(LogPosition(1)), TransactionEnd::kCommitted);
  EXPECT_EQ(ended.entries().size(), EndedTransactions::kMax);
}

}  // namespace
}  // namespace raftmq::store
