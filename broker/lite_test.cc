// Lite topics against real brokers, over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr char kGroup[] = "agents";

std::string Folder() {
  return StrCat(testing::TempDir(), "/lite-",
                testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
}

v2::Message LiteMessage(const std::string& lite_topic, const std::string& body) {
  v2::Message message = BrokerClient::MakeMessage("sessions", body, StrCat("id-", body));
  message.mutable_system_properties()->set_message_type(v2::LITE);
  message.mutable_system_properties()->set_lite_topic(lite_topic);
  return message;
}

v2::Code Send(const BrokerClient& client, v2::Message message) {
  return client.Send(std::move(message)).status().code();
}

v2::Code Sync(const BrokerClient& client, v2::LiteSubscriptionAction action,
              std::vector<std::string> lite_topics, const std::string& topic = "sessions") {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(action);
  request.mutable_topic()->set_name(topic);
  request.mutable_group()->set_name(kGroup);
  for (std::string& lite_topic : lite_topics) request.add_lite_topic_set(std::move(lite_topic));
  v2::SyncLiteSubscriptionResponse response;
  EXPECT_TRUE(client.messaging()->SyncLiteSubscription(&context, request, &response).ok());
  return response.status().code();
}

std::vector<v2::Message> Receive(const BrokerClient& client, int64_t poll_seconds) {
  return client.Receive(BrokerClient::MakeReceive("sessions", kGroup, poll_seconds)).messages;
}

std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
  std::vector<std::string> bodies;
  for (const v2::Message& message : messages) bodies.push_back(message.body());
  return bodies;
}

class LitePushConsumer {
 public:
  explicit LitePushConsumer(const BrokerClient& client) {
    client.Fill(&context_, 60'000);
    stream_ = client.messaging()->Telemetry(&context_);
    v2::TelemetryCommand command;
    command.mutable_settings()->set_client_type(v2::LITE_PUSH_CONSUMER);
    v2::Subscription* subscription = command.mutable_settings()->mutable_subscription();
    subscription->mutable_group()->set_name(kGroup);
    subscription->add_subscriptions()->mutable_topic()->set_name("sessions");
    EXPECT_TRUE(stream_->Write(command));
    settings_ = Read().settings();
  }
  ~LitePushConsumer() { context_.TryCancel(); }

  v2::TelemetryCommand Read() {
    v2::TelemetryCommand command;
    EXPECT_TRUE(stream_->Read(&command));
    return command;
  }
  const v2::Settings& settings() const { return settings_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v2::TelemetryCommand, v2::TelemetryCommand>> stream_;
  v2::Settings settings_;
};

class LiteAloneTest : public testing::Test {
 protected:
  void SetUp() override {
    group_.StartAll();
    ASSERT_TRUE(Client().UpdateTopic("sessions", 4, adm::LITE).ok());
  }
  BrokerClient Client(const std::string& id = "c1") {
    BrokerClient client(group_.port(0), "JAVA");
    client.client_id = id;
    return client;
  }
  void SetGroup(bool exclusive, int32_t quota) {
    const BrokerClient client = Client();
    grpc::ClientContext context;
    client.Fill(&context, 30'000);
    adm::UpdateGroupRequest request;
    request.set_name(kGroup);
    request.set_lite_exclusive(exclusive);
    request.set_lite_client_quota(quota);
    adm::UpdateGroupResponse response;
    ASSERT_TRUE(client.admin()->UpdateGroup(&context, request, &response).ok());
    EXPECT_EQ(response.group().lite_exclusive(), exclusive);
  }

  BrokerGroup group_{
      {.folder = Folder(), .members = 1, .namesrvAddr = "", .configure = [](BrokerConfig* config) {
         config->maxLmqConsumeQueueNum = 3;
       }}};
};

TEST_F(LiteAloneTest, MessagesComeFromTheLiteTopicsThatWereSubscribed) {
  const BrokerClient client = Client();
  ASSERT_EQ(Send(client, LiteMessage("a", "a1")), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("b", "b1")), v2::OK);
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"a"}), v2::OK);
  const auto messages = Receive(client, 5);
  ASSERT_THAT(Bodies(messages), ElementsAre("a1"));
  const v2::SystemProperties& system = messages[0].system_properties();
  EXPECT_EQ(messages[0].topic().name(), "sessions");
  EXPECT_EQ(system.lite_topic(), "a");
  EXPECT_EQ(system.message_type(), v2::LITE);
  EXPECT_EQ(client.Ack(kGroup, messages[0]).status().code(), v2::OK);
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"b"}), v2::OK);
  EXPECT_THAT(Bodies(Receive(client, 5)), ElementsAre("b1"));
}

