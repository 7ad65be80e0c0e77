// Receiving, acking, renewing: what a consumer group sees.

#include "base/strings.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/java_string_hash.h"
#include "store/message_record.h"
#include "store/sql_filter.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;
using testing::UnorderedElementsAre;

ReceiveRequest RequestOf(const std::string& group, const std::string& topic, int max = 32) {
  ReceiveRequest request;
  request.group = group;
  request.topic = topic;
  request.max_messages = max;
  request.client_id = "tester";
  return request;
}

class Receive : public testing::Test {
 protected:
  Receive() : member_(&log_, "receive_test", {}) { member_.Start(); }

  void SendAll(const std::string& topic, int count, const std::string& prefix = "m") {
    for (int i = 0; i < count; ++i) member_.SendOne(topic, StrCat(prefix, i));
  }

  FakeLog log_;
  StoreHarness member_;
};

TEST_F(Receive, AnAckedMessageNeverComesAgain) {
  member_.MakeTopic("T");
  SendAll("T", 3);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m0", "m1", "m2"));
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty()) << "all are leased";
  member_.clock().AdvanceMillis(59'000);
  const auto first = member_.last_deliveries();
  std::vector<std::string> handles;
  member_.clock().AdvanceMillis(2'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m0", "m1", "m2")) << "leases are over";
  member_.AckLast("G", "T");
  member_.clock().AdvanceMillis(600'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(3));
}

TEST_F(Receive, ADeliveryCarriesTheRecordItsPlaceAndAttempt) {
  member_.MakeTopic("T");
  const SendResult sent = member_.SendOne("T", "body", "tag");
  ReceiveRequest request = RequestOf("G", "T");
  request.invisible_ms = 10'000;
  auto result = member_.Receive(request);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->deliveries.size(), 1u);
  const Delivery delivery = result->deliveries[0];
  EXPECT_EQ(ParseRecord(delivery.record)->unique_key(), sent.message_id);
  EXPECT_EQ(delivery.queue, sent.queue);
  EXPECT_EQ(delivery.offset, sent.offset);
  EXPECT_EQ(delivery.attempt, 1);
  EXPECT_EQ(delivery.invisible_ms, 10'000);
  EXPECT_FALSE(delivery.receipt_handle.empty());

  result = member_.Receive(request);
  EXPECT_TRUE(result->deliveries.empty());
  EXPECT_EQ(result->next_visible_in_ms, 10'000);
  member_.clock().AdvanceMillis(4'000);
  EXPECT_EQ(member_.Receive(request)->next_visible_in_ms, 6'000);
  member_.clock().AdvanceMillis(6'000);
  result = member_.Receive(request);
  ASSERT_EQ(result->deliveries.size(), 1u);
  EXPECT_EQ(result->deliveries[0].attempt, 2);
  EXPECT_NE(result->deliveries[0].receipt_handle, delivery.receipt_handle);
  // The first holder's time is over and somebody else has it.
  EXPECT_EQ(ReasonOf(member_.Ack("G", "T", {delivery.receipt_handle})[0]),
            Reason::kInvalidReceiptHandle);
  EXPECT_TRUE(member_.Ack("G", "T", {result->deliveries[0].receipt_handle})[0].ok());
}

TEST_F(Receive, AHandleStaysGoodAfterItsTimeUntilTheMessageIsGivenOutAgain) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  member_.clock().AdvanceMillis(100'000);
  member_.AckLast("G", "T");
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
}

TEST_F(Receive, AnAckMayBeRepeatedAndFalseHandlesAreRefusedOneByOne) {
  member_.MakeTopic("T");
  SendAll("T", 2);
  member_.ReceiveBodies("G", "T");
  const std::string a = member_.last_deliveries()[0].receipt_handle;
  const std::string b = member_.last_deliveries()[1].receipt_handle;
  auto statuses = member_.Ack("G", "T", {a, "nonsense", a, b});
  ASSERT_EQ(statuses.size(), 4u);
  EXPECT_TRUE(statuses[0].ok());
  EXPECT_EQ(ReasonOf(statuses[1]), Reason::kInvalidReceiptHandle);
  EXPECT_TRUE(statuses[2].ok());
  EXPECT_TRUE(statuses[3].ok());
  EXPECT_TRUE(member_.Ack("G", "T", {a})[0].ok()) << "it is acked";
  EXPECT_EQ(ReasonOf(member_.Ack("H", "T", {a})[0]), Reason::kInvalidReceiptHandle);
  EXPECT_THAT(member_.Ack("G", "T", {}), IsEmpty());
}

TEST_F(Receive, GroupsDoNotShareProgress) {
  member_.MakeTopic("T");
  SendAll("T", 2);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m0", "m1"));
  member_.AckLast("G", "T");
  EXPECT_THAT(member_.ReceiveBodies("H", "T"), ElementsAre("m0", "m1"));
}

TEST_F(Receive, AllQueuesAreEmptiedWhereverTheyBegin) {
  member_.MakeTopic("T", 8);
  SendAll("T", 40);
  std::vector<std::string> all;
  for (;;) {
    const auto bodies = member_.ReceiveBodies("G", "T", 7);
    if (bodies.empty()) break;
    all.insert(all.end(), bodies.begin(), bodies.end());
    member_.AckLast("G", "T");
  }
  EXPECT_EQ(all.size(), 40u);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

TEST_F(Receive, AskedForOneQueueItGivesThatQueueOnly) {
  member_.MakeTopic("T", 2);
  SendAll("T", 4);
  ReceiveRequest request = RequestOf("G", "T");
  request.queue = QueueId(1);
  const auto result = member_.Receive(request);
  ASSERT_EQ(result->deliveries.size(), 2u);
  for (const Delivery& delivery : result->deliveries) EXPECT_EQ(delivery.queue, QueueId(1));
  request.queue = QueueId(2);
  EXPECT_EQ(ReasonOf(member_.Receive(request).status()), Reason::kQueueNotFound);
}

TEST_F(Receive, ANackBringsTheMessageBackWhenItsTimeComes) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string handle = member_.last_deliveries()[0].receipt_handle;
  auto changed = member_.ChangeInvisible("G", "T", handle, 5'000);
  ASSERT_TRUE(changed.ok()) << changed.status();
  member_.clock().AdvanceMillis(4'999);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  member_.clock().AdvanceMillis(1);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
  EXPECT_EQ(member_.last_deliveries()[0].attempt, 2);
  ASSERT_TRUE(
      member_.ChangeInvisible("G", "T", member_.last_deliveries()[0].receipt_handle, 0).ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
  EXPECT_EQ(member_.last_deliveries()[0].attempt, 3);
}

TEST_F(Receive, ARenewedLeaseHoldsAndItsHandlesBothWork) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string first = member_.last_deliveries()[0].receipt_handle;
  member_.clock().AdvanceMillis(50'000);
  const auto renewed = member_.ChangeInvisible("G", "T", first, 60'000);
  ASSERT_TRUE(renewed.ok());
  member_.clock().AdvanceMillis(50'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_TRUE(member_.Ack("G", "T", {first})[0].ok());
  EXPECT_EQ(ReasonOf(member_.ChangeInvisible("G", "T", *renewed, 1'000).status()),
            Reason::kInvalidReceiptHandle);
  EXPECT_EQ(ReasonOf(member_.ChangeInvisible("G", "T", *renewed, -1).status()),
            Reason::kIllegalInvisibleTime);
}

TEST_F(Receive, ARenewalNeverOverridesANack) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string handle = member_.last_deliveries()[0].receipt_handle;
  ASSERT_TRUE(member_.ChangeInvisible("G", "T", handle, 5'000).ok());
  EXPECT_EQ(ReasonOf(member_.Renew("G", "T", handle, 60'000).status()),
            Reason::kInvalidReceiptHandle);
  member_.clock().AdvanceMillis(5'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Receive, ARenewalNeverOverridesAChangeThatEndsTheLeaseWhenTheRenewalBeforeHadDone) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string first = member_.last_deliveries()[0].receipt_handle;
  const auto renewed = member_.Renew("G", "T", first, 5'000);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  ASSERT_TRUE(member_.ChangeInvisible("G", "T", first, 5'000).ok());
  EXPECT_EQ(ReasonOf(member_.Renew("G", "T", *renewed, 60'000).status()),
            Reason::kInvalidReceiptHandle);
  member_.clock().AdvanceMillis(5'001);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m"));
}

TEST_F(Receive, ARenewalGoesOnFromTheHandleOfTheLastOne) {
  member_.MakeTopic("T");
  member_.SendOne("T", "m");
  member_.ReceiveBodies("G", "T");
  const std::string first = member_.last_deliveries()[0].receipt_handle;
  member_.clock().AdvanceMillis(40'000);
  const auto second = member_.Renew("G", "T", first, 60'000);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(member_.Renew("G", "T", first, 60'000).ok()) << "somebody renews already";
  member_.clock().AdvanceMillis(40'000);
  EXPECT_TRUE(member_.Renew("G", "T", *second, 60'000).ok());
  member_.clock().AdvanceMillis(59'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_TRUE(member_.Ack("G", "T", {first})[0].ok()) << "the client's own handle";
}

TEST_F(Receive, AStaleConsumeQueueEntryIsNoticedAndPutRight) {
  member_.MakeTopic("T");
  member_.MakeTopic("U");
  member_.SendOne("T", "right");
  member_.SendOne("U", "wrong");
  member_.SendOne("T", "last");
  member_.Stop();
  const auto entry_of = [&](const std::string& topic) {
    return StrCat(member_.dir(), "/consumequeue/", topic, "/0/00000000000000000000");
  };
  {
    constexpr size_t kEntryBytes = 20;
    const std::string wrong = *ReadFile(&member_.fs(), entry_of("U"));
    auto file = member_.fs().Open(entry_of("T"), OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->PWrite(0, wrong.substr(0, kEntryBytes)).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
  }
  member_.Start();
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("right", "last"));
  const auto pulled = member_.store().Pull("T", QueueId(0), QueueOffset(0), 1, 1'000);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(BodyOf(pulled->at(0)), "right");
}

TEST_F(Receive, TheInflightBoundHoldsBackNewMessagesUntilAcks) {
  member_.Stop();
  member_.options().store.max_inflight_per_queue = 2;
  member_.Start();
  member_.MakeTopic("T");
  SendAll("T", 3);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m0", "m1"));
  const auto held = member_.last_deliveries();
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  EXPECT_TRUE(member_.Ack("G", "T", {held[1].receipt_handle})[0].ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m2"));
}

TEST_F(Receive, WhatCannotBeReceivedIsRefused) {
  EXPECT_EQ(ReasonOf(member_.Receive(RequestOf("G", "nowhere")).status()), Reason::kTopicNotFound);
  member_.MakeTopic("T");
  EXPECT_EQ(ReasonOf(member_.Receive(RequestOf("no good", "T")).status()), Reason::kIllegalGroup);
  ReceiveRequest request = RequestOf("G", "T");
  request.invisible_ms = 0;
  EXPECT_EQ(ReasonOf(member_.Receive(request).status()), Reason::kIllegalInvisibleTime);
  GroupConfig group;
  group.name = "off";
  group.consume_enable = false;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  EXPECT_EQ(ReasonOf(member_.Receive(RequestOf("off", "T")).status()), Reason::kForbidden);
  TopicConfig topic;
  topic.name = "T";
  topic.perm = kPermWrite;
  ASSERT_TRUE(member_.UpdateTopic(topic).ok());
  EXPECT_EQ(ReasonOf(member_.Receive(RequestOf("G", "T")).status()), Reason::kForbidden);
}

TEST_F(Receive, ARottenRecordIsNeverDelivered) {
  member_.MakeTopic("T");
  const SendResult bad = member_.SendOne("T", "rotten");
  member_.SendOne("T", "good");
  log_.Corrupt(bad.position + 90);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("good"));
  member_.clock().AdvanceMillis(60'000);
  EXPECT_EQ(member_.Receive(RequestOf("G", "T", 1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(member_.store().Pull("T", QueueId(0), QueueOffset(0), 1, 1000).ok());
  EXPECT_FALSE(member_.store().RecordAt(bad.position).ok());
}

// ---- Filters

TEST_F(Receive, AFilterGivesTheTagsAskedForAndCountsTheRestAsDone) {
  member_.MakeTopic("T");
  for (int i = 0; i < 9; ++i) member_.SendOne("T", StrCat("m", i), StrCat("t", i % 3));
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"t1", "t2"}),
              ElementsAre("m1", "m2", "m4", "m5", "m7", "m8"));
  member_.AckLast("G", "T");
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(9));
}

TEST_F(Receive, TagsWithTheSameHashAreToldApartAndTheWrongOnesAcked) {
  member_.MakeTopic("T");
  member_.SendOne("T", "wrong", "BB");  // "Aa" and "BB" have the same Java hash
  member_.SendOne("T", "right", "Aa");
  member_.SendOne("T", "wrong too", "BB");
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"Aa"}), ElementsAre("right"));
  member_.AckLast("G", "T");
  const auto progress = member_.store().GroupProgress("G");
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(progress->at(0).commit_offset, QueueOffset(3));
  EXPECT_EQ(progress->at(0).inflight, 0);
  member_.SendOne("T", "wrong again", "BB");
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"Aa"}), IsEmpty());
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(4));
}

TEST_F(Receive, AFilterFindsARareMessageFarBehindInOneCall) {
  member_.Stop();
  member_.options().store.filter_window = 16;
  member_.Start();
  member_.MakeTopic("T", 2);
  std::vector<NewMessage> batch;
  for (int i = 0; i < 200; ++i) {
    NewMessage message = MessageOf("T", StrCat("m", i), i == 199 ? "rare" : "common");
    message.queue = QueueId(1);
    batch.push_back(message);
  }
  ASSERT_TRUE(member_.Send(batch).ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"rare"}), ElementsAre("m199"));
}

TEST_F(Receive, AFilterThatLooksTooLongAsksToBeCalledAgain) {
  member_.Stop();
  member_.options().store.filter_window = 8;
  member_.options().store.filter_rounds = 3;
  member_.Start();
  member_.MakeTopic("T");
  std::vector<NewMessage> batch;
  for (int i = 0; i < 40; ++i) batch.push_back(MessageOf("T", StrCat("m", i), i < 39 ? "x" : "y"));
  ASSERT_TRUE(member_.Send(batch).ok());
  ReceiveRequest request = RequestOf("G", "T");
  request.filter.tags = {"y"};
  int calls = 0;
  for (;; ++calls) {
    const auto result = member_.Receive(request);
    ASSERT_TRUE(result.ok()) << result.status();
    if (!result->deliveries.empty()) {
      EXPECT_EQ(BodyOf(result->deliveries[0].record), "m39");
      break;
    }
    ASSERT_EQ(result->next_visible_in_ms, 0);
    ASSERT_LT(calls, 10);
  }
  EXPECT_GE(calls, 1);
}

TEST_F(Receive, FilteredRedeliveryComesWithAttemptTwo) {
  member_.MakeTopic("T");
  member_.SendOne("T", "x", "x");
  member_.SendOne("T", "y", "y");
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"y"}), ElementsAre("y"));
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T", 32, {"y"}), ElementsAre("y"));
  EXPECT_EQ(member_.last_deliveries()[0].attempt, 2);
}

class ReceiveByExpression : public Receive {
 protected:
  void SendPriced(int count, int first = 0) {
    for (int i = first; i < first + count; ++i) {
      NewMessage message = MessageOf("T", StrCat("m", i), i % 2 == 0 ? "even" : "odd");
      message.user_properties["price"] = StrCat(i);
      ASSERT_TRUE(member_.Send({message}).ok());
    }
  }

  std::vector<std::string> Bodies(const std::string& expression, int max = 32) {
    ReceiveRequest request = RequestOf("G", "T", max);
    auto filter = SqlFilter::Parse(expression);
    CHECK(filter.ok()) << filter.status();
    request.filter.sql = *filter;
    const auto result = member_.Receive(request);
    CHECK(result.ok()) << result.status();
    deliveries_ = result->deliveries;
    std::vector<std::string> bodies;
    for (const Delivery& delivery : deliveries_) bodies.push_back(BodyOf(delivery.record));
    return bodies;
  }

  std::vector<Delivery> deliveries_;
};

TEST_F(ReceiveByExpression, WhatItLeavesOutCountsAsAcked) {
  member_.MakeTopic("T");
  SendPriced(8);
  member_.SendOne("T", "without a price");
  EXPECT_THAT(Bodies("price > 3 AND TAGS = 'odd'"), ElementsAre("m5", "m7"));
  for (const Delivery& delivery : deliveries_) {
    EXPECT_TRUE(member_.Ack("G", "T", {delivery.receipt_handle})[0].ok());
  }
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(9));
  member_.clock().AdvanceMillis(600'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
}

TEST_F(ReceiveByExpression, ItFindsARareMessageFarBehindInSmallWindows) {
  member_.Stop();
  member_.options().store.filter_window = 8;
  member_.Start();
  member_.MakeTopic("T");
  SendPriced(60);
  EXPECT_THAT(Bodies("price >= 57", 2), ElementsAre("m57", "m58"));
  EXPECT_THAT(Bodies("price >= 57", 2), ElementsAre("m59"));
}

TEST_F(ReceiveByExpression, ARedeliveryThatAnotherExpressionLeavesOutIsAcked) {
  member_.MakeTopic("T");
  SendPriced(2);
  EXPECT_THAT(Bodies("TRUE"), ElementsAre("m0", "m1"));
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(Bodies("price = 1"), ElementsAre("m1"));
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(Bodies("TRUE"), ElementsAre("m1"));
}

TEST_F(ReceiveByExpression, WhatItLeftOutStaysLeftOutAfterARestart) {
  member_.MakeTopic("T");
  SendPriced(6);
  EXPECT_THAT(Bodies("price >= 4"), ElementsAre("m4", "m5"));
  member_.Kill();
  member_.Start();
  EXPECT_THAT(Bodies("TRUE"), IsEmpty());
  member_.clock().AdvanceMillis(60'000);
  EXPECT_THAT(Bodies("TRUE"), ElementsAre("m4", "m5"));
}

TEST_F(ReceiveByExpression, TagsAndAnExpressionTogetherAreRefused) {
  member_.MakeTopic("T");
  ReceiveRequest request = RequestOf("G", "T");
  request.filter.tags = {"a"};
  request.filter.sql = *SqlFilter::Parse("TRUE");
  EXPECT_EQ(ReasonOf(member_.Receive(request).status()), Reason::kIllegalFilter);
}

// ---- Where a group begins

TEST_F(Receive, AGroupIsCreatedOnFirstUseAndStartsAtTheOldestMessage) {
  member_.MakeTopic("T", 2);
  SendAll("T", 2);
  EXPECT_FALSE(member_.store().FindGroup("G").ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), UnorderedElementsAre("m0", "m1"));
  const auto group = member_.store().FindGroup("G");
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(group->retry_max_times, 16);
  EXPECT_FALSE(group->orderly);
}

TEST_F(Receive, ConsumeFromLastStartsBehindWhatIsStoredAtTheFirstReceive) {
  member_.MakeTopic("T", 2);
  SendAll("T", 4, "old");
  GroupConfig group;
  group.name = "G";
  group.consume_from = ConsumeFrom::kLast;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  SendAll("T", 2, "new");
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), UnorderedElementsAre("new0", "new1"));
}

TEST_F(Receive, ConsumeFromTimestampStartsAtTheFirstMessageStoredThen) {
  member_.MakeTopic("T", 2);
  SendAll("T", 6, "old");
  member_.clock().AdvanceMillis(1'000);
  const int64_t then = member_.clock().WallMillis();
  SendAll("T", 3, "new");
  member_.MakeGroupFrom(then, "G");
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), UnorderedElementsAre("new0", "new1", "new2"));
}

TEST_F(Receive, QueuesAddedLaterStartAtTheirFirstMessage) {
  member_.MakeTopic("T", 1);
  GroupConfig group;
  group.name = "G";
  group.consume_from = ConsumeFrom::kLast;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  member_.MakeTopic("T", 3);
  SendAll("T", 3);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), UnorderedElementsAre("m0", "m1", "m2"));
}

TEST_F(Receive, PositionsAreLoggedBeforeTheFirstReceiveFindsNothing) {
  member_.MakeTopic("T", 2);
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), IsEmpty());
  const auto progress = member_.store().GroupProgress("G");
  ASSERT_TRUE(progress.ok()) << progress.status();
  ASSERT_EQ(progress->size(), 2u);
  EXPECT_EQ(progress->at(1).next_offset, QueueOffset(0));
}

// ---- Offsets

TEST_F(Receive, AMovedOffsetIsWhereReceivingGoesOn) {
  member_.MakeTopic("T");
  SendAll("T", 5);
  EXPECT_EQ(ReasonOf(member_.store().CommitOffset("G", "T", QueueId(0)).status()),
            Reason::kGroupNotFound);
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 3).ok());
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(3));
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m3", "m4"));
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 1).ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "T"), ElementsAre("m1", "m2", "m3", "m4"));
  EXPECT_EQ(ReasonOf(member_.UpdateOffset("G", "T", 0, 6)), Reason::kIllegalOffset);
  EXPECT_EQ(ReasonOf(member_.UpdateOffset("G", "T", 0, -1)), Reason::kIllegalOffset);
  EXPECT_EQ(ReasonOf(member_.UpdateOffset("G", "T", 1, 0)), Reason::kQueueNotFound);
  EXPECT_EQ(ReasonOf(member_.UpdateOffset("G", "U", 0, 0)), Reason::kTopicNotFound);
}

