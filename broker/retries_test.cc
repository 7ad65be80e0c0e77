// Retries and dead letters against real brokers, over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

constexpr char kGroup[] = "billing";
constexpr char kDlq[] = "%DLQ%billing";

std::string Folder() {
  return StrCat(testing::TempDir(), "/retries-",
                testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
}

grpc::Status UpdateGroup(const BrokerClient& client, int32_t retries, bool orderly = false,
                         const adm::RetryPolicy& policy = {}) {
  grpc::ClientContext context;
  client.Fill(&context, 30'000);
  adm::UpdateGroupRequest request;
  request.set_name(kGroup);
  request.set_retry_max_times(retries);
  request.set_orderly(orderly);
  *request.mutable_retry_policy() = policy;
  adm::UpdateGroupResponse response;
  return client.admin()->UpdateGroup(&context, request, &response);
}

adm::RetryPolicy Delays(std::vector<int64_t> delays_ms) {
  adm::RetryPolicy policy;
  for (const int64_t delay_ms : delays_ms) policy.mutable_customized()->add_next_ms(delay_ms);
  return policy;
}

v2::Code Change(const BrokerClient& client, const v2::Message& message, int64_t ms) {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::ChangeInvisibleDurationRequest request;
  request.mutable_group()->set_name(kGroup);
  *request.mutable_topic() = message.topic();
  request.set_receipt_handle(message.system_properties().receipt_handle());
  request.mutable_invisible_duration()->set_seconds(ms / 1000);
  request.mutable_invisible_duration()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
  v2::ChangeInvisibleDurationResponse response;
  client.messaging()->ChangeInvisibleDuration(&context, request, &response);
  return response.status().code();
}

v2::Code Forward(const BrokerClient& client, const v2::Message& message, bool with_handle = true) {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_group()->set_name(kGroup);
  *request.mutable_topic() = message.topic();
  request.set_message_id(message.system_properties().message_id());
  if (with_handle) request.set_receipt_handle(message.system_properties().receipt_handle());
  v2::ForwardMessageToDeadLetterQueueResponse response;
  client.messaging()->ForwardMessageToDeadLetterQueue(&context, request, &response);
  return response.status().code();
}

std::vector<v2::Message> Receive(const BrokerClient& client, const std::string& topic,
                                 int64_t poll_seconds, const std::string& group = kGroup) {
  return client.Receive(BrokerClient::MakeReceive(topic, group, poll_seconds)).messages;
}

// What a consumer of the classic model reads of queue 0, and where it goes on.
std::string Pull(const BrokerClient& client, const std::string& topic, const std::string& group,
                 int64_t* next_offset) {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::PullMessageRequest request;
  request.mutable_group()->set_name(group);
  request.mutable_message_queue()->mutable_topic()->set_name(topic);
  request.set_offset(*next_offset);
  request.set_batch_size(32);
  const auto reader = client.messaging()->PullMessage(&context, request);
  v2::PullMessageResponse response;
  std::string bodies;
  while (reader->Read(&response)) {
    if (response.has_message()) bodies += response.message().body() + " ";
    if (response.has_next_offset()) *next_offset = response.next_offset();
  }
  EXPECT_TRUE(reader->Finish().ok());
  return bodies;
}

// A consumer that said what it is; as long as it lives the broker knows its Settings.
class PushConsumer {
 public:
  explicit PushConsumer(const BrokerClient& client, const std::string& topic) {
    client.Fill(&context_, 60'000);
    stream_ = client.messaging()->Telemetry(&context_);
    v2::TelemetryCommand command;
    command.mutable_settings()->set_client_type(v2::PUSH_CONSUMER);
    v2::Subscription* subscription = command.mutable_settings()->mutable_subscription();
    subscription->mutable_group()->set_name(kGroup);
    subscription->add_subscriptions()->mutable_topic()->set_name(topic);
    EXPECT_TRUE(stream_->Write(command));
    v2::TelemetryCommand answer;
    EXPECT_TRUE(stream_->Read(&answer));
    settings_ = answer.settings();
  }
  ~PushConsumer() { context_.TryCancel(); }

  const v2::Settings& settings() const { return settings_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v2::TelemetryCommand, v2::TelemetryCommand>> stream_;
  v2::Settings settings_;
};

class AloneTest : public testing::Test {
 protected:
  void SetUp() override {
    group_.StartAll();
    ASSERT_TRUE(Client().UpdateTopic("orders", 1).ok());
  }
  BrokerClient Client(const std::string& language = "JAVA") {
    return BrokerClient(group_.port(0), language);
  }

  int64_t lease_ms_ = 60'000;
  BrokerGroup group_{{.folder = Folder(), .members = 1, .configure = [this](BrokerConfig* config) {
                        config->invisibleTimeMillisWhenAutoRenew = lease_ms_;
                      }}};
};

TEST_F(AloneTest, AMessageThatAlwaysFailsGoesToTheDeadLetterQueueAfterItsLastAttempt) {
  const BrokerClient client = Client();
  ASSERT_TRUE(UpdateGroup(client, 2).ok());
  const PushConsumer consumer(client, "orders");
  EXPECT_EQ(consumer.settings().backoff_policy().max_attempts(), 3);
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "poison", "A1")).status().code(),
            v2::OK);
  v2::Message message;
  for (int attempt = 1; attempt <= 3; ++attempt) {
    const std::vector<v2::Message> messages = Receive(client, "orders", 5);
    ASSERT_EQ(messages.size(), 1) << "attempt " << attempt;
    message = messages[0];
    EXPECT_EQ(message.system_properties().delivery_attempt(), attempt);
    // After the last one no time would be of use: it is dead at once.
    EXPECT_EQ(Change(client, message, attempt == 3 ? 3'600'000 : 50), v2::OK);
  }
  std::vector<v2::Message> found;
  while (found.empty()) {
    const Received received = client.Receive(BrokerClient::MakeReceive(kDlq, "undertakers", 5));
    // The topic is made with its first message.
    if (received.status.code() == v2::TOPIC_NOT_FOUND) continue;
    ASSERT_EQ(received.status.code(), v2::OK) << received.status.message();
    found = received.messages;
  }
  ASSERT_EQ(found.size(), 1);
  EXPECT_EQ(found[0].body(), "poison");
  EXPECT_EQ(found[0].topic().name(), kDlq);
  const v2::SystemProperties& system = found[0].system_properties();
  EXPECT_EQ(system.message_id(), "A1");
  EXPECT_EQ(system.delivery_attempt(), 1);
  EXPECT_EQ(system.dead_letter_queue().topic(), "orders");
  EXPECT_EQ(system.dead_letter_queue().message_id(), "A1");
  EXPECT_TRUE(found[0].user_properties().empty());
  EXPECT_EQ(client.Ack(kGroup, message).entries(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_TRUE(Receive(client, "orders", 1).empty());
  EXPECT_EQ(client.QueryRoute(kDlq).status().code(), v2::OK);
}

TEST_F(AloneTest, AFailureOfANodeClientWaitsAsItsGroupSays) {
  BrokerClient client = Client("NODE_JS");
  ASSERT_TRUE(UpdateGroup(client, 5, false, Delays({1'500})).ok());
  const PushConsumer consumer(client, "orders");
  EXPECT_TRUE(consumer.settings().backoff_policy().has_exponential_backoff());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "m", "A1")).status().code(), v2::OK);
  const std::vector<v2::Message> first = Receive(client, "orders", 5);
  ASSERT_EQ(first.size(), 1);
  const int64_t failed_ms = SystemClock()->MonotonicMillis();
  EXPECT_EQ(Change(client, first[0], 1), v2::OK) << "it takes seconds for milliseconds";
  ASSERT_EQ(Receive(client, "orders", 8).size(), 1);
  EXPECT_GE(SystemClock()->MonotonicMillis() - failed_ms, 1'500);
}

TEST_F(AloneTest, ASimpleConsumerProlongsItsLastAttempt) {
  const BrokerClient client = Client();
  ASSERT_TRUE(UpdateGroup(client, 0).ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "m", "A1")).status().code(), v2::OK);
  const std::vector<v2::Message> messages = Receive(client, "orders", 5);
  ASSERT_EQ(messages.size(), 1);
  EXPECT_EQ(Change(client, messages[0], 20'000), v2::OK);
  EXPECT_TRUE(Receive(client, "orders", 1).empty());
  EXPECT_EQ(client.Ack(kGroup, messages[0]).entries(0).status().code(), v2::OK);
  EXPECT_EQ(client.QueryRoute(kDlq).status().code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(AloneTest, TheGroupsRetryPolicyIsToldAndKept) {
  const BrokerClient client = Client();
  ASSERT_TRUE(UpdateGroup(client, 4, false, Delays({100, 200})).ok());
  const v2::RetryPolicy told = PushConsumer(client, "orders").settings().backoff_policy();
  EXPECT_EQ(told.max_attempts(), 5);
  ASSERT_EQ(told.customized_backoff().next_size(), 2);
  EXPECT_EQ(told.customized_backoff().next(1).nanos(), 200'000'000);

  adm::RetryPolicy exponential;
  exponential.mutable_exponential()->set_initial_ms(1'000);
  exponential.mutable_exponential()->set_max_ms(9'000);
  exponential.mutable_exponential()->set_multiplier(3);
  ASSERT_TRUE(UpdateGroup(client, 4, false, exponential).ok());
  const v2::RetryPolicy other = PushConsumer(client, "orders").settings().backoff_policy();
  EXPECT_EQ(other.exponential_backoff().max().seconds(), 9);
  EXPECT_EQ(other.exponential_backoff().multiplier(), 3);
  exponential.mutable_exponential()->set_multiplier(0);
  EXPECT_EQ(UpdateGroup(client, 4, false, exponential).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AloneTest, AnOrderlyConsumerForwardsAMessageAndTheNextOneComes) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("fifo", 1, adm::FIFO).ok());
  ASSERT_TRUE(UpdateGroup(client, 16, /*orderly=*/true).ok());
  const PushConsumer consumer(client, "fifo");
  EXPECT_TRUE(consumer.settings().subscription().fifo());
  for (const char* id : {"A1", "A2", "A3"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("fifo", id, id, "x")).status().code(), v2::OK);
  }
  v2::ReceiveMessageRequest one = BrokerClient::MakeReceive("fifo", kGroup, 5);
  one.set_batch_size(1);
  one.set_auto_renew(true);
  one.clear_invisible_duration();
  const Received first = client.Receive(one);
  ASSERT_EQ(first.messages.size(), 1);
  EXPECT_EQ(Forward(client, first.messages[0]), v2::OK);
  EXPECT_EQ(Forward(client, first.messages[0]), v2::OK) << "repeated";
  const Received second = client.Receive(one);
  ASSERT_EQ(second.messages.size(), 1);
  EXPECT_EQ(second.messages[0].body(), "A2");
  EXPECT_EQ(Forward(client, second.messages[0], /*with_handle=*/false), v2::OK) << "as C++ does";
  EXPECT_EQ(Forward(client, second.messages[0], /*with_handle=*/false), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(client.Receive(one).messages.at(0).body(), "A3");
  const auto letters = BrokerClient::MakeReceive(kDlq, "undertakers", 5);
  EXPECT_EQ(client.ReceiveCount(letters, 2).messages.size(), 2);
}

TEST_F(AloneTest, ADeadLetteredMessageLetsAParkedReceiverOfItsMessageGroupGoOn) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("fifo", 1, adm::FIFO).ok());
  ASSERT_TRUE(UpdateGroup(client, 0, /*orderly=*/true).ok());
  for (const char* id : {"A1", "A2"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("fifo", id, id, "x")).status().code(), v2::OK);
  }
  v2::ReceiveMessageRequest one = BrokerClient::MakeReceive("fifo", kGroup, 10);
  one.set_batch_size(1);
  const Received first = client.Receive(one);
  ASSERT_EQ(first.messages.size(), 1);
  EXPECT_EQ(Change(client, first.messages[0], 1'000), v2::OK);
  const int64_t asked_ms = SystemClock()->MonotonicMillis();
  const Received next = client.Receive(one);
  ASSERT_EQ(next.messages.size(), 1) << next.status.message();
  EXPECT_EQ(next.messages[0].body(), "A2");
  EXPECT_LT(SystemClock()->MonotonicMillis() - asked_ms, 5'000);
}

// The handle that the client has is the first; the broker has given the lease others since.
TEST_F(AloneTest, TheFirstHandleNacksAndForwardsAfterTheBrokerRenewedTheLease) {
  constexpr int64_t kLeaseMs = 6'000;
  group_.Stop(0);
  lease_ms_ = kLeaseMs;
  group_.Start(0);
  const BrokerClient client = Client();
  ASSERT_TRUE(UpdateGroup(client, 16, false, Delays({1'000})).ok());
  const PushConsumer consumer(client, "orders");
  for (const char* id : {"A1", "A2"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", id, id)).status().code(), v2::OK);
  }
  v2::ReceiveMessageRequest request = BrokerClient::MakeReceive("orders", kGroup, 10);
  request.set_auto_renew(true);
  request.clear_invisible_duration();
  std::vector<v2::Message> first;
  while (first.size() < 2) {
    for (v2::Message& message : client.Receive(request).messages) first.push_back(message);
  }
  const int64_t received_ms = SystemClock()->MonotonicMillis();
  // Longer than two leases nobody else gets them: they were renewed.
  while (SystemClock()->MonotonicMillis() - received_ms < 2 * kLeaseMs + 1'000) {
    ASSERT_THAT(Receive(client, "orders", 3), testing::IsEmpty());
  }
  EXPECT_EQ(Change(client, first[0], 0), v2::OK);
  EXPECT_EQ(Forward(client, first[1]), v2::OK);
  const Received again = client.Receive(request);
  ASSERT_EQ(again.messages.size(), 1) << again.status.message();
  EXPECT_EQ(again.messages[0].body(), first[0].body());
  EXPECT_EQ(again.messages[0].system_properties().delivery_attempt(), 2);
  EXPECT_EQ(client.Ack(kGroup, again.messages[0]).entries(0).status().code(), v2::OK);
  const std::vector<v2::Message> dead = Receive(client, kDlq, 10, "undertakers");
  ASSERT_EQ(dead.size(), 1);
  EXPECT_EQ(dead[0].body(), first[1].body());
  EXPECT_EQ(Change(client, first[1], 0), v2::INVALID_RECEIPT_HANDLE);
}

class GroupOfThreeTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }
  BrokerClient Client(int i) { return BrokerClient(group_.port(i), "JAVA"); }
  int Leader() {
    const BrokerClient client = Client(0);
    EXPECT_TRUE(client.UpdateTopic("orders", 1).ok());
    return client.MemberStatus().leader_id() - 1;
  }

  BrokerGroup group_{{.folder = Folder()}};
};

TEST_F(GroupOfThreeTest, AnyMemberForwardsToTheDeadLetterQueueAndTakesNacks) {
  const int leader = Leader();
  const BrokerClient client = Client((leader + 1) % 3);
  ASSERT_TRUE(UpdateGroup(client, 0).ok());
  const PushConsumer consumer(client, "orders");
  for (const char* id : {"A1", "A2"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", id, id)).status().code(), v2::OK);
  }
  std::vector<v2::Message> messages;
  while (messages.size() < 2) {
    for (v2::Message& message : Receive(client, "orders", 5)) messages.push_back(message);
  }
  EXPECT_EQ(Forward(client, messages[0]), v2::OK);
  EXPECT_EQ(Change(client, messages[1], 3'600'000), v2::OK);
  size_t dead = 0;
  while (dead < 2) dead += Receive(client, kDlq, 5, "undertakers").size();
  EXPECT_EQ(dead, 2);
}

TEST_F(GroupOfThreeTest, AnyMemberSendsDeadLettersBackOnce) {
  const int leader = Leader();
  const BrokerClient client = Client((leader + 1) % 3);
  ASSERT_TRUE(UpdateGroup(client, 0).ok());
  for (const char* id : {"A1", "A2"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", id, id)).status().code(), v2::OK);
    const std::vector<v2::Message> messages = Receive(client, "orders", 5);
    ASSERT_EQ(messages.size(), 1);
    ASSERT_EQ(Forward(client, messages[0]), v2::OK);
  }
  adm::RedriveDeadLettersRequest request;
  request.set_group(kGroup);
  request.set_key("A2");
  request.set_dry_run(true);
  const auto redrive = [&] {
    grpc::ClientContext context;
    client.Fill(&context);
    adm::RedriveDeadLettersResponse response;
    const grpc::Status status = client.admin()->RedriveDeadLetters(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  // A letter can be read a moment after it was forwarded.
  while (redrive().messages_size() == 0 && !HasFailure()) {
  }
  ASSERT_EQ(redrive().messages_size(), 1);
  EXPECT_TRUE(Receive(client, "orders", 1).empty()) << "it was a dry run";
  request.set_dry_run(false);
  const adm::RedriveDeadLettersResponse sent = redrive();
  ASSERT_EQ(sent.messages_size(), 1);
  EXPECT_EQ(sent.messages(0).failure(), "");
  EXPECT_EQ(sent.messages(0).origin_topic(), "orders");
  EXPECT_EQ(sent.messages(0).reason(), "FORWARDED_BY_CONSUMER");
  EXPECT_EQ(sent.unwanted(), 1);
  EXPECT_EQ(sent.next_offset(), 2);
  EXPECT_EQ(redrive().messages_size(), 0);
  const std::vector<v2::Message> again = Receive(client, "orders", 5);
  ASSERT_EQ(again.size(), 1);
  EXPECT_EQ(again[0].system_properties().message_id(), "A2");
  EXPECT_FALSE(again[0].system_properties().has_dead_letter_queue());
  EXPECT_TRUE(again[0].user_properties().empty()) << "that it is for one group is the broker's";
  grpc::ClientContext context;
  client.Fill(&context);
  request.set_sql_expression("a >");
  adm::RedriveDeadLettersResponse response;
  EXPECT_EQ(client.admin()->RedriveDeadLetters(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AloneTest, WhatIsSentBackIsForTheGroupThatFailedAlsoIfOthersPullOrWait) {
  const BrokerClient client = Client();
  ASSERT_TRUE(UpdateGroup(client, 0).ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "A1", "A1")).status().code(), v2::OK);
  const std::vector<v2::Message> messages = Receive(client, "orders", 5);
  ASSERT_EQ(messages.size(), 1);
  ASSERT_EQ(Forward(client, messages[0]), v2::OK);
  ASSERT_EQ(Receive(client, "orders", 5, "others").size(), 1);
  // One of each group waits.
  std::vector<v2::Message> of_group, of_others;
  std::thread waits = StartThread("receiver", [&] { of_group = Receive(client, "orders", 20); });
  std::thread others_wait =
      StartThread("receiver", [&] { of_others = Receive(client, "orders", 20, "others"); });
  adm::RedriveDeadLettersRequest request;
  request.set_group(kGroup);
  adm::RedriveDeadLettersResponse response;
  grpc::ClientContext context;
  client.Fill(&context);
  ASSERT_TRUE(client.admin()->RedriveDeadLetters(&context, request, &response).ok());
  ASSERT_EQ(response.messages_size(), 1);
  waits.join();
  ASSERT_EQ(of_group.size(), 1);
  EXPECT_EQ(of_group[0].body(), "A1");
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "A2", "A2")).status().code(), v2::OK);
  others_wait.join();
  ASSERT_EQ(of_others.size(), 1);
  EXPECT_EQ(of_others[0].body(), "A2");

  int64_t offset = 0;
  EXPECT_EQ(Pull(client, "orders", "pullers", &offset), "A1 A2 ");
  EXPECT_EQ(offset, 3);
  offset = 0;
  EXPECT_EQ(Pull(client, "orders", kGroup, &offset), "A1 A1 A2 ");
}

TEST_F(GroupOfThreeTest, ALastAttemptOutlivesItsLeader) {
  const int leader = Leader();
  const BrokerClient client = Client((leader + 1) % 3);
  ASSERT_TRUE(UpdateGroup(client, 0).ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "m", "A1")).status().code(), v2::OK);
  const std::vector<v2::Message> messages = Receive(client, "orders", 5);
  ASSERT_EQ(messages.size(), 1);
  ASSERT_EQ(Change(client, messages[0], 2'000), v2::OK);
  group_.Stop(leader);
  std::vector<v2::Message> dead;
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 20'000;
  while (dead.empty() && SystemClock()->MonotonicMillis() < give_up_ms) {
    dead = Receive(client, kDlq, 2, "undertakers");
  }
  ASSERT_EQ(dead.size(), 1);
  EXPECT_EQ(dead[0].system_properties().dead_letter_queue().message_id(), "A1");
  EXPECT_EQ(client.Ack(kGroup, messages[0]).entries(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

}  // namespace
}  // namespace raftmq::broker