TEST_F(LiteAloneTest, MessagesOfSeveralLiteTopicsAreAckedAtOnce) {
  const BrokerClient client = Client();
  ASSERT_EQ(Sync(client, v2::COMPLETE_ADD, {"a", "b"}), v2::OK);
  for (const char* body : {"1", "2"}) {
    ASSERT_EQ(Send(client, LiteMessage("a", StrCat("a", body))), v2::OK);
    ASSERT_EQ(Send(client, LiteMessage("b", StrCat("b", body))), v2::OK);
  }
  // What was sent last may be applied after the first receive; of a lite topic nothing more comes
  // before what it gave is acked, so each is received as often as that takes.
  std::vector<v2::Message> messages = Receive(client, 5);
  std::vector<std::string> bodies = Bodies(messages);
  ASSERT_THAT(bodies, testing::Contains("a1"));
  for (int i = 0; i < 5 && bodies.size() < 2; ++i) {
    for (v2::Message& message : Receive(client, 1)) messages.push_back(std::move(message));
    bodies = Bodies(messages);
  }
  ASSERT_THAT(bodies, testing::IsSupersetOf({"a1", "b1"}));
  grpc::ClientContext context;
  client.Fill(&context);
  v2::AckMessageRequest request;
  request.mutable_group()->set_name(kGroup);
  request.mutable_topic()->set_name("sessions");
  for (const v2::Message& message : messages) {
    v2::AckMessageEntry* entry = request.add_entries();
    entry->set_receipt_handle(message.system_properties().receipt_handle());
    entry->set_lite_topic(message.system_properties().lite_topic());
  }
  v2::AckMessageResponse response;
  ASSERT_TRUE(client.messaging()->AckMessage(&context, request, &response).ok());
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_EQ(response.entries_size(), static_cast<int>(messages.size()));
}

TEST_F(LiteAloneTest, ThePythonClientsPiecesArePutTogether) {
  BrokerClient client(group_.port(0), "PYTHON");
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"c", "h", "a", "t", "-", "a"}), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("chat-a", "1")), v2::OK);
  EXPECT_THAT(Bodies(Receive(client, 5)), ElementsAre("1"));
}

TEST_F(LiteAloneTest, AParkedReceiveIsWokenByAMessageAndByASubscription) {
  const BrokerClient client = Client();
  const BrokerClient sender = Client("sender");
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"a"}), v2::OK);
  std::vector<v2::Message> woken;
  std::thread first = StartThread("receiver", [&] { woken = Receive(client, 10); });
  ASSERT_EQ(Send(sender, LiteMessage("other", "x")), v2::OK);
  ASSERT_EQ(Send(sender, LiteMessage("a", "a1")), v2::OK);
  first.join();
  EXPECT_THAT(Bodies(woken), ElementsAre("a1"));
  std::thread second = StartThread("receiver", [&] { woken = Receive(client, 10); });
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"other"}), v2::OK);
  second.join();
  EXPECT_THAT(Bodies(woken), ElementsAre("x"));
}

TEST_F(LiteAloneTest, ANackMakesItComeAgainAndSuspendingDoesNotCount) {
  const BrokerClient client = Client();
  const LitePushConsumer consumer(client);
  EXPECT_GT(consumer.settings().subscription().lite_subscription_quota(), 0);
  EXPECT_EQ(consumer.settings().subscription().max_lite_topic_size(), 64);
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"a"}), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("a", "a1")), v2::OK);
  auto messages = Receive(client, 5);
  ASSERT_THAT(Bodies(messages), ElementsAre("a1"));
  const auto change = [&](bool suspend, int32_t nanos) {
    grpc::ClientContext context;
    client.Fill(&context);
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_group()->set_name(kGroup);
    request.mutable_topic()->set_name("sessions");
    request.set_receipt_handle(messages[0].system_properties().receipt_handle());
    request.set_lite_topic("a");
    request.mutable_invisible_duration()->set_nanos(nanos);
    if (suspend) request.set_suspend(true);
    v2::ChangeInvisibleDurationResponse response;
    EXPECT_TRUE(client.messaging()->ChangeInvisibleDuration(&context, request, &response).ok());
    EXPECT_EQ(response.status().code(), v2::OK);
    EXPECT_THAT(response.receipt_handle(), testing::EndsWith("$a"));
  };
  change(true, 100'000'000);
  messages = Receive(client, 5);
  ASSERT_THAT(Bodies(messages), ElementsAre("a1"));
  change(false, 100'000'000);
  messages = Receive(client, 5);
  ASSERT_THAT(Bodies(messages), ElementsAre("a1"));
  EXPECT_EQ(client.Ack(kGroup, messages[0]).status().code(), v2::OK);
}