TEST_F(Receive, AnOffsetSetFirstStartsATimestampGroupOnTheOtherQueues) {
  member_.MakeTopic("T", 2);
  SendAll("T", 4, "old");
  member_.clock().AdvanceMillis(1'000);
  member_.MakeGroupFrom(member_.clock().WallMillis(), "G");
  ASSERT_TRUE(member_.UpdateOffset("G", "T", 0, 1).ok());
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(0)).value(), QueueOffset(1));
  EXPECT_EQ(member_.store().CommitOffset("G", "T", QueueId(1)).value(), QueueOffset(2));
}

// ---- Order

class ReceiveInOrder : public Receive {
 protected:
  void SetUp() override {
    member_.MakeTopic("F", 1);
    GroupConfig group;
    group.name = "G";
    group.orderly = true;
    ASSERT_TRUE(member_.UpdateGroup(group).ok());
    SendAll("F", 6);
  }
};

TEST_F(ReceiveInOrder, NothingFollowsUntilWhatIsLeasedIsAcked) {
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 2), ElementsAre("m0", "m1"));
  const auto held = member_.last_deliveries();
  const auto blocked = member_.Receive(RequestOf("G", "F"));
  EXPECT_TRUE(blocked->deliveries.empty());
  EXPECT_EQ(blocked->next_visible_in_ms, 60'000);
  EXPECT_TRUE(member_.Ack("G", "F", {held[0].receipt_handle})[0].ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 2), IsEmpty());
  EXPECT_TRUE(member_.Ack("G", "F", {held[1].receipt_handle})[0].ok());
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 2), ElementsAre("m2", "m3"));
}

