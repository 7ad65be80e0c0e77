// SendMessageBack, the classic model's retries and dead letters, against real brokers, over real
// connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "raftmq/v1/consumers.grpc.pb.h"

namespace raftmq::broker {
namespace {

namespace v1 = ::raftmq::v1;

constexpr char kGroup[] = "billing";
constexpr char kRetry[] = "%RETRY%billing";
constexpr char kDlq[] = "%DLQ%billing";
// Longer than any test.
constexpr int32_t kLongLevel = 5;
constexpr int64_t kHourMs = 3'600'000;

std::string Folder() {
  return StrCat(testing::TempDir(), "/send-back-",
                testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
}

// Levels 3 and 4, of the first two retries, are over soon, so that they can be read.
void WithLongDelays(BrokerConfig* config) { config->messageDelayLevel = "1h 1h 1s 1s 2h 3h"; }

class Consumer {
 public:
  explicit Consumer(int port)
      : client_(port, "CPP"),
        stub_(v1::Consumers::NewStub(
            grpc::CreateChannel(StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()))) {}

  const BrokerClient& client() const { return client_; }

  struct Asked {
    std::optional<int32_t> max_retries;
    int32_t level = 0;
    int32_t queue = 0;
  };
  // Whether it was dead-lettered.
  bool SendBack(const std::string& topic, int64_t offset) {
    return SendBack(topic, offset, Asked());
  }
  bool SendBack(const std::string& topic, int64_t offset, Asked asked) {
    v1::SendMessageBackRequest request;
    request.set_group(kGroup);
    request.set_topic(topic);
    request.set_queue(asked.queue);
    request.set_offset(offset);
    request.set_delay_level(asked.level);
    if (asked.max_retries.has_value()) request.set_max_retries(*asked.max_retries);
    v1::SendMessageBackResponse response;
    const grpc::Status status = Try(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.dead_lettered();
  }
  grpc::Status Try(const v1::SendMessageBackRequest& request,
                   v1::SendMessageBackResponse* response) {
    grpc::ClientContext context;
    client_.Fill(&context);
    return stub_->SendMessageBack(&context, request, response);
  }

  // Returns when they can be read.
  void Send(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      const auto sent = client_.Send(BrokerClient::MakeMessage("orders", id, id));
      EXPECT_EQ(sent.status().code(), v2::OK) << sent.status().message();
    }
    EXPECT_EQ(AwaitStored("orders", ids.size()).size(), ids.size());
  }

  // All that is in the queue.
  std::vector<adm::StoredMessage> Stored(const std::string& topic, int32_t queue) {
    grpc::ClientContext context;
    client_.Fill(&context);
    adm::MessageByOffsetRequest request;
    request.set_topic(topic);
    request.set_queue(queue);
    request.set_max_messages(32);
    adm::QueryMessagesResponse response;
    client_.admin()->MessageByOffset(&context, request, &response);
    return {response.messages().begin(), response.messages().end()};
  }

  // Once there are that many, or after a while.
  std::vector<adm::StoredMessage> AwaitStored(const std::string& topic, size_t count,
                                              int32_t queue = 0) {
    return Await(count, [&] { return Stored(topic, queue); });
  }

  // The delayed messages that are not delivered yet.
  std::vector<adm::StoredMessage> AwaitDelayed(size_t count) {
    return Await(count, [&] {
      std::vector<adm::StoredMessage> delayed;
      std::istringstream lines(client_.DumpState());
      for (std::string line; std::getline(lines, line);) {
        const size_t at = line.find(" position=");
        if (line.starts_with("timer ") && at != std::string::npos) {
          delayed.push_back(At(std::stoll(line.substr(at + 10))));
        }
      }
      return delayed;
    });
  }

 private:
  template <typename Look>
  static std::vector<adm::StoredMessage> Await(size_t count, Look look) {
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 20'000;
    std::vector<adm::StoredMessage> found;
    do {
      found = look();
    } while (found.size() < count && SystemClock()->MonotonicMillis() < give_up_ms);
    return found;
  }

  adm::StoredMessage At(int64_t position) {
    grpc::ClientContext context;
    client_.Fill(&context);
    adm::MessageByPositionRequest request;
    request.set_position(position);
    adm::QueryMessagesResponse response;
    client_.admin()->MessageByPosition(&context, request, &response);
    return response.messages_size() == 1 ? response.messages(0) : adm::StoredMessage();
  }

  BrokerClient client_;
  std::unique_ptr<v1::Consumers::Stub> stub_;
};

std::vector<std::string> IdsOf(const std::vector<adm::StoredMessage>& messages) {
  std::vector<std::string> ids;
  for (const adm::StoredMessage& message : messages) ids.push_back(message.message_id());
  return ids;
}

class SendBackTest : public testing::Test {
 protected:
  void SetUp() override {
    group_.StartAll();
    consumer_ = std::make_unique<Consumer>(group_.port(0));
    ASSERT_TRUE(client().UpdateTopic("orders", 1).ok());
    ASSERT_TRUE(UpdateGroup().ok());
  }
  grpc::Status UpdateGroup(int32_t retries = 16, const adm::RetryPolicy& policy = {}) {
    grpc::ClientContext context;
    client().Fill(&context);
    adm::UpdateGroupRequest request;
    request.set_name(kGroup);
    request.set_retry_max_times(retries);
    *request.mutable_retry_policy() = policy;
    adm::UpdateGroupResponse response;
    return client().admin()->UpdateGroup(&context, request, &response);
  }
  // Of the message, which was read there, until it is dead: one retry before.
  adm::StoredMessage DeadLetterOf(const std::string& topic, int32_t queue, int64_t offset) {
    EXPECT_FALSE(consumer_->SendBack(topic, offset, {.max_retries = 1, .queue = queue}));
    EXPECT_EQ(consumer_->AwaitStored(kRetry, 1).size(), 1);
    EXPECT_TRUE(consumer_->SendBack(kRetry, 0, {.max_retries = 1}));
    const std::vector<adm::StoredMessage> dead = consumer_->AwaitStored(kDlq, 1);
    EXPECT_EQ(dead.size(), 1);
    return dead.empty() ? adm::StoredMessage() : dead[0];
  }
  adm::DeadLetter Redrive() {
    grpc::ClientContext context;
    client().Fill(&context);
    adm::RedriveDeadLettersRequest request;
    request.set_group(kGroup);
    adm::RedriveDeadLettersResponse response;
    const grpc::Status status = client().admin()->RedriveDeadLetters(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.messages_size(), 1);
    return response.messages_size() == 0 ? adm::DeadLetter() : response.messages(0);
  }
  const BrokerClient& client() const { return consumer_->client(); }

  BrokerGroup group_{{.folder = Folder(), .members = 1, .configure = WithLongDelays}};
  std::unique_ptr<Consumer> consumer_;
};

TEST_F(SendBackTest, ARepeatedRequestLeavesOneCopy) {
  consumer_->Send({"A1", "A2"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_FALSE(consumer_->SendBack("orders", 1, {.level = kLongLevel}));
  EXPECT_THAT(IdsOf(consumer_->AwaitDelayed(2)), testing::UnorderedElementsAre("A1", "A2"));
}

TEST_F(SendBackTest, ARepeatedRequestLeavesOneDeadLetter) {
  consumer_->Send({"A1", "A2"});
  EXPECT_TRUE(consumer_->SendBack("orders", 0, {.max_retries = 0}));
  EXPECT_TRUE(consumer_->SendBack("orders", 0, {.max_retries = 0}));
  EXPECT_TRUE(consumer_->SendBack("orders", 1, {.max_retries = 0}));
  EXPECT_THAT(IdsOf(consumer_->AwaitStored(kDlq, 2)), testing::ElementsAre("A1", "A2"));
}

TEST_F(SendBackTest, EachAttemptThatFailsIsACopyOfItsOwn) {
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(IdsOf(consumer_->AwaitStored(kRetry, 1)), std::vector<std::string>{"A1"});
  EXPECT_FALSE(consumer_->SendBack(kRetry, 0));
  const std::vector<adm::StoredMessage> second = consumer_->AwaitDelayed(1);
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].message_id(), "A1");
  EXPECT_EQ(second[0].properties().at("RECONSUME_TIME"), "2");
  EXPECT_EQ(second[0].properties().at("RETRY_TOPIC"), "orders");
}

// They would else be lost on a group that goes back soon after it failed.
TEST_F(SendBackTest, WhatIsReadOnceMoreByAnOperatorsWishIsACopyOfItsOwn) {
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  adm::MoveOffsetsRequest request;
  request.set_group(kGroup);
  request.set_topic("orders");
  request.set_begin(true);
  grpc::ClientContext context;
  client().Fill(&context);
  adm::MoveOffsetsResponse response;
  const grpc::Status moved = client().admin()->MoveOffsets(&context, request, &response);
  ASSERT_TRUE(moved.ok()) << moved.error_message();
  EXPECT_FALSE(consumer_->SendBack("orders", 0, {.level = kLongLevel}));
  EXPECT_EQ(IdsOf(consumer_->AwaitDelayed(2)), (std::vector<std::string>{"A1", "A1"}));
}

constexpr char kMessageGroup[] = "__SHARDINGKEY";
constexpr char kPriority[] = "_SYS_MSG_PRIORITY_";

TEST_F(SendBackTest, ADeadLetterKeepsMessageGroupAndOriginAndGoesBackToIts) {
  ASSERT_TRUE(client().UpdateTopic("steps", 4, adm::FIFO).ok());
  v2::Message message = BrokerClient::MakeMessage("steps", "step", "A1", "order-7");
  (*message.mutable_user_properties())["color"] = "red";
  const v2::SendMessageResponse first = client().Send(message);
  ASSERT_EQ(first.status().code(), v2::OK) << first.status().message();
  message.mutable_system_properties()->set_message_id("A2");
  ASSERT_EQ(client().Send(message).status().code(), v2::OK);
  int32_t queue = 0;  // the one that the message group is in
  while (consumer_->Stored("steps", queue).size() < 2) queue = (queue + 1) % 4;

  const adm::StoredMessage dead = DeadLetterOf("steps", queue, 1);
  const std::map<std::string, std::string> properties(dead.properties().begin(),
                                                      dead.properties().end());
  const auto is = [&](const char* name, const std::string& value) {
    return testing::Contains(testing::Pair(name, value));
  };
  EXPECT_EQ(dead.message_id(), "A2");
  EXPECT_EQ(dead.body(), "step");
  EXPECT_THAT(properties, is(kMessageGroup, "order-7"));
  EXPECT_THAT(properties, is("color", "red"));
  EXPECT_THAT(properties, is("DLQ_ORIGIN_TOPIC", "steps"));
  EXPECT_THAT(properties, is("DLQ_ORIGIN_MESSAGE_ID", "A2"));
  EXPECT_THAT(properties, is("DLQ_ORIGIN_QUEUE_ID", StrCat(queue)));
  EXPECT_THAT(properties, is("DLQ_ORIGIN_OFFSET", "1"));
  EXPECT_THAT(properties, is("DLQ_ORIGIN_GROUP", kGroup));
  EXPECT_THAT(properties, is("DLQ_REASON", "MAX_ATTEMPTS"));
  EXPECT_FALSE(properties.contains("RETRY_TOPIC"));
  EXPECT_EQ(dead.reconsume_times(), 2);

  const adm::DeadLetter redriven = Redrive();
  EXPECT_EQ(redriven.failure(), "");
  EXPECT_EQ(redriven.attempts(), 2);
  EXPECT_EQ(redriven.origin_topic(), "steps");
  EXPECT_EQ(redriven.reason(), "MAX_ATTEMPTS");
  const std::vector<adm::StoredMessage> back = consumer_->AwaitStored("steps", 3, queue);
  ASSERT_EQ(back.size(), 3);
  EXPECT_EQ(back[2].message_id(), "A2");
  EXPECT_EQ(back[2].properties().at(kMessageGroup), "order-7");
  EXPECT_FALSE(back[2].properties().contains("DLQ_ORIGIN_QUEUE_ID"));
  EXPECT_FALSE(back[2].properties().contains("RECONSUME_TIME"));
}

TEST_F(SendBackTest, ADeadLetterKeepsPriorityAndGoesBackToIt) {
  ASSERT_TRUE(client().UpdateTopic("urgent", 4, adm::PRIORITY).ok());
  v2::Message message = BrokerClient::MakeMessage("urgent", "now", "A1");
  message.mutable_system_properties()->set_priority(2);
  message.mutable_system_properties()->set_message_type(v2::PRIORITY);
  const v2::SendMessageResponse sent = client().Send(message);
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  ASSERT_EQ(consumer_->AwaitStored("urgent", 1, 2).size(), 1);
  const adm::StoredMessage dead = DeadLetterOf("urgent", 2, 0);
  EXPECT_EQ(dead.properties().at(kPriority), "2");
  EXPECT_EQ(dead.properties().at("DLQ_ORIGIN_QUEUE_ID"), "2");
  EXPECT_EQ(Redrive().failure(), "");
  const std::vector<adm::StoredMessage> back = consumer_->AwaitStored("urgent", 2, 2);
  ASSERT_EQ(back.size(), 2);
  EXPECT_EQ(back[1].properties().at(kPriority), "2");
}

TEST_F(SendBackTest, TheGroupSaysHowOftenAMessageComesAgain) {
  ASSERT_TRUE(UpdateGroup(1).ok());
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(consumer_->AwaitStored(kRetry, 1).size(), 1);
  EXPECT_TRUE(consumer_->SendBack(kRetry, 0));
  EXPECT_EQ(consumer_->AwaitStored(kDlq, 1).size(), 1);
}

int64_t DelayMsOf(const adm::StoredMessage& message) {
  return std::stoll(message.properties().at("TIMER_OUT_MS")) - message.store_ms();
}

TEST_F(SendBackTest, EachRetryIsALevelLaterThanTheOneBefore) {
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(consumer_->AwaitStored(kRetry, 1).size(), 1);
  EXPECT_FALSE(consumer_->SendBack(kRetry, 0));
  const std::vector<adm::StoredMessage> copies = consumer_->AwaitStored(kRetry, 2);
  ASSERT_EQ(copies.size(), 2);
  EXPECT_EQ(copies[0].properties().at("TIMER_DELAY_LEVEL"), "3");
  EXPECT_EQ(copies[1].properties().at("TIMER_DELAY_LEVEL"), "4");
  EXPECT_FALSE(consumer_->SendBack(kRetry, 1));
  const std::vector<adm::StoredMessage> third = consumer_->AwaitDelayed(1);
  ASSERT_EQ(third.size(), 1);
  EXPECT_EQ(third[0].properties().at("TIMER_DELAY_LEVEL"), "5");
  EXPECT_NEAR(DelayMsOf(third[0]), 2 * kHourMs, 60'000);
}

TEST_F(SendBackTest, AGroupsOwnListOfDelaysIsKeptUnlessTheConsumerAsksForALevel) {
  adm::RetryPolicy policy;
  for (const int64_t ms : {int64_t{50}, 5 * kHourMs}) policy.mutable_customized()->add_next_ms(ms);
  ASSERT_TRUE(UpdateGroup(16, policy).ok());
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(consumer_->AwaitStored(kRetry, 1).size(), 1);
  EXPECT_FALSE(consumer_->SendBack(kRetry, 0));
  std::vector<adm::StoredMessage> delayed = consumer_->AwaitDelayed(1);
  ASSERT_EQ(delayed.size(), 1);
  EXPECT_FALSE(delayed[0].properties().contains("TIMER_DELAY_LEVEL"));
  EXPECT_NEAR(DelayMsOf(delayed[0]), 5 * kHourMs, 60'000);

  ASSERT_EQ(client().Send(BrokerClient::MakeMessage("orders", "A2", "A2")).status().code(), v2::OK);
  ASSERT_EQ(consumer_->AwaitStored("orders", 2).size(), 2);
  EXPECT_FALSE(consumer_->SendBack("orders", 1, {.level = kLongLevel}));
  delayed = consumer_->AwaitDelayed(2);
  ASSERT_EQ(delayed.size(), 2);
  const adm::StoredMessage& asked = delayed[delayed[0].message_id() == "A2" ? 0 : 1];
  EXPECT_EQ(asked.message_id(), "A2");
  EXPECT_NEAR(DelayMsOf(asked), 2 * kHourMs, 60'000);
}

TEST_F(SendBackTest, AGroupsOwnExponentialDelaysAreKept) {
  adm::RetryPolicy policy;
  policy.mutable_exponential()->set_initial_ms(100);
  policy.mutable_exponential()->set_max_ms(12 * kHourMs);
  policy.mutable_exponential()->set_multiplier(1'000);
  ASSERT_TRUE(UpdateGroup(16, policy).ok());
  consumer_->Send({"A1"});
  EXPECT_FALSE(consumer_->SendBack("orders", 0));
  ASSERT_EQ(consumer_->AwaitStored(kRetry, 1).size(), 1);
  EXPECT_FALSE(consumer_->SendBack(kRetry, 0));
  const std::vector<adm::StoredMessage> delayed = consumer_->AwaitDelayed(1);
  ASSERT_EQ(delayed.size(), 1);
  EXPECT_NEAR(DelayMsOf(delayed[0]), 100'000, 30'000);
}

class GroupOfThreeTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }

  BrokerGroup group_{{.folder = Folder(), .configure = WithLongDelays}};
};

// The first answer is taken for lost: the consumer asks the members that are left.
TEST_F(GroupOfThreeTest, ARequestThatIsRepeatedAtTheNextLeaderLeavesOneCopy) {
  int leader = 0;
  {
    const BrokerClient client(group_.port(0), "CPP");
    ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
    leader = static_cast<int>(client.MemberStatus().leader_id()) - 1;
    Consumer consumer(group_.port(leader));
    consumer.Send({"A1", "A2"});
    EXPECT_FALSE(consumer.SendBack("orders", 0, {.level = kLongLevel}));
    EXPECT_TRUE(consumer.SendBack("orders", 1, {.max_retries = 0}));
  }
  group_.Stop(leader);
  Consumer others[] = {Consumer(group_.port((leader + 1) % 3)),
                       Consumer(group_.port((leader + 2) % 3))};
  const auto repeat = [&](int64_t offset, int32_t max_retries) {
    v1::SendMessageBackRequest request;
    request.set_group(kGroup);
    request.set_topic("orders");
    request.set_offset(offset);
    request.set_delay_level(kLongLevel);
    request.set_max_retries(max_retries);
    const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 30'000;
    for (int i = 0;; ++i) {
      v1::SendMessageBackResponse response;
      const grpc::Status status = others[i % 2].Try(request, &response);
      if (status.ok()) return;
      ASSERT_LT(SystemClock()->MonotonicMillis(), give_up_ms) << status.error_message();
    }
  };
  repeat(0, 16);
  repeat(1, 0);
  // What is stored once more would be behind these.
  repeat(1, 16);
  repeat(0, 0);
  EXPECT_THAT(IdsOf(others[0].AwaitDelayed(2)), testing::UnorderedElementsAre("A1", "A2"));
  EXPECT_THAT(IdsOf(others[0].AwaitStored(kDlq, 2)), testing::ElementsAre("A2", "A1"));
}

}  // namespace
}  // namespace raftmq::broker
