// Lite topics: tiny topics under one of type LITE.

#include <optional>

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
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using Action = LiteSubscribeRequest::Action;

class LiteTopicsTest : public testing::Test {
 protected:
  LiteTopicsTest() : member_(&log_, "lite_topics_test", MakeOptions()) {
    member_.Start();
    member_.MakeTopic("P", 8, TopicType::kLite);
  }

  static StoreHarness::Options MakeOptions() {
    StoreHarness::Options options;
    options.store.max_lite_topics = 4;
    options.store.max_lite_subscriptions = 6;
    return options;
  }

  absl::Status TrySend(const std::string& lite_topic, const std::string& body) {
    NewMessage message = MessageOf(LiteTopicName("P", lite_topic), body);
    message.type = TopicType::kLite;
    return member_.Send({std::move(message)}).status();
  }
  void Send(const std::string& lite_topic, const std::string& body) {
    const absl::Status sent = TrySend(lite_topic, body);
    ASSERT_TRUE(sent.ok()) << sent;
  }

  static LiteSubscribeRequest Request(Action action, std::vector<std::string> lite_topics,
                                      const std::string& client = "c1",
                                      std::optional<LiteStart> start = std::nullopt) {
    return {action, "G", "P", client, std::move(lite_topics), start};
  }
  void Subscribe(std::vector<std::string> lite_topics, const std::string& client = "c1",
                 std::optional<LiteStart> start = std::nullopt) {
    const auto done =
        member_.Subscribe(Request(Action::kAdd, std::move(lite_topics), client, start));
    ASSERT_TRUE(done.ok()) << done.status();
  }

  absl::StatusOr<ReceiveResult> Ask(int max = 32, const std::string& client = "c1") {
    ReceiveRequest request;
    request.group = "G";
    request.topic = "P";
    request.lite = true;
    request.max_messages = max;
    request.client_id = client;
    return member_.Receive(std::move(request));
  }
  std::vector<std::string> Receive(int max = 32, const std::string& client = "c1") {
    const auto result = Ask(max, client);
    CHECK(result.ok()) << result.status();
    std::vector<std::string> bodies;
    for (const Delivery& delivery : result->deliveries) {
      bodies.push_back(BodyOf(delivery.record));
      held_[bodies.back()] = delivery;
    }
    return bodies;
  }
  void Ack(const std::string& body) {
    const Delivery& delivery = held_.at(body);
    const std::string topic(ParseRecord(delivery.record)->topic);
    EXPECT_THAT(member_.Ack("G", topic, {delivery.receipt_handle}), ElementsAre(absl::OkStatus()));
  }

  FakeLog log_;
  StoreHarness member_;
  std::map<std::string, Delivery> held_;
};

TEST_F(LiteTopicsTest, AClientReceivesFromThoseThatItSubscribedTo) {
  Send("a", "a1");
  Send("b", "b1");
  Send("c", "c1");
  EXPECT_THAT(Receive(), IsEmpty());
  Subscribe({"a", "c"});
  EXPECT_THAT(Receive(), UnorderedElementsAre("a1", "c1"));
  Subscribe({"b"}, "c2");
  EXPECT_THAT(Receive(32, "c2"), ElementsAre("b1"));
  EXPECT_EQ(member_.store().ListTopics().size(), 1u) << "the lite topics are listed by themselves";
  EXPECT_EQ(member_.store().lite_topics().Count("P"), 3);
}

TEST_F(LiteTopicsTest, ASubscriptionMayComeBeforeTheFirstMessage) {
  Subscribe({"a"});
  EXPECT_THAT(Receive(), IsEmpty());
  Send("a", "a1");
  EXPECT_THAT(Receive(), ElementsAre("a1"));
}

TEST_F(LiteTopicsTest, EachIsConsumedInOrderWhateverTheGroupIs) {
  for (const char* body : {"a1", "a2", "a3"}) Send("a", body);
  Subscribe({"a"});
  EXPECT_THAT(Receive(2), ElementsAre("a1", "a2"));
  EXPECT_THAT(Receive(), IsEmpty());
  Ack("a2");
  EXPECT_THAT(Receive(), IsEmpty()) << "a1 is not acked";
  Send("b", "b1");
  Subscribe({"b"});
  EXPECT_THAT(Receive(), ElementsAre("b1")) << "one does not hold up another";
  Ack("a1");
  EXPECT_THAT(Receive(), ElementsAre("a3"));
}

