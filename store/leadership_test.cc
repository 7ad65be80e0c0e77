// What a change of leader leaves of sends, grants and acks.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ReceiveRequest RequestOf(const std::string& group, const std::string& topic) {
  ReceiveRequest request;
  request.group = group;
  request.topic = topic;
  request.client_id = "tester";
  return request;
}

class Leadership : public testing::Test {
 protected:
  Leadership() : member_(&log_, "leadership_test", {}) {
    member_.Start();
    member_.MakeTopic("T");
  }

  // From here on the test takes each step itself.
  void StepByStep() { member_.ledger().set_synchronous(false); }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Leadership, AnUncommittedSendIsOfUnknownOutcomeAndLeavesNoGap) {
  member_.SendOne("T", "m0");
  StepByStep();
  absl::Status lost;
  member_.store().Send({MessageOf("T", "lost")}, dledger::AckLevel::kMajorityDisk,
                       [&](auto results) { lost = results.status(); });
  member_.ledger().DecideAll();
  absl::Status waiting;
  member_.store().Send({MessageOf("T", "late")}, dledger::AckLevel::kMajorityDisk,
                       [&](auto results) { waiting = results.status(); });
  member_.ledger().LoseLeadership();
  EXPECT_EQ(ReasonOf(lost), Reason::kUnknownOutcome);
  EXPECT_EQ(ReasonOf(waiting), Reason::kNotLeader);
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_EQ(member_.SendOne("T", "m1").offset, QueueOffset(1));
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m0", "m1"));
}

TEST_F(Leadership, AnUncommittedGrantIsLostAndItsMessageGivenOutAgainAsTheFirstTime) {
  member_.SendOne("T", "m");
  StepByStep();
  absl::Status lost;
  member_.store().Receive(RequestOf("G", "T"), [&](auto result) { lost = result.status(); });
  member_.ledger().DecideAll();
  member_.ledger().LoseLeadership();
  EXPECT_EQ(ReasonOf(lost), Reason::kUnknownOutcome);
  EXPECT_FALSE(member_.store().FindGroup("G").ok());
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
  EXPECT_EQ(member_.last_deliveries()[0].attempt, 1);
}

