// Each kind of message that the client can send, against real brokers: delayed and recalled, with a
// priority, compressed; and filters by tag and by SQL.
#include <map>

#include "base/random.h"
#include "client/pull_consumer.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class MessageKindsTest : public ClientTest {
 protected:
  void SetUp() override {
    StartNameServers(1);
    StartGroups(1, 1);
  }

  void SendTagged(Producer* producer, const std::string& topic,
                  const std::vector<std::string>& tags) {
    for (const std::string& tag : tags) {
      Message message = Make(topic, StrCat("tag ", tag));
      message.tag = tag;
      auto receipt = producer->Send(message);
      ASSERT_TRUE(receipt.ok()) << receipt.status();
    }
  }

  // So many messages of topic "long", as an official client gets them.
  static std::vector<v2::Message> ReceiveAs(const broker::BrokerClient& official, size_t count) {
    std::vector<v2::Message> messages;
    WaitUntil([&] {
      auto some = official.Receive(broker::BrokerClient::MakeReceive("long", "official", 2));
      std::move(some.messages.begin(), some.messages.end(), std::back_inserter(messages));
      return messages.size() >= count;
    });
    return messages;
  }

  // What the selector lets through of the `stored` messages of a topic, once all are applied.
  std::vector<std::string> PullAll(const std::string& topic, int64_t stored,
                                   const MessageSelector& selector) {
    PullConsumerOptions options;
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "pullers";
    auto consumer = PullConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    auto queues = (*consumer)->FetchSubscribeMessageQueues(topic);
    CHECK(queues.ok()) << queues.status();
    WaitUntil([&] {
      int64_t applied = 0;
      for (const MessageQueue& queue : *queues) {
        const auto max = (*consumer)->MaxOffset(queue);
        if (max.ok()) applied += max->value();
      }
      return applied == stored;
    });
    std::vector<std::string> bodies;
    for (const MessageQueue& queue : *queues) {
      QueueOffset offset(0);
      for (;;) {
        auto pulled = (*consumer)->Pull(queue, selector, offset, 32);
        if (!pulled.ok()) return {std::string(pulled.status().message())};
        for (const ReceivedMessage& m : pulled->messages) bodies.push_back(m.body);
        if (pulled->next_begin_offset == offset) break;
        offset = pulled->next_begin_offset;
      }
    }
    return bodies;
  }

  // The `count` messages that a push consumer of a topic with one queue gets.
  std::vector<std::string> PushAll(const std::string& topic, size_t count,
                                   const MessageSelector& selector) {
    absl::Mutex mu;
    std::vector<std::string> bodies;
    PushConsumerOptions options;
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "pushed";
    options.subscription = {{topic, selector}};
    options.orderly = [&](const auto& messages, auto&) {
      absl::MutexLock lock(&mu);
      for (const ReceivedMessage& m : messages) bodies.push_back(m.body);
      return ConsumeOrderlyStatus::kSuccess;
    };
    auto consumer = PushConsumer::Start(std::move(options));
    CHECK(consumer.ok()) << consumer.status();
    WaitUntil([&] {
      absl::MutexLock lock(&mu);
      return bodies.size() >= count;
    });
    consumer->reset();
    return bodies;
  }
};