TEST_F(LiteTopicsTest, ALeaseThatEndsMakesItComeAgainFirst) {
  Send("a", "a1");
  Send("a", "a2");
  Subscribe({"a"});
  EXPECT_THAT(Receive(1), ElementsAre("a1"));
  const auto waits = Ask();
  ASSERT_TRUE(waits.ok());
  ASSERT_TRUE(waits->next_visible_in_ms.has_value());
  member_.clock().AdvanceMillis(*waits->next_visible_in_ms + 1);
  EXPECT_THAT(Receive(1), ElementsAre("a1"));
  EXPECT_EQ(held_.at("a1").attempt, 2);
}

TEST_F(LiteTopicsTest, AReceiveIsSharedByAllThatHaveSomething) {
  for (int i = 0; i < 10; ++i) Send("a", StrCat("a", i));
  for (int i = 0; i < 10; ++i) Send("b", StrCat("b", i));
  Send("c", "c0");
  Subscribe({"a", "b", "c", "none"});
  const auto bodies = Receive(9);
  EXPECT_THAT(bodies, SizeIs(9));
  for (const char* first : {"a0", "b0", "c0"}) EXPECT_THAT(bodies, testing::Contains(first));
}

TEST_F(LiteTopicsTest, WhatIsSubscribedSurvivesEveryMember) {
  Subscribe({"a", "b"});
  Subscribe({"a"}, "c2");
  Send("a", "a1");
  // All but the index, which a new term moves.
  const auto dump = [this] {
    const std::string text = member_.Dump();
    return text.substr(text.find('\n'));
  };
  const std::string before = dump();
  EXPECT_THAT(before, testing::HasSubstr("lite_subscription G P b client=\"c1\""));
  for (const bool orderly : {true, false}) {
    if (orderly) {
      member_.Stop();
    } else {
      member_.Kill();
    }
    member_.Start();
    EXPECT_EQ(dump(), before);
  }
  EXPECT_THAT(Receive(), ElementsAre("a1"));
}

TEST_F(LiteTopicsTest, SubscriptionsAreAddedRemovedReplacedAndLeft) {
  const auto subscribed = [this](const std::string& lite_topic) {
    return member_.store().lite_topics().SubscribersOf(LiteTopicName("P", lite_topic), "G");
  };
  Subscribe({"a", "b"});
  ASSERT_TRUE(member_.Subscribe(Request(Action::kRemove, {"a", "never"})).ok());
  EXPECT_THAT(subscribed("a"), IsEmpty());
  EXPECT_THAT(subscribed("b"), ElementsAre("c1"));
  ASSERT_TRUE(member_.Subscribe(Request(Action::kReplace, {"c", "d"})).ok());
  EXPECT_THAT(subscribed("b"), IsEmpty());
  EXPECT_THAT(subscribed("d"), ElementsAre("c1"));
  ASSERT_TRUE(member_.Subscribe(Request(Action::kLeave, {})).ok());
  EXPECT_THAT(member_.store().lite_topics().Clients(), IsEmpty());
}

TEST_F(LiteTopicsTest, WhatIsKeptUpEveryThirtySecondsIsNotLoggedAgain) {
  Subscribe({"a", "b"});
  const LogIndex before = member_.store().AppliedIndex();
  ASSERT_TRUE(member_.Subscribe(Request(Action::kReplace, {"b", "a"})).ok());
  EXPECT_EQ(member_.store().AppliedIndex(), before);
}

TEST_F(LiteTopicsTest, AnExclusiveOneIsTakenOverByTheLatestToSubscribe) {
  GroupConfig group;
  group.name = "G";
  group.lite_exclusive = true;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Subscribe({"a", "b"});
  const auto taken = member_.Subscribe(Request(Action::kAdd, {"a"}, "c2"));
  ASSERT_TRUE(taken.ok());
  ASSERT_THAT(taken->lost, SizeIs(1));
  EXPECT_EQ(taken->lost[0].client_id, "c1");
  EXPECT_EQ(taken->lost[0].lite_topic, "a");
  Send("a", "a1");
  EXPECT_THAT(Receive(), IsEmpty());
  EXPECT_THAT(Receive(32, "c2"), ElementsAre("a1"));
  // The first one has not heard of it, and says again what it thinks to have.
  const auto again = member_.Subscribe(Request(Action::kReplace, {"a", "b"}));
  ASSERT_TRUE(again.ok());
  ASSERT_THAT(again->lost, SizeIs(1));
  EXPECT_EQ(again->lost[0].client_id, "c1");
  EXPECT_THAT(member_.store().lite_topics().SubscribersOf(LiteTopicName("P", "a"), ""),
              ElementsAre("c2"));
}