TEST_F(Leadership, ACommittedGrantHoldsUnderTheNextLeaderAndSoDoesItsHandle) {
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string handle = member_.last_deliveries()[0].receipt_handle;
  StoreHarness other(&log_, "leadership_test_other", {});
  member_.ledger().LoseLeadership();
  other.Start();
  EXPECT_THAT(other.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_TRUE(other.Ack("G", "T", {handle})[0].ok());
  other.clock().AdvanceMillis(3'600'000);
  EXPECT_THAT(other.ReceiveBodies("G", "T"), IsEmpty());
}

TEST_F(Leadership, ACommittedAckHoldsUnderTheNextLeader) {
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  member_.AckLast("G", "T");
  member_.ledger().LoseLeadership();
  StoreHarness other(&log_, "leadership_test_other", {});
  other.Start();
  other.clock().AdvanceMillis(3'600'000);
  EXPECT_THAT(other.ReceiveBodies("G", "T"), IsEmpty());
}

TEST_F(Leadership, AnUncommittedAckIsLostAndTheMessageComesAgain) {
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string handle = member_.last_deliveries()[0].receipt_handle;
  StepByStep();
  std::vector<absl::Status> first;
  std::vector<absl::Status> repeated;
  member_.store().Ack("G", "T", {handle}, [&](auto statuses) { first = statuses; });
  member_.store().Ack("G", "T", {handle}, [&](auto statuses) { repeated = statuses; });
  member_.ledger().DecideAll();
  EXPECT_THAT(repeated, IsEmpty()) << "it rests on an ack that is not committed yet";
  member_.ledger().LoseLeadership();
  EXPECT_EQ(ReasonOf(first.at(0)), Reason::kUnknownOutcome);
  EXPECT_EQ(ReasonOf(repeated.at(0)), Reason::kNotLeader);
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Leadership, TheLeaseClockGoesOnWhereTheLastLeadersCommandsLeftIt) {
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");  // leased for 60 s
  member_.ledger().LoseLeadership();
  member_.clock().AdvanceMillis(3'600'000);  // nobody led: nobody could renew
  ASSERT_TRUE(member_.ledger().BecomeLeader().ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  member_.clock().JumpWall(3'600'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty()) << "wall time moves no lease";
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Leadership, WhatIsDecidedSeesWhatIsProposedAndNotApplied) {
  member_.SendOne("T", "m0");
  member_.SendOne("T", "m1");
  StepByStep();
  std::vector<std::string> bodies;
  const auto keep = [&](absl::StatusOr<ReceiveResult> result) {
    ASSERT_TRUE(result.ok()) << result.status();
    for (const Delivery& d : result->deliveries) bodies.push_back(BodyOf(d.record));
  };
  ReceiveRequest one = RequestOf("G", "T");
  one.max_messages = 1;
  for (int i = 0; i < 4; ++i) member_.store().Receive(one, keep);
  EXPECT_EQ(member_.ledger().DecideAll(), 4);
  member_.Settle();
  EXPECT_THAT(bodies, ElementsAre("m0", "m1")) << "each once";
}

TEST_F(Leadership, AMessageIsGrantedOnlyOnceItIsApplied) {
  StepByStep();
  bool empty = false;
  member_.store().Send({MessageOf("T", "m")}, dledger::AckLevel::kMajorityDisk, [](auto) {});
  member_.store().Receive(RequestOf("G", "T"), [&](auto result) {
    ASSERT_TRUE(result.ok());
    empty = result->deliveries.empty();
  });
  member_.Settle();
  EXPECT_TRUE(empty);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Leadership, ATopicThatIsReplacedGivesNothingOfTheOldOneWhileThatIsPending) {
  for (int i = 0; i < 5; ++i) member_.SendOne("T", StrCat("old", i));
  StepByStep();
  std::vector<std::string> bodies;
  member_.store().DeleteTopic("T", [](absl::Status status) { EXPECT_TRUE(status.ok()) << status; });
  TopicConfig topic;
  topic.name = "T";
  topic.read_queues = topic.write_queues = 1;
  member_.store().UpdateTopic(topic, [](absl::Status status) { EXPECT_TRUE(status.ok()); });
  member_.store().Send({MessageOf("T", "new")}, dledger::AckLevel::kMajorityDisk,
                       [](auto result) { EXPECT_EQ(result->at(0).offset, QueueOffset(0)); });
  member_.store().Receive(RequestOf("G", "T"), [&](auto result) {
    ASSERT_TRUE(result.ok()) << result.status();
    for (const Delivery& d : result->deliveries) bodies.push_back(BodyOf(d.record));
  });
  // The grant is committed, and its bodies are read, before the deletion is applied.
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();
  member_.runner().RunDue();
  EXPECT_THAT(bodies, IsEmpty());
  member_.Settle();
  EXPECT_THAT(bodies, IsEmpty());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("new"));
}

TEST_F(Leadership, AdministrationIsAnsweredOnceItCanBeRead) {
  StepByStep();
  bool answered = false;
  TopicConfig topic;
  topic.name = "U";
  member_.store().UpdateTopic(topic, [&](absl::Status status) {
    EXPECT_TRUE(status.ok());
    EXPECT_TRUE(member_.store().FindTopic("U").ok());
    answered = true;
  });
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();
  EXPECT_FALSE(answered);
  ASSERT_TRUE(member_.ledger().ApplyAll().ok());
  EXPECT_TRUE(answered);
}

TEST_F(Leadership, TwoChangesAtTheSameTimeAreOneAfterTheOther) {
  StepByStep();
  int answered = 0;
  const auto count = [&](absl::Status status) {
    EXPECT_TRUE(status.ok()) << status;
    ++answered;
  };
  MessageStore& store = member_.store();
  // Neither is applied when the other is decided.
  store.EditTopic(
      "U",
      [](bool exists, TopicConfig* topic) {
        EXPECT_FALSE(exists);
        topic->type = TopicType::kFifo;
        topic->read_queues = topic->write_queues = 2;
        return absl::OkStatus();
      },
      count);
  store.EditTopic(
      "U",
      [](bool exists, TopicConfig* topic) {
        EXPECT_TRUE(exists) << "what is pending is seen";
        topic->perm = kPermRead;
        return absl::OkStatus();
      },
      count);
  store.EditGroup(
      "G",
      [](bool, GroupConfig* group) {
        group->orderly = true;
        return absl::OkStatus();
      },
      count);
  store.EditGroup(
      "G",
      [](bool exists, GroupConfig* group) {
        EXPECT_TRUE(exists);
        group->retry_max_times = 3;
        return absl::OkStatus();
      },
      count);
  store.EditTopic(
      "U", [](bool, TopicConfig*) { return absl::InvalidArgumentError("no"); },
      [](absl::Status status) { EXPECT_TRUE(absl::IsInvalidArgument(status)); });
  member_.Settle();
  EXPECT_EQ(answered, 4);
  const TopicConfig topic = *store.FindTopic("U");
  EXPECT_EQ(topic.type, TopicType::kFifo);
  EXPECT_EQ(topic.write_queues, 2);
  EXPECT_EQ(topic.perm, kPermRead);
  const GroupConfig group = *store.FindGroup("G");
  EXPECT_TRUE(group.orderly);
  EXPECT_EQ(group.retry_max_times, 3);
}

TEST_F(Leadership, AChangeThatWasCommittedAndNotAppliedHereIsNotSaidToBeUndone) {
  StepByStep();
  absl::Status ended;
  member_.store().DeleteTopic("T", [&](absl::Status status) { ended = status; });
  member_.ledger().DecideAll();
  member_.ledger().CommitAll();
  member_.Kill();  // before it is applied
  EXPECT_EQ(ReasonOf(ended), Reason::kUnknownOutcome) << ended;
}

TEST_F(Leadership, AFullLogIsBusyAndNothingIsHalfDone) {
  member_.SendOne("T", "m");
  member_.Kill();
  member_.options().ledger.max_uncommitted = 30;  // no command fits
  member_.Start();
  const auto sent = member_.Send({MessageOf("T", "x")});
  EXPECT_EQ(ReasonOf(sent.status()), Reason::kBusy);
  const auto received = member_.Receive(RequestOf("G", "T"));
  EXPECT_EQ(ReasonOf(received.status()), Reason::kBusy);
  EXPECT_EQ(member_.store().Range("T", QueueId(0))->max, QueueOffset(1));
  member_.Kill();
  member_.options().ledger.max_uncommitted = 1 << 20;
  member_.Start();
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Leadership, WhatWaitsWhenTheStoreIsClosedIsAnsweredAsStopped) {
  member_.SendOne("T", "m");
  StepByStep();
  absl::Status received;
  ReceiveRequest filtered = RequestOf("G", "T");
  filtered.filter.tags = {"a"};
  member_.store().Receive(filtered, [&](auto result) { received = result.status(); });
  member_.Kill();  // drops the task that would have looked for tags
  EXPECT_EQ(ReasonOf(received), Reason::kStopped);
}

}  // namespace
}  // namespace raftmq::store