TEST_F(ReceiveInOrder, AMessageBehindANackWaitsForIt) {
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 3), ElementsAre("m0", "m1", "m2"));
  const auto held = member_.last_deliveries();
  ASSERT_TRUE(member_.ChangeInvisible("G", "F", held[1].receipt_handle, 90'000).ok());
  ASSERT_TRUE(member_.Ack("G", "F", {held[0].receipt_handle})[0].ok());
  member_.clock().AdvanceMillis(60'000);  // m2 is free, m1 is not
  EXPECT_THAT(member_.ReceiveBodies("G", "F"), IsEmpty());
  member_.clock().AdvanceMillis(30'000);
  EXPECT_THAT(member_.ReceiveBodies("G", "F"), ElementsAre("m1", "m2", "m3", "m4", "m5"));
  member_.AckLast("G", "F");
  EXPECT_EQ(member_.store().CommitOffset("G", "F", QueueId(0)).value(), QueueOffset(6));
}

TEST_F(ReceiveInOrder, ARedeliveryStopsBeforeOneThatIsStillLeased) {
  EXPECT_THAT(member_.ReceiveBodies("G", "F", 3), ElementsAre("m0", "m1", "m2"));
  const auto held = member_.last_deliveries();
  ASSERT_TRUE(member_.ChangeInvisible("G", "F", held[1].receipt_handle, 90'000).ok());
  member_.clock().AdvanceMillis(60'000);  // m0 and m2 are free, m1 is not
  EXPECT_THAT(member_.ReceiveBodies("G", "F"), ElementsAre("m0"));
}

// ---- Arrivals

struct Told {
  std::string topic;
  int queue;
  int64_t max;
  bool operator==(const Told&) const = default;
};

class Arrivals : public ArrivalListener {
 public:
  void OnArrival(const std::string& topic, QueueId queue, const Arrival& arrival) override {
    seen.push_back({topic, queue.value(), arrival.max.value()});
    last = arrival;
  }
  std::vector<Told> seen;
  Arrival last;
};

TEST(Arrival, IsToldOncePerQueueAndBatch) {
  FakeLog log;
  StoreHarness member(&log, "arrival_test", {});
  member.Start();
  Arrivals arrivals;
  member.store().SetArrivalListener(&arrivals);
  member.MakeTopic("T", 2);
  EXPECT_THAT(arrivals.seen, IsEmpty());
  member.ledger().set_synchronous(false);
  for (int i = 0; i < 6; ++i) {
    member.store().Send({MessageOf("T", "x")}, dledger::AckLevel::kMajorityDisk, [](auto) {});
  }
  member.Settle();
  EXPECT_THAT(arrivals.seen, ElementsAre(Told{"T", 0, 3}, Told{"T", 1, 3}));
  arrivals.seen.clear();
  member.ReceiveBodies("G", "T", 1);
  EXPECT_THAT(arrivals.seen, IsEmpty());
  const Delivery held = member.last_deliveries()[0];
  ASSERT_TRUE(member.ChangeInvisible("G", "T", held.receipt_handle, 60'000).ok());
  member.clock().AdvanceMillis(1);
  ASSERT_TRUE(member.ChangeInvisible("G", "T", held.receipt_handle, 90'000).ok());
  EXPECT_THAT(arrivals.seen, IsEmpty()) << "a longer lease makes nothing readable";
  ASSERT_TRUE(member.ChangeInvisible("G", "T", held.receipt_handle, 0).ok());
  EXPECT_THAT(arrivals.seen, ElementsAre(Told{"T", held.queue.value(), 3}));
  EXPECT_FALSE(arrivals.last.tags.has_value()) << "an older message, whatever its tag";
  member.Kill();
}

TEST(Arrival, TellsTheTagsOfWhatIsNew) {
  FakeLog log;
  StoreHarness member(&log, "arrival_test", {});
  member.Start();
  Arrivals arrivals;
  member.store().SetArrivalListener(&arrivals);
  member.MakeTopic("T", 1);
  const auto send = [&](const std::vector<std::string>& tags) {
    member.ledger().set_synchronous(false);
    for (const std::string& tag : tags) {
      NewMessage message = MessageOf("T", "x");
      message.tag = tag;
      member.store().Send({message}, dledger::AckLevel::kMajorityDisk, [](auto) {});
    }
    member.Settle();
  };
  send({"A", "", "B", "A"});
  EXPECT_EQ(arrivals.last.first, QueueOffset(0));
  EXPECT_THAT(arrivals.last.tags, Optional(ElementsAre(TagHash("A"), 0, TagHash("B"))));
  send({"C"});
  EXPECT_EQ(arrivals.last.first, QueueOffset(4));
  EXPECT_EQ(arrivals.last.max, QueueOffset(5));
  EXPECT_THAT(arrivals.last.tags, Optional(ElementsAre(TagHash("C"))));
  std::vector<std::string> many;
  for (int i = 0; i < 20; ++i) many.push_back(StrCat("tag-", i));
  send(many);
  EXPECT_FALSE(arrivals.last.tags.has_value()) << "too many to tell apart";
  member.Kill();
}

}  // namespace
}  // namespace raftmq::store