TEST_F(LiteAloneTest, WhatDoesNotFitIsRefusedWithItsCode) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
  v2::Message message = LiteMessage("a", "x");
  message.mutable_topic()->set_name("orders");
  EXPECT_EQ(Send(client, message), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send(client, BrokerClient::MakeMessage("sessions", "x", "1")),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Send(client, LiteMessage("a b", "x")), v2::ILLEGAL_LITE_TOPIC);
  EXPECT_EQ(Send(client, LiteMessage(std::string(65, 'a'), "x")), v2::ILLEGAL_LITE_TOPIC);
  message = LiteMessage("a", "x");
  message.mutable_system_properties()->clear_lite_topic();
  EXPECT_EQ(Send(client, message), v2::ILLEGAL_LITE_TOPIC);
  for (const char* lite_topic : {"a", "b", "c"}) {
    EXPECT_EQ(Send(client, LiteMessage(lite_topic, lite_topic)), v2::OK);
  }
  EXPECT_EQ(Send(client, LiteMessage("d", "d")), v2::LITE_TOPIC_QUOTA_EXCEEDED);
  EXPECT_EQ(Sync(client, v2::PARTIAL_ADD, {"a"}, "orders"), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Sync(client, v2::PARTIAL_ADD, {"a"}, "nowhere"), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Sync(client, v2::PARTIAL_ADD, {"$"}), v2::ILLEGAL_LITE_TOPIC);
  SetGroup(false, 2);
  EXPECT_EQ(Sync(client, v2::PARTIAL_ADD, {"a", "b"}), v2::OK);
  EXPECT_EQ(Sync(client, v2::PARTIAL_ADD, {"c"}), v2::LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
}

TEST_F(LiteAloneTest, WhoLosesAnExclusiveLiteTopicIsToldSo) {
  SetGroup(true, 2'000);
  const BrokerClient first = Client("first");
  const BrokerClient second = Client("second");
  LitePushConsumer consumer(first);
  ASSERT_EQ(Sync(first, v2::PARTIAL_ADD, {"a"}), v2::OK);
  ASSERT_EQ(Sync(second, v2::PARTIAL_ADD, {"a"}), v2::OK);
  const v2::TelemetryCommand notice = consumer.Read();
  EXPECT_EQ(notice.notify_unsubscribe_lite_command().lite_topic(), "a");
  ASSERT_EQ(Send(first, LiteMessage("a", "a1")), v2::OK);
  EXPECT_THAT(Bodies(Receive(first, 1)), IsEmpty());
  EXPECT_THAT(Bodies(Receive(second, 5)), ElementsAre("a1"));
}

TEST_F(LiteAloneTest, OperatorsSeeThemUnderTheirParent) {
  const BrokerClient client = Client();
  ASSERT_EQ(Send(client, LiteMessage("a", "a1")), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("b", "b1")), v2::OK);
  ASSERT_EQ(Sync(client, v2::PARTIAL_ADD, {"b"}), v2::OK);
  adm::TopicStatusRequest request;
  request.set_name("sessions");
  request.set_after_lite_topic("a");
  request.set_max_lite_topics(10);
  adm::TopicStatusResponse status;
  // The subscription shows a moment after it was made.
  while (status.lite_topics_size() == 0 || status.lite_topics(0).subscribers_size() == 0) {
    grpc::ClientContext context;
    client.Fill(&context);
    ASSERT_TRUE(client.admin()->TopicStatus(&context, request, &status).ok());
  }
  EXPECT_EQ(status.lite_topic_count(), 2);
  ASSERT_EQ(status.lite_topics_size(), 1);
  EXPECT_EQ(status.lite_topics(0).lite_topic(), "b");
  EXPECT_EQ(status.lite_topics(0).max_offset(), 1);
  EXPECT_THAT(status.lite_topics(0).subscribers(), ElementsAre("c1"));
  grpc::ClientContext list_context;
  client.Fill(&list_context);
  adm::ListTopicConfigsResponse topics;
  ASSERT_TRUE(client.admin()->ListTopics(&list_context, {}, &topics).ok());
  EXPECT_EQ(topics.topics_size(), 1);
}

TEST(LiteGroupTest, ASubscriptionOutlivesTheLeader) {
  BrokerGroup group({.folder = Folder(), .namesrvAddr = "", .configure = {}});
  group.StartAll();
  const auto leader = [&group] {
    while (true) {
      for (int i = 0; i < group.size(); ++i) {
        if (BrokerClient(group.port(i), "JAVA").MemberStatus().serving()) return i;
      }
    }
  };
  const int before = leader();
  const int other = (before + 1) % group.size();
  BrokerClient client(group.port(other), "JAVA");
  ASSERT_TRUE(client.UpdateTopic("sessions", 4, adm::LITE).ok());
  // Through the leader itself, which then is gone with all that it only remembered.
  BrokerClient at_leader(group.port(before), "JAVA");
  ASSERT_EQ(Sync(at_leader, v2::PARTIAL_ADD, {"a", "b"}), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("a", "a1")), v2::OK);
  const auto held = Receive(client, 5);
  ASSERT_THAT(Bodies(held), ElementsAre("a1"));
  group.Stop(before);
  ASSERT_EQ(Send(client, LiteMessage("b", "b1")), v2::OK);
  ASSERT_EQ(Send(client, LiteMessage("a", "a2")), v2::OK);
  const auto more = Receive(client, 5);
  EXPECT_THAT(Bodies(more), ElementsAre("b1")) << "a1 is not acked yet";
  EXPECT_EQ(client.Ack(kGroup, held[0]).status().code(), v2::OK);
  EXPECT_THAT(Bodies(Receive(client, 5)), ElementsAre("a2"));
}

}  // namespace
}  // namespace raftmq::broker
