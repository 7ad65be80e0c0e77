// Messages that a group failed to consume: how often they come, and how they are dead-lettered,
// once, over restarts and changes of leader.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/names.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kDlq[] = "%DLQ%G";

class DeadLetters : public testing::Test {
 protected:
  DeadLetters() : member_(&log_, "dead_letters_test", {}) { member_.Start(); }

  void MakeGroup(int retries, bool orderly = false, RetryPolicy policy = {}) {
    GroupConfig group;
    group.name = "G";
    group.retry_max_times = retries;
    group.orderly = orderly;
    group.retry_policy = std::move(policy);
    ASSERT_TRUE(member_.UpdateGroup(group).ok());
  }

  std::vector<std::string> Receive(int max = 32) { return member_.ReceiveBodies("G", "T", max); }
  const Delivery& Last() const { return member_.last_deliveries().at(0); }
  std::string Handle() const { return Last().receipt_handle; }
  void PassLease() { member_.clock().AdvanceMillis(60'000); }

  absl::Status Ack(const std::string& handle) { return member_.Ack("G", "T", {handle})[0]; }
  // Bodies of the dead-letter queue, from its first message on.
  std::vector<std::string> Dead() {
    std::vector<std::string> bodies;
    const auto records = member_.store().Pull(kDlq, QueueId(0), QueueOffset(0), 100, 1 << 20);
    if (!records.ok()) return bodies;
    for (const std::string& record : *records) bodies.push_back(BodyOf(record));
    return bodies;
  }
  int64_t Commit() { return member_.store().CommitOffset("G", "T", QueueId(0))->value(); }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(DeadLetters, AMessageIsGivenOutAsOftenAsItsGroupAllowsAndThenDeadLettered) {
  member_.MakeTopic("T");
  MakeGroup(2);
  const SendResult sent = member_.SendOne("T", "poison", "red");
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_THAT(Receive(), ElementsAre("poison"));
    EXPECT_EQ(Last().attempt, attempt);
    EXPECT_EQ(member_.DeadLetterDue(), 0);
    PassLease();
  }
  EXPECT_THAT(Receive(), IsEmpty());
  EXPECT_EQ(Commit(), 0);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_EQ(member_.DeadLetterDue(), 0);
  EXPECT_EQ(Commit(), 1);
  EXPECT_THAT(Receive(), IsEmpty());

  EXPECT_THAT(member_.ReceiveBodies("undertakers", kDlq), ElementsAre("poison"));
  EXPECT_EQ(Last().attempt, 1);
  const auto record = ParseRecord(Last().record);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->topic, kDlq);
  EXPECT_EQ(record->unique_key(), sent.message_id);
  EXPECT_EQ(record->tags(), "red");
  EXPECT_EQ(record->reconsume_times, 3);
  const PropertiesView& properties = record->properties;
  EXPECT_EQ(properties.Get("DLQ_ORIGIN_TOPIC"), "T");
  EXPECT_EQ(properties.Get("DLQ_ORIGIN_MESSAGE_ID"), sent.message_id);
  EXPECT_EQ(properties.Get("DLQ_ORIGIN_QUEUE_ID"), "0");
  EXPECT_EQ(properties.Get("DLQ_ORIGIN_OFFSET"), "0");
  EXPECT_EQ(properties.Get("DLQ_ORIGIN_GROUP"), "G");
  EXPECT_EQ(properties.Get("DLQ_REASON"), "MAX_ATTEMPTS");
  const auto topic = member_.store().FindTopic(kDlq);
  ASSERT_TRUE(topic.ok());
  EXPECT_EQ(topic->write_queues, 1);
}

TEST_F(DeadLetters, AGroupWithoutRetriesGetsEachMessageOnce) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  member_.SendOne("T", "b");
  ASSERT_THAT(Receive(), ElementsAre("a", "b"));
  ASSERT_TRUE(Ack(Handle()).ok());
  PassLease();
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(Dead(), ElementsAre("b"));
  EXPECT_THAT(Receive(), IsEmpty());
  EXPECT_EQ(Commit(), 2);
}