TEST_F(LiteTopicsTest, ThereAreOnlySoMany) {
  for (const char* lite_topic : {"a", "b", "c", "d"}) Send(lite_topic, "1");
  EXPECT_EQ(ReasonOf(TrySend("e", "1")), Reason::kLiteTopicQuota);
  EXPECT_TRUE(TrySend("a", "2").ok());
  EXPECT_EQ(member_.store().lite_topics().Count("P"), 4);
}

TEST_F(LiteTopicsTest, SubscriptionsAreBoundedByClientAndByGroup) {
  GroupConfig group;
  group.name = "G";
  group.lite_client_quota = 4;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Subscribe({"a", "b", "c"});
  const auto more = [this](std::vector<std::string> names, const std::string& client) {
    return ReasonOf(member_.Subscribe(Request(Action::kAdd, std::move(names), client)).status());
  };
  EXPECT_EQ(more({"d", "e"}, "c1"), Reason::kLiteSubscriptionQuota);
  EXPECT_EQ(more({"d", "e", "f", "g"}, "c2"), Reason::kLiteSubscriptionQuota) << "7 of 6 in all";
  Subscribe({"a", "b", "c"}, "c2");
}

TEST_F(LiteTopicsTest, TheParentMustBeThereAndOfTypeLite) {
  member_.MakeTopic("N", 1);
  NewMessage message = MessageOf(LiteTopicName("N", "a"), "x");
  message.type = TopicType::kLite;
  EXPECT_EQ(ReasonOf(member_.Send({message}).status()), Reason::kTypeConflict);
  message.topic = LiteTopicName("nowhere", "a");
  EXPECT_EQ(ReasonOf(member_.Send({message}).status()), Reason::kTopicNotFound);
  LiteSubscribeRequest request = Request(Action::kAdd, {"a"});
  request.topic = "N";
  EXPECT_EQ(ReasonOf(member_.Subscribe(request).status()), Reason::kIllegalTopic);
  request.topic = "nowhere";
  EXPECT_EQ(ReasonOf(member_.Subscribe(request).status()), Reason::kTopicNotFound);
  EXPECT_EQ(ReasonOf(member_.Subscribe(Request(Action::kAdd, {"a$b"})).status()),
            Reason::kIllegalLiteTopic);
  EXPECT_EQ(ReasonOf(member_.Subscribe(Request(Action::kAdd, {std::string(65, 'x')})).status()),
            Reason::kIllegalLiteTopic);
}