TEST_F(MessageKindsTest, ADelayedMessageComesWhenItIsDueAndNotBefore) {
  CreateTopic("later", 2, ::raftmq::v1::DELAY);
  auto producer = StartProducer();
  const int64_t sent_ms = SystemClock()->WallMillis();
  Message by_level = Make("later", "level");
  by_level.delay_level = 1;  // 1 s
  Message by_time = Make("later", "time");
  by_time.deliver_ms = sent_ms + 700;
  ASSERT_TRUE(producer->SendBatch({by_level}).ok());
  ASSERT_TRUE(producer->Send(by_time).ok());
  auto consumer = StartConsumer("later");
  std::map<std::string, int64_t> came_ms;
  WaitUntil([&] {
    auto messages = consumer->Receive(32);
    if (messages.ok()) {
      for (const auto& m : *messages) came_ms[m.body] = SystemClock()->WallMillis() - sent_ms;
    }
    return came_ms.size() == 2;
  });
  EXPECT_GE(came_ms["level"], 1'000);
  EXPECT_GE(came_ms["time"], 700);
  EXPECT_LT(came_ms["time"], 5'000);
}

TEST_F(MessageKindsTest, ARecalledMessageNeverComes) {
  CreateTopic("later", 1, ::raftmq::v1::DELAY);
  auto producer = StartProducer();
  Message message = Make("later", "never");
  message.deliver_ms = SystemClock()->WallMillis() + 1'500;
  auto receipt = producer->Send(message);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_FALSE(receipt->recall_handle.empty());
  auto recalled = producer->Recall("later", *receipt);
  ASSERT_TRUE(recalled.ok()) << recalled.status();
  EXPECT_EQ(*recalled, receipt->message_id);
  EXPECT_EQ(producer->Recall("later", *receipt).status().code(), absl::StatusCode::kNotFound);
  message.body = "after it";
  ASSERT_TRUE(producer->Send(message).ok());
  EXPECT_THAT(ReceiveBodies(StartConsumer("later").get(), 1), ElementsAre("after it"));
  EXPECT_THAT(std::string(producer->Recall("later", SendReceipt()).status().message()),
              HasSubstr("is not delayed"));
}

TEST_F(MessageKindsTest, KindsThatExcludeEachOtherAreRefused) {
  CreateTopic("mixed", 1, ::raftmq::v1::MIXED);
  auto producer = StartProducer();
  Message both = Make("mixed", "x");
  both.delay_level = 3;
  both.deliver_ms = 1;
  EXPECT_THAT(std::string(producer->Send(both).status().message()), HasSubstr("give one of them"));
  both.deliver_ms.reset();
  both.message_group = "g";
  EXPECT_EQ(producer->Send(both).status().code(), absl::StatusCode::kInvalidArgument);
  both.delay_level = -1;
  EXPECT_EQ(producer->Send(both).status().code(), absl::StatusCode::kInvalidArgument);
  Message priority = Make("mixed", "x");
  priority.priority = 1;
  priority.message_group = "g";
  EXPECT_EQ(producer->Send(priority).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MessageKindsTest, WhatHasAHigherPriorityIsReceivedFirst) {
  CreateTopic("urgent", 3, ::raftmq::v1::PRIORITY);
  auto producer = StartProducer();
  for (const int priority : {0, 2, 1, 2, 0}) {
    Message message = Make("urgent", StrCat(priority));
    message.priority = priority;
    auto receipt = producer->Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_FALSE(receipt->queue.has_value()) << "the broker maps it";
  }
  PullAll("urgent", 5, "*");  // waits until all are there
  auto received = StartConsumer("urgent")->Receive(32);
  ASSERT_TRUE(received.ok()) << received.status();
  std::vector<std::string> bodies;
  for (const ReceivedMessage& m : *received) {
    bodies.push_back(m.body);
    EXPECT_EQ(StrCat(m.priority.value_or(-1)), m.body);
  }
  EXPECT_THAT(bodies, ElementsAre("2", "2", "1", "0", "0"));
}

// Java's String.hashCode of "Aa" and "BB" is the same; consume queues hold only the hash.
TEST_F(MessageKindsTest, TagsWhoseHashesAreTheSameAreToldApart) {
  CreateTopic("tags", 1);
  auto producer = StartProducer();
  SendTagged(producer.get(), "tags", {"Aa", "BB", "C", "BB", "Aa"});
  EXPECT_THAT(PullAll("tags", 5, "Aa"), ElementsAre("tag Aa", "tag Aa"));
  EXPECT_THAT(PullAll("tags", 5, "BB || C"), ElementsAre("tag BB", "tag C", "tag BB"));
  SimpleConsumerOptions options;
  options.subExpression = "Aa || C";
  EXPECT_THAT(ReceiveBodies(StartConsumer("tags", options).get(), 3),
              ElementsAre("tag Aa", "tag C", "tag Aa"));

  EXPECT_THAT(PushAll("tags", 2, "BB"), ElementsAre("tag BB", "tag BB"));
}

TEST_F(MessageKindsTest, SqlFiltersByPropertiesForEveryKindOfConsumer) {
  CreateTopic("prices", 1);
  auto producer = StartProducer();
  for (int i = 0; i < 6; ++i) {
    Message message = Make("prices", StrCat(i));
    message.properties = {{"price", StrCat(i * 10)}, {"region", i % 2 == 0 ? "eu" : "us"}};
    ASSERT_TRUE(producer->Send(message).ok());
  }
  const auto dear_in_eu = MessageSelector::BySql("price >= 20 AND region IN ('eu')");
  EXPECT_THAT(PullAll("prices", 6, dear_in_eu), ElementsAre("2", "4"));
  EXPECT_THAT(PullAll("prices", 6, MessageSelector::BySql("price > AND")),
              Each(HasSubstr("ILLEGAL_FILTER_EXPRESSION")));
  PushConsumerOptions bad;
  bad.namesrvAddr = NamesrvAddr();
  bad.consumerGroup = "pushed";
  bad.subscription = {{"prices", MessageSelector::BySql("price > AND")}};
  bad.orderly = [](const auto&, auto&) { return ConsumeOrderlyStatus::kSuccess; };
  const absl::Status refused = PushConsumer::Start(std::move(bad)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("price > AND"), HasSubstr("ILLEGAL_FILTER_EXPRESSION")));
  SimpleConsumerOptions options;
  options.subExpression = dear_in_eu;
  EXPECT_THAT(ReceiveBodies(StartConsumer("prices", options).get(), 2), ElementsAre("2", "4"));

  EXPECT_THAT(PushAll("prices", 3, MessageSelector::BySql("region = 'us'")),
              ElementsAre("1", "3", "5"));
}

TEST_F(MessageKindsTest, AMessageWithoutATopicOrBeyondALimitIsRefusedWithTheLimit) {
  CreateTopic("limits", 1);
  auto producer = StartProducer();
  const auto refusal = [&](Message message) {
    const absl::Status status = producer->Send(std::move(message)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal(Make("", "x")), HasSubstr("without a topic"));
  EXPECT_THAT(refusal(Make(std::string(128, 't'), "x")), HasSubstr("expected 1 to 127 letters"));
  EXPECT_THAT(refusal(Make("white space", "x")), HasSubstr("topic \"white space\""));
  Message message = Make("limits", "x");
  message.tag = "a|b";
  EXPECT_THAT(refusal(message), HasSubstr("ILLEGAL_MESSAGE_TAG"));
  message.tag = "";
  message.keys = {" "};
  EXPECT_THAT(refusal(message), HasSubstr("ILLEGAL_MESSAGE_KEY"));
  message.keys = {};
  message.properties = {{"TAGS", "x"}};
  EXPECT_THAT(refusal(message), HasSubstr("ILLEGAL_MESSAGE_PROPERTY_KEY"));
  message.properties = {{"big", std::string(17 << 10, 'x')}};
  EXPECT_THAT(refusal(message), HasSubstr("16384 are allowed"));
  message.properties = {{"as much as fits", std::string((16 << 10) - 15, 'x')}};
  EXPECT_TRUE(producer->Send(message).ok());
}

// ---- Compression

std::string LongText(int bytes) {
  std::string text;
  for (int i = 0; static_cast<int>(text.size()) < bytes; ++i) text += StrCat("line ", i, "\n");
  text.resize(bytes);
  return text;
}

TEST_F(MessageKindsTest, LongBodiesTravelCompressedAndAreReceivedAsTheyWereSent) {
  CreateTopic("long", 1);
  auto producer = StartProducer();
  const std::string small = LongText(4'095);
  const std::string large = LongText(500'000);
  ASSERT_TRUE(producer->SendBatch({Make("long", small), Make("long", large)}).ok());
  EXPECT_THAT(PullAll("long", 2, "*"), ElementsAre(small, large));
  EXPECT_THAT(ReceiveBodies(StartConsumer("long").get(), 2), ElementsAre(small, large));

  // What an official client gets: the encoding says what it is.
  const broker::BrokerClient official(groups_[0]->port(0), "JAVA");
  const auto messages = ReceiveAs(official, 2);
  ASSERT_THAT(messages, SizeIs(2));
  EXPECT_EQ(messages[0].system_properties().body_encoding(), v2::IDENTITY);
  EXPECT_EQ(messages[0].body(), small);
  EXPECT_EQ(messages[1].system_properties().body_encoding(), v2::GZIP);
  EXPECT_LT(messages[1].body().size(), large.size() / 2);
  EXPECT_EQ(messages[1].body().substr(0, 2), "\x1f\x8b") << "gzip";
}

TEST_F(MessageKindsTest, ABodyThatDoesNotShrinkIsSentAsItIs) {
  CreateTopic("long", 1);
  std::string noise;
  Random random(3);
  while (noise.size() < 8'192) noise.push_back(static_cast<char>(random.Next()));
  ProducerOptions never;
  never.compressMsgBodyOverHowmuch = 1 << 30;
  ASSERT_TRUE(StartProducer()->Send(Make("long", noise)).ok());
  ASSERT_TRUE(StartProducer(never)->Send(Make("long", LongText(8'192))).ok());
  const broker::BrokerClient official(groups_[0]->port(0), "JAVA");
  const auto messages = ReceiveAs(official, 2);
  ASSERT_THAT(messages, SizeIs(2));
  for (const v2::Message& m : messages) {
    EXPECT_EQ(m.system_properties().body_encoding(), v2::IDENTITY);
  }
}

TEST_F(MessageKindsTest, ABodyMarkedAsCompressedThatIsNotIsGivenAsItIsAndSaysSo) {
  CreateTopic("long", 1);
  const broker::BrokerClient official(groups_[0]->port(0), "JAVA");
  v2::Message bad = broker::BrokerClient::MakeMessage("long", "not gzip", "id-1");
  bad.mutable_system_properties()->set_body_encoding(v2::GZIP);
  EXPECT_EQ(official.Send(bad).status().code(), v2::OK);
  auto received = StartConsumer("long")->Receive(1);
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_THAT(*received, SizeIs(1));
  EXPECT_EQ((*received)[0].body, "not gzip");
  EXPECT_TRUE((*received)[0].still_compressed);
}

}  // namespace
}  // namespace raftmq::client