TEST_F(DeadLetters, AnAckAfterDeadLetteringIsRefusedAndOneBeforeIsRepeatable) {
  member_.MakeTopic("T");
  MakeGroup(1);
  member_.SendOne("T", "a");
  member_.SendOne("T", "b");
  ASSERT_THAT(Receive(), ElementsAre("a", "b"));
  const std::string early = Handle();
  PassLease();
  ASSERT_THAT(Receive(), ElementsAre("a", "b"));
  const std::string a = Handle(), b = member_.last_deliveries()[1].receipt_handle;
  ASSERT_TRUE(Ack(b).ok());
  PassLease();
  EXPECT_TRUE(Ack(b).ok());
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_EQ(ReasonOf(Ack(a)), Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(Ack(early)), Reason::kInvalidReceiptHandle) << "of the first attempt";
  EXPECT_TRUE(Ack(b).ok());
  member_.Stop();  // what was dead-lettered comes back from its rows
  member_.Start();
  EXPECT_EQ(ReasonOf(Ack(a)), Reason::kInvalidReceiptHandle);
  EXPECT_TRUE(Ack(b).ok());
  member_.Kill();  // and from the log
  member_.Start();
  EXPECT_EQ(ReasonOf(Ack(a)), Reason::kInvalidReceiptHandle);
  // The message is read once more, after its group was set back.
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 0).ok());
  ASSERT_THAT(Receive(1), ElementsAre("a"));
  EXPECT_EQ(Last().attempt, 1);
  const std::string again = Handle();
  EXPECT_TRUE(Ack(again).ok());
  EXPECT_TRUE(Ack(again).ok());
}

TEST_F(DeadLetters, AnAckThatComesFirstWins) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  PassLease();
  auto due = member_.FindDead();
  ASSERT_EQ(due->leases.size(), 1u);
  ASSERT_TRUE(Ack(Handle()).ok()) << "its time is over, but nobody has decided otherwise";
  EXPECT_EQ(member_.DeadLetterDue(), 0);
  std::vector<absl::Status> moved;
  member_.store().dead_letters().MoveDue(
      std::move(due->leases), [&](std::vector<absl::Status> statuses) { moved = statuses; });
  member_.Settle();
  EXPECT_EQ(ReasonOf(moved.at(0)), Reason::kMessageNotFound) << moved[0];
  EXPECT_THAT(Dead(), IsEmpty());
  EXPECT_TRUE(Ack(Handle()).ok());
}