TEST_F(LiteTopicsTest, IdleOnesGoAndComeBackEmpty) {
  TopicConfig topic = *member_.store().FindTopic("P");
  topic.lite_expiration_minutes = 10;
  ASSERT_TRUE(member_.UpdateTopic(topic).ok());
  Send("old", "o1");
  Subscribe({"old", "new"});
  member_.clock().AdvanceMillis(9 * 60'000);
  Send("new", "n1");
  EXPECT_EQ(*member_.ExpireIdle(), 0);
  member_.clock().AdvanceMillis(2 * 60'000);
  EXPECT_EQ(*member_.ExpireIdle(), 1);
  member_.Settle();
  EXPECT_EQ(member_.store().lite_topics().Count("P"), 1);
  EXPECT_THAT(Receive(), ElementsAre("n1"));
  Send("old", "o2");
  EXPECT_THAT(Receive(), ElementsAre("o2")) << "its subscriber still has it";
}

TEST_F(LiteTopicsTest, WithoutATimeTheyStay) {
  Send("a", "a1");
  member_.clock().AdvanceMillis(int64_t{1000} * 24 * 3'600'000);
  EXPECT_EQ(*member_.ExpireIdle(), 0);
}

TEST_F(LiteTopicsTest, TheyGoWithTheirParent) {
  Send("a", "a1");
  Send("b", "b1");
  Subscribe({"a"});
  TopicConfig other = *member_.store().FindTopic("P");
  other.type = TopicType::kNormal;
  EXPECT_EQ(ReasonOf(member_.UpdateTopic(other)), Reason::kIllegalTopic);
  ASSERT_TRUE(member_.DeleteTopic("P").ok());
  EXPECT_EQ(member_.store().lite_topics().Count("P"), 0);
  EXPECT_THAT(member_.store().lite_topics().Clients(), IsEmpty());
  member_.MakeTopic("P", 1, TopicType::kLite);
  Subscribe({"a"});
  EXPECT_THAT(Receive(), IsEmpty());
}

TEST_F(LiteTopicsTest, ASubscriptionSaysWhereToBegin) {
  for (int i = 0; i < 5; ++i) {
    Send("a", StrCat("a", i));
    member_.clock().AdvanceMillis(1'000);
  }
  const int64_t third_ms = member_.clock().WallMillis() - 3'000;
  const auto first = [this](LiteStart start) {
    CHECK(member_.Subscribe(Request(Action::kRemove, {"a"})).ok());
    Subscribe({"a"}, "c1", start);
    const auto bodies = Receive(1);
    return bodies.empty() ? "" : bodies[0];
  };
  EXPECT_EQ(first({LiteStart::Kind::kMin}), "a0");
  EXPECT_EQ(first({LiteStart::Kind::kOffset, 3}), "a3");
  EXPECT_EQ(first({LiteStart::Kind::kTailN, 1}), "a4");
  EXPECT_EQ(first({LiteStart::Kind::kTailN, 100}), "a0");
  EXPECT_EQ(first({LiteStart::Kind::kTimestamp, third_ms}), "a2");
  EXPECT_EQ(first({LiteStart::Kind::kMax}), "");
}

TEST_F(LiteTopicsTest, AGroupThatBeginsLateMissesWhatWasThereWhenItSubscribed) {
  GroupConfig group;
  group.name = "G";
  group.consume_from = ConsumeFrom::kLast;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Send("a", "before");
  Subscribe({"a", "b"});
  Send("a", "after");
  Send("b", "first");
  EXPECT_THAT(Receive(), UnorderedElementsAre("after", "first"));
}

TEST_F(LiteTopicsTest, OneThatFailsTooOftenIsDeadLettered) {
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  Send("a", "a1");
  Send("a", "a2");
  Subscribe({"a"});
  ASSERT_THAT(Receive(1), ElementsAre("a1"));
  const std::string topic = LiteTopicName("P", "a");
  ASSERT_TRUE(member_.Nack("G", topic, held_.at("a1").receipt_handle).ok());
  EXPECT_THAT(Receive(), IsEmpty());
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(Receive(), ElementsAre("a2"));
  EXPECT_THAT(member_.ReceiveBodies("G2", "%DLQ%G"), ElementsAre("a1"));
}

class LiteListener final : public ArrivalListener {
 public:
  void OnArrival(const std::string& topic, QueueId, const Arrival&) override {
    told.push_back(topic);
  }
  std::vector<std::string> told;
};

// A receive looks at what is applied, which may not have the ack yet that its client was answered.
TEST_F(LiteTopicsTest, WhoWaitsIsToldWhenWhatHeldTheNextMessageUpIsAppliedAsAckedOrDeadLettered) {
  GroupConfig group;
  group.name = "G";
  group.retry_max_times = 0;
  ASSERT_TRUE(member_.UpdateGroup(group).ok());
  for (const char* body : {"a1", "a2", "a3"}) Send("a", body);
  Subscribe({"a"});
  LiteListener listener;
  member_.store().SetArrivalListener(&listener);
  const std::string topic = LiteTopicName("P", "a");
  ASSERT_THAT(Receive(1), ElementsAre("a1"));
  EXPECT_THAT(listener.told, IsEmpty());
  Ack("a1");
  EXPECT_THAT(listener.told, ElementsAre(topic));
  ASSERT_THAT(Receive(1), ElementsAre("a2"));
  ASSERT_TRUE(member_.Nack("G", topic, held_.at("a2").receipt_handle).ok());
  listener.told.clear();
  ASSERT_EQ(member_.DeadLetterDue(), 1);
  EXPECT_THAT(listener.told, testing::Contains(topic));
  EXPECT_THAT(Receive(1), ElementsAre("a3"));
  member_.Kill();
}

TEST(LiteTopicNames, AreMadeAndTakenApart) {
  const std::string name = LiteTopicName("orders", "s-1");
  EXPECT_EQ(name, "%LMQ%$orders$s-1");
  EXPECT_TRUE(IsLiteTopic(name));
  EXPECT_EQ(ParentOfLite(name), "orders");
  EXPECT_EQ(LiteTopicOf(name), "s-1");
  for (const char* other : {"orders", "%LMQ%orders", "%LMQ%$orders", ""}) {
    EXPECT_EQ(ParentOfLite(other), "") << other;
    EXPECT_EQ(LiteTopicOf(other), "") << other;
  }
  EXPECT_FALSE(CheckTopicName(name).ok()) << "nobody may make one by hand";
}

}  // namespace
}  // namespace raftmq::store