TEST_F(DeadLetters, ALeaseThatIsProlongedMeanwhileIsNotOver) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  PassLease();
  auto due = member_.FindDead();
  ASSERT_TRUE(member_.ChangeInvisible("G", "T", Handle(), 30'000).ok());
  std::vector<absl::Status> moved;
  member_.store().dead_letters().MoveDue(
      std::move(due->leases), [&](std::vector<absl::Status> statuses) { moved = statuses; });
  member_.Settle();
  EXPECT_EQ(ReasonOf(moved.at(0)), Reason::kMessageNotFound) << moved[0];
  EXPECT_EQ(member_.FindDead()->next_in_ms, 30'000);
  member_.clock().AdvanceMillis(30'000);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
}

TEST_F(DeadLetters, ANackComesAgainByTheGroupsPolicyAndAfterTheLastAttemptNot) {
  member_.MakeTopic("T");
  RetryPolicy policy;
  policy.delays_ms = {2'000, 7'000};
  MakeGroup(2, false, policy);
  member_.SendOne("T", "a");
  for (const int64_t delay_ms : {2'000, 7'000}) {
    ASSERT_THAT(Receive(), ElementsAre("a"));
    ASSERT_TRUE(member_.Nack("G", "T", Handle()).ok());
    member_.clock().AdvanceMillis(delay_ms - 1);
    ASSERT_THAT(Receive(), IsEmpty());
    member_.clock().AdvanceMillis(1);
  }
  ASSERT_THAT(Receive(), ElementsAre("a"));
  ASSERT_TRUE(member_.Nack("G", "T", Handle(), 3'600'000).ok());
  EXPECT_EQ(member_.DeadLetterDue(), 1) << "waiting would be of no use";
  EXPECT_THAT(Dead(), ElementsAre("a"));
}

TEST_F(DeadLetters, ANackWithATimeOfItsOwnComesThen) {
  member_.MakeTopic("T");
  MakeGroup(5);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  ASSERT_TRUE(member_.Nack("G", "T", Handle(), 100).ok());
  member_.clock().AdvanceMillis(100);
  ASSERT_THAT(Receive(), ElementsAre("a"));
}

TEST_F(DeadLetters, AConsumerMayGiveUpEarlierAndSaySoTwice) {
  member_.MakeTopic("T");
  MakeGroup(16);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  const std::string handle = Handle();
  EXPECT_TRUE(member_.Forward("G", "T", handle).ok());
  EXPECT_TRUE(member_.Forward("G", "T", handle).ok());
  EXPECT_THAT(Dead(), ElementsAre("a"));
  EXPECT_EQ(ReasonOf(Ack(handle)), Reason::kInvalidReceiptHandle);
  const auto record = member_.store().Pull(kDlq, QueueId(0), QueueOffset(0), 1, 1 << 20);
  EXPECT_EQ(ParseRecord(record->at(0))->properties.Get("DLQ_REASON"), "FORWARDED_BY_CONSUMER");
}

TEST_F(DeadLetters, WhatIsNotLeasedCannotBeForwarded) {
  member_.MakeTopic("T");
  MakeGroup(16);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  const std::string first = Handle();
  PassLease();
  ASSERT_THAT(Receive(), ElementsAre("a"));
  EXPECT_EQ(ReasonOf(member_.Forward("G", "T", first)), Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(member_.Forward("H", "T", Handle())), Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(member_.Forward("G", "T", "nonsense")), Reason::kInvalidReceiptHandle);
  ASSERT_TRUE(Ack(Handle()).ok());
  EXPECT_EQ(ReasonOf(member_.Forward("G", "T", Handle())), Reason::kInvalidReceiptHandle);
  EXPECT_THAT(Dead(), IsEmpty());
}

TEST_F(DeadLetters, TwoAtOnceMoveItOnce) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  PassLease();
  auto due = member_.FindDead();
  absl::Status forwarded = absl::UnknownError("");
  std::vector<absl::Status> moved;
  member_.ledger().set_synchronous(false);
  member_.store().dead_letters().MoveDue(
      std::move(due->leases), [&](std::vector<absl::Status> statuses) { moved = statuses; });
  member_.store().dead_letters().Forward("G", "T", Handle(),
                                         [&](const absl::Status& status) { forwarded = status; });
  member_.Settle();
  EXPECT_TRUE(forwarded.ok()) << forwarded;
  EXPECT_EQ(moved.size(), 1u);
  EXPECT_THAT(Dead(), ElementsAre("a"));
}

TEST_F(DeadLetters, AnOrderlyGroupGoesOnWithTheNextMessage) {
  member_.MakeTopic("T", 1, TopicType::kFifo);
  MakeGroup(1, /*orderly=*/true);
  for (const char* body : {"a0", "a1", "b0"}) {
    NewMessage message = MessageOf("T", body);
    message.message_group = std::string(1, body[0]);
    message.type = TopicType::kFifo;
    ASSERT_TRUE(member_.Send({message}).ok());
  }
  ASSERT_THAT(Receive(1), ElementsAre("a0"));
  PassLease();
  ASSERT_THAT(Receive(1), ElementsAre("a0"));
  EXPECT_EQ(Last().attempt, 2);
  ASSERT_THAT(Receive(1), ElementsAre("b0"));
  member_.AckLast("G", "T");
  PassLease();
  EXPECT_THAT(Receive(), IsEmpty()) << "a1 waits until a0 is dead-lettered";
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(Dead(), ElementsAre("a0"));
  EXPECT_THAT(Receive(), ElementsAre("a1"));
}

TEST_F(DeadLetters, TheLastAttemptOfAnOrderlyGroupIsRepeatedForTheAttemptThatHoldsIt) {
  member_.MakeTopic("T");
  MakeGroup(0, /*orderly=*/true);
  member_.SendOne("T", "a");
  ReceiveRequest request;
  request.group = "G";
  request.topic = "T";
  request.client_id = "c";
  request.attempt_id = "try-1";
  ASSERT_EQ(member_.Receive(request)->deliveries.size(), 1u);
  ASSERT_EQ(member_.Receive(request)->deliveries.size(), 1u) << "its first answer was lost";
  PassLease();
  EXPECT_EQ(member_.Receive(request)->deliveries.size(), 0u);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
}

TEST_F(DeadLetters, SurviveAChangeOfLeaderInTheMiddle) {
  member_.MakeTopic("T");
  MakeGroup(1);
  for (const char* body : {"a", "b", "c"}) member_.SendOne("T", body);
  for (int attempt = 0; attempt < 2; ++attempt) {
    ASSERT_THAT(Receive(), ElementsAre("a", "b", "c"));
    PassLease();
  }
  auto due = member_.FindDead();
  ASSERT_EQ(due->leases.size(), 3u);
  due->leases.resize(1);
  std::vector<absl::Status> statuses;
  member_.store().dead_letters().MoveDue(std::move(due->leases),
                                         [&](std::vector<absl::Status> s) { statuses = s; });
  member_.Settle();
  ASSERT_TRUE(statuses.at(0).ok());
  member_.Kill();

  StoreHarness other(&log_, "dead_letters_test_other", {});
  other.Start();
  EXPECT_THAT(other.ReceiveBodies("G", "T"), IsEmpty());
  // Its lease clock begins where the log left it.
  other.clock().AdvanceMillis(60'000);
  EXPECT_EQ(other.DeadLetterDue(), 2);
  EXPECT_THAT(other.ReceiveBodies("undertakers", kDlq), ElementsAre("a", "b", "c"));
  member_.Start(false);
  EXPECT_EQ(member_.Dump(), other.Dump());
}

TEST_F(DeadLetters, ADecisionThatIsLostWithItsLeaderIsMadeAgain) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  PassLease();
  ASSERT_TRUE(member_.Forward("G", "T", "nonsense").code() != absl::StatusCode::kOk);
  member_.MakeTopic(kDlq);
  auto due = member_.FindDead();
  member_.ledger().set_synchronous(false);
  std::vector<absl::Status> statuses;
  member_.store().dead_letters().MoveDue(std::move(due->leases),
                                         [&](std::vector<absl::Status> s) { statuses = s; });
  member_.runner().RunDue();
  EXPECT_EQ(member_.ledger().DecideAll(), 1);
  member_.ledger().LoseLeadership();
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_EQ(ReasonOf(statuses[0]), Reason::kUnknownOutcome);
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  member_.ledger().set_synchronous(true);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(Dead(), ElementsAre("a"));
}

TEST_F(DeadLetters, FewerRetriesCountForWhatIsOutAlready) {
  member_.MakeTopic("T");
  MakeGroup(16);
  member_.SendOne("T", "a");
  for (int attempt = 0; attempt < 3; ++attempt) {
    ASSERT_THAT(Receive(), ElementsAre("a"));
    PassLease();
  }
  EXPECT_EQ(member_.DeadLetterDue(), 0);
  MakeGroup(2);
  EXPECT_THAT(Receive(), IsEmpty());
  MakeGroup(3);
  EXPECT_EQ(member_.DeadLetterDue(), 0);
  MakeGroup(2);
  member_.Stop();
  member_.Start();
  member_.clock().AdvanceMillis(60'000);
  EXPECT_EQ(member_.DeadLetterDue(), 1);
}

TEST_F(DeadLetters, WhatIsDeletedIsNotDeadLettered) {
  member_.MakeTopic("T");
  member_.MakeTopic("U");
  MakeGroup(0);
  for (const char* topic : {"T", "U"}) {
    member_.SendOne(topic, "x");
    ASSERT_THAT(member_.ReceiveBodies("G", topic), ElementsAre("x"));
  }
  PassLease();
  EXPECT_EQ(member_.FindDead()->leases.size(), 2u);
  EXPECT_EQ(member_.FindDead(1)->leases.size(), 1u);
  ASSERT_TRUE(member_.DeleteTopic("T").ok());
  EXPECT_EQ(member_.FindDead()->leases.size(), 1u);
  ASSERT_TRUE(member_.DeleteGroup("G").ok());
  EXPECT_EQ(member_.FindDead()->leases.size(), 0u);
  EXPECT_THAT(member_.Dump(), Not(HasSubstr("final_leases")));
}

TEST_F(DeadLetters, ReceiversAreNotAskedToComeBackForThem) {
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  ASSERT_THAT(Receive(), ElementsAre("a"));
  PassLease();
  ReceiveRequest request;
  request.group = "G";
  request.topic = "T";
  EXPECT_EQ(member_.Receive(request)->next_visible_in_ms, std::nullopt);
}

// Tells the order in which the last attempts end.
class FinalListener final : public ArrivalListener {
 public:
  void OnArrival(const std::string&, QueueId, const Arrival&) override {}
  void OnEarlierFinalLease() override { ++told; }
  int told = 0;
};

TEST_F(DeadLetters, WhoeverWaitsForThemIsToldWhenOneIsDueEarlier) {
  FinalListener listener;
  member_.store().SetArrivalListener(&listener);
  member_.MakeTopic("T");
  MakeGroup(0);
  member_.SendOne("T", "a");
  member_.SendOne("T", "b");
  EXPECT_EQ(listener.told, 0);
  ASSERT_THAT(Receive(1), ElementsAre("a"));
  EXPECT_EQ(listener.told, 1);
  member_.clock().AdvanceMillis(10);
  ASSERT_THAT(Receive(1), ElementsAre("b"));
  EXPECT_EQ(listener.told, 1) << "it is due later";
  ASSERT_TRUE(member_.Nack("G", "T", Handle()).ok());
  EXPECT_EQ(listener.told, 2);
}

}  // namespace
}  // namespace raftmq::store
