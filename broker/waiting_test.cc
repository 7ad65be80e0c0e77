// Delayed messages and transactions against real brokers, over real connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"

namespace raftmq::broker {
namespace {

using testing::HasSubstr;

std::string Folder() {
  return StrCat(testing::TempDir(), "/waiting-",
                testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
}

v2::Message Delayed(const std::string& topic, const std::string& id, int64_t due_ms) {
  v2::Message message = BrokerClient::MakeMessage(topic, "later", id);
  auto* due = message.mutable_system_properties()->mutable_delivery_timestamp();
  due->set_seconds(due_ms / 1000);
  due->set_nanos(static_cast<int32_t>(due_ms % 1000 * 1'000'000));
  return message;
}

v2::Message Half(const std::string& topic, const std::string& body, const std::string& id) {
  v2::Message message = BrokerClient::MakeMessage(topic, body, id);
  message.mutable_system_properties()->set_message_type(v2::TRANSACTION);
  return message;
}

v2::Code End(const BrokerClient& client, const std::string& topic, const std::string& message_id,
             const std::string& transaction_id, v2::TransactionResolution how) {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::EndTransactionRequest request;
  request.mutable_topic()->set_name(topic);
  request.set_message_id(message_id);
  request.set_transaction_id(transaction_id);
  request.set_resolution(how);
  v2::EndTransactionResponse response;
  const grpc::Status status = client.messaging()->EndTransaction(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.status().code();
}

v2::RecallMessageResponse Recall(const BrokerClient& client, const std::string& topic,
                                 const std::string& handle) {
  grpc::ClientContext context;
  client.Fill(&context);
  v2::RecallMessageRequest request;
  request.mutable_topic()->set_name(topic);
  request.set_recall_handle(handle);
  v2::RecallMessageResponse response;
  const grpc::Status status = client.messaging()->RecallMessage(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

grpc::Status Resolve(const BrokerClient& client, const std::string& transaction_id, bool commit) {
  grpc::ClientContext context;
  client.Fill(&context);
  adm::ResolveTransactionRequest request;
  request.set_transaction_id(transaction_id);
  request.set_commit(commit);
  adm::ResolveTransactionResponse response;
  return client.admin()->ResolveTransaction(&context, request, &response);
}

grpc::Status Check(const BrokerClient& client, const std::string& transaction_id) {
  grpc::ClientContext context;
  client.Fill(&context);
  adm::CheckTransactionRequest request;
  request.set_transaction_id(transaction_id);
  adm::CheckTransactionResponse response;
  return client.admin()->CheckTransaction(&context, request, &response);
}

std::vector<adm::OpenTransaction> Open(const BrokerClient& client) {
  grpc::ClientContext context;
  client.Fill(&context);
  adm::ListTransactionsResponse list;
  const grpc::Status status =
      client.admin()->ListTransactions(&context, adm::ListTransactionsRequest(), &list);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {list.transactions().begin(), list.transactions().end()};
}

// A send is answered at commit; what it made is listed once it is applied.
void WaitForOpen(const BrokerClient& client, int count) {
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  while (client.MemberStatus().open_transactions() != count) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000) << "it was never applied";
  }
}

// A producer of the topic, connected, who can be asked about transactions.
class AskedProducer {
 public:
  AskedProducer(const BrokerClient& client, const std::string& topic) {
    client.Fill(&context_, 60'000);
    stream_ = client.messaging()->Telemetry(&context_);
    v2::TelemetryCommand command;
    command.mutable_settings()->set_client_type(v2::PRODUCER);
    command.mutable_settings()->mutable_publishing()->add_topics()->set_name(topic);
    EXPECT_TRUE(stream_->Write(command));
    v2::TelemetryCommand answer;
    EXPECT_TRUE(stream_->Read(&answer));
    EXPECT_TRUE(answer.has_settings()) << answer.ShortDebugString();
  }
  ~AskedProducer() { context_.TryCancel(); }

  // Waits for the next question.
  v2::RecoverOrphanedTransactionCommand Asked() {
    v2::TelemetryCommand command;
    EXPECT_TRUE(stream_->Read(&command));
    EXPECT_TRUE(command.has_recover_orphaned_transaction_command()) << command.ShortDebugString();
    return command.recover_orphaned_transaction_command();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v2::TelemetryCommand, v2::TelemetryCommand>> stream_;
};

class AloneTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }
  BrokerClient Client() { return BrokerClient(group_.port(0), "JAVA"); }

  int64_t check_interval_ms_ = 30'000;
  int64_t check_max_ = 15;
  int64_t max_delay_s_ = BrokerConfig().timerMaxDelaySec;
  BrokerGroup group_{{.folder = Folder(), .members = 1, .configure = [this](BrokerConfig* config) {
                        config->transactionCheckInterval = check_interval_ms_;
                        config->transactionCheckMax = check_max_;
                        config->timerMaxDelaySec = max_delay_s_;
                      }}};
};

TEST_F(AloneTest, ADelayedMessageComesWhenItIsDueAndSaysSo) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 4, adm::DELAY).ok());
  const int64_t due_ms = SystemClock()->WallMillis() + 1'500;
  const auto sent = client.Send(Delayed("later", "A1", due_ms));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  EXPECT_NE(sent.entries(0).recall_handle(), "");
  const Received received = client.Receive(BrokerClient::MakeReceive("later", "readers", 10));
  const int64_t late_ms = SystemClock()->WallMillis() - due_ms;
  ASSERT_EQ(received.messages.size(), 1) << received.status.message();
  EXPECT_GE(late_ms, 0);
  EXPECT_LT(late_ms, 2'000);
  const v2::SystemProperties& system = received.messages[0].system_properties();
  EXPECT_EQ(received.messages[0].topic().name(), "later");
  EXPECT_EQ(system.message_id(), "A1");
  EXPECT_EQ(system.message_type(), v2::DELAY);
  EXPECT_EQ(system.delivery_timestamp().seconds(), due_ms / 1000);
  EXPECT_EQ(Recall(client, "later", sent.entries(0).recall_handle()).status().code(),
            v2::NOT_FOUND);
}

TEST_F(AloneTest, ADelayInThePastIsNoDelay) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  ASSERT_EQ(client.Send(Delayed("later", "A1", 1'000)).status().code(), v2::OK);
  EXPECT_EQ(client.Receive(BrokerClient::MakeReceive("later", "readers", 5)).messages.size(), 1);
}

TEST_F(AloneTest, ARecalledMessageNeverComes) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  const auto sent = client.Send(Delayed("later", "A1", SystemClock()->WallMillis() + 1'000));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const auto recalled = Recall(client, "later", sent.entries(0).recall_handle());
  EXPECT_EQ(recalled.status().code(), v2::OK) << recalled.status().message();
  EXPECT_EQ(recalled.message_id(), "A1");
  EXPECT_TRUE(client.Receive(BrokerClient::MakeReceive("later", "readers", 2)).messages.empty());
  EXPECT_EQ(Recall(client, "later", sent.entries(0).recall_handle()).status().code(),
            v2::NOT_FOUND);
  EXPECT_EQ(Recall(client, "later", "made up").status().code(), v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(AloneTest, ADelayLevelIsADelay) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  v2::Message message = BrokerClient::MakeMessage("later", "level one", "A1");
  (*message.mutable_user_properties())["DELAY"] = "1";
  const int64_t sent_ms = SystemClock()->WallMillis();
  const auto sent = client.Send(std::move(message));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const Received received = client.Receive(BrokerClient::MakeReceive("later", "readers", 10));
  ASSERT_EQ(received.messages.size(), 1) << received.status.message();
  EXPECT_GE(SystemClock()->WallMillis() - sent_ms, 1'000);
  EXPECT_EQ(received.messages[0].system_properties().message_type(), v2::DELAY);
}

TEST_F(AloneTest, OneSettingSaysHowFarAheadADelayMayBe) {
  group_.Stop(0);
  max_delay_s_ = 3'600;
  group_.Start(0);
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  const int64_t hour_ms = SystemClock()->WallMillis() + 3'600'000;
  EXPECT_EQ(client.Send(Delayed("later", "A1", hour_ms + 60'000)).status().code(),
            v2::ILLEGAL_DELIVERY_TIME);
  EXPECT_EQ(client.Send(Delayed("later", "A2", hour_ms - 60'000)).status().code(), v2::OK);
}

TEST_F(AloneTest, WhatIsTooLateOrTwoThingsAtOnceIsRefused) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::NORMAL).ok());
  const int64_t now_ms = SystemClock()->WallMillis();
  EXPECT_EQ(client.Send(Delayed("later", "A1", now_ms + int64_t{400} * 86'400'000)).status().code(),
            v2::ILLEGAL_DELIVERY_TIME);
  EXPECT_EQ(client.Send(Delayed("orders", "A1", now_ms + 1'000)).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::Message ordered = Delayed("later", "A1", now_ms + 1'000);
  ordered.mutable_system_properties()->set_message_group("group");
  EXPECT_EQ(client.Send(std::move(ordered)).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::Message transactional = Delayed("later", "A1", now_ms + 1'000);
  transactional.mutable_system_properties()->set_message_type(v2::TRANSACTION);
  EXPECT_EQ(client.Send(std::move(transactional)).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(AloneTest, ATransactionIsSeenAfterItsCommitAndNeverAfterItsRollback) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  const auto kept = client.Send(Half("orders", "yes", "A1"));
  const auto dropped = client.Send(Half("orders", "no", "A2"));
  ASSERT_EQ(kept.status().code(), v2::OK) << kept.status().message();
  const std::string kept_id = kept.entries(0).transaction_id();
  const std::string dropped_id = dropped.entries(0).transaction_id();
  EXPECT_EQ(End(client, "orders", "A1", "", v2::COMMIT), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End(client, "orders", "A2", kept_id, v2::COMMIT), v2::INVALID_TRANSACTION_ID);
  EXPECT_EQ(End(client, "orders", "A1", kept_id, v2::TRANSACTION_RESOLUTION_UNSPECIFIED), v2::OK);
  EXPECT_TRUE(client.Receive(BrokerClient::MakeReceive("orders", "readers", 1)).messages.empty());
  EXPECT_EQ(End(client, "orders", "A2", dropped_id, v2::ROLLBACK), v2::OK);
  EXPECT_EQ(End(client, "orders", "A1", kept_id, v2::COMMIT), v2::OK);
  EXPECT_EQ(End(client, "orders", "A1", kept_id, v2::COMMIT), v2::OK) << "it may be repeated";
  EXPECT_EQ(End(client, "orders", "A1", kept_id, v2::ROLLBACK), v2::INVALID_TRANSACTION_ID);
  const Received received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_EQ(received.messages[0].body(), "yes");
  EXPECT_EQ(received.messages[0].system_properties().message_type(), v2::TRANSACTION);
  EXPECT_TRUE(client.Receive(BrokerClient::MakeReceive("orders", "readers", 1)).messages.empty());
}

TEST_F(AloneTest, AnOperatorSeesOpenTransactionsAndResolvesThem) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  const auto sent = client.Send(Half("orders", "stuck", "A1"));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  WaitForOpen(client, 1);
  adm::ListTransactionsResponse list;
  {
    grpc::ClientContext context;
    client.Fill(&context);
    adm::ListTransactionsRequest request;
    request.set_topic("orders");
    ASSERT_TRUE(client.admin()->ListTransactions(&context, request, &list).ok());
  }
  ASSERT_EQ(list.transactions_size(), 1);
  EXPECT_EQ(list.transactions(0).message_id(), "A1");
  EXPECT_EQ(list.transactions(0).transaction_id(), sent.entries(0).transaction_id());
  const grpc::Status resolved = Resolve(client, list.transactions(0).transaction_id(), true);
  ASSERT_TRUE(resolved.ok()) << resolved.error_message();
  EXPECT_EQ(client.Receive(BrokerClient::MakeReceive("orders", "readers", 5)).messages.size(), 1);
}

TEST_F(AloneTest, WhatAnOperatorRollsBackIsNeverSeen) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  const auto sent = client.Send(Half("orders", "stuck", "A1"));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const std::string id = sent.entries(0).transaction_id();
  WaitForOpen(client, 1);
  EXPECT_EQ(Resolve(client, "made up", false).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ASSERT_EQ(Open(client).size(), 1u);
  const grpc::Status resolved = Resolve(client, id, false);
  ASSERT_TRUE(resolved.ok()) << resolved.error_message();
  EXPECT_TRUE(Open(client).empty());
  EXPECT_TRUE(Resolve(client, id, false).ok()) << "it may be repeated";
  EXPECT_FALSE(Resolve(client, id, true).ok()) << "it ended otherwise";
  EXPECT_EQ(End(client, "orders", "A1", id, v2::COMMIT), v2::INVALID_TRANSACTION_ID);
  EXPECT_TRUE(client.Receive(BrokerClient::MakeReceive("orders", "readers", 1)).messages.empty());
}

TEST_F(AloneTest, AnOperatorHasTheProducersOfATransactionAskedAtOnce) {
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  AskedProducer producer(client, "orders");
  v2::Message half = Half("orders", "orphan", "A1");
  half.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration()->set_seconds(
      3'600);
  const auto sent = client.Send(std::move(half));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const std::string id = sent.entries(0).transaction_id();
  WaitForOpen(client, 1);
  ASSERT_GT(Open(client).at(0).next_check_ms(), SystemClock()->WallMillis() + 3'000'000);
  const grpc::Status checked = Check(client, id);
  ASSERT_TRUE(checked.ok()) << checked.error_message();
  const v2::RecoverOrphanedTransactionCommand asked = producer.Asked();
  EXPECT_EQ(asked.transaction_id(), id);
  EXPECT_EQ(asked.message().body(), "orphan");
  EXPECT_EQ(End(client, "orders", "A1", id, v2::ROLLBACK), v2::OK);
  EXPECT_THAT(Check(client, id).error_message(), HasSubstr("it ended already"));
  EXPECT_EQ(Check(client, "made up").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AloneTest, ProducersAreAskedAgainAboutATransactionThatWasGivenUpAndIsPutBack) {
  check_interval_ms_ = check_max_ = 1;
  group_.Stop(0);
  group_.Start(0);
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  v2::Message half = Half("orders", "orphan", "A1");
  half.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration()->set_seconds(
      1);
  ASSERT_EQ(client.Send(std::move(half)).status().code(), v2::OK);
  const auto put_back = [](const BrokerClient& by, bool dry_run) {
    grpc::ClientContext context;
    by.Fill(&context);
    adm::RedriveDeadLettersRequest request;
    request.set_dry_run(dry_run);
    adm::RedriveDeadLettersResponse response;
    by.admin()->RedriveDeadLetters(&context, request, &response);
    return response.messages_size();
  };
  const int64_t sent_ms = SystemClock()->MonotonicMillis();
  while (put_back(client, /*dry_run=*/true) == 0) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - sent_ms, 20'000) << "it was not given up";
  }
  check_interval_ms_ = 30'000;
  group_.Stop(0);
  group_.Start(0);
  const BrokerClient producer = Client();
  ASSERT_TRUE(producer.UpdateTopic("others").ok()) << "it leads";
  AskedProducer asked(producer, "orders");
  ASSERT_EQ(put_back(producer, /*dry_run=*/false), 1);
  const v2::RecoverOrphanedTransactionCommand recover = asked.Asked();
  EXPECT_EQ(recover.message().body(), "orphan");
  EXPECT_EQ(End(producer, "orders", "A1", recover.transaction_id(), v2::COMMIT), v2::OK);
  const Received received = producer.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_EQ(received.messages[0].body(), "orphan");
  EXPECT_EQ(put_back(producer, /*dry_run=*/false), 0);
}

class GroupOfThreeTest : public testing::Test {
 protected:
  void SetUp() override { group_.StartAll(); }
  BrokerClient Client(int i) { return BrokerClient(group_.port(i), "JAVA"); }
  int Leader() {
    const BrokerClient client = Client(0);
    EXPECT_TRUE(client.UpdateTopic("waits-for-a-leader").ok());
    return client.MemberStatus().leader_id() - 1;
  }

  BrokerGroup group_{{.folder = Folder()}};
};

TEST_F(GroupOfThreeTest, AProducerAtAnyMemberIsAskedAboutAnOrphan) {
  const int leader = Leader();
  const BrokerClient sender = Client(leader);
  ASSERT_TRUE(sender.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  // Another producer of the topic, connected to a member that does not lead.
  BrokerClient other = Client((leader + 1) % 3);
  other.client_id = "another-producer";
  AskedProducer asked(other, "orders");

  v2::Message half = Half("orders", "orphan", "A1");
  half.mutable_system_properties()->mutable_orphaned_transaction_recovery_duration()->set_seconds(
      1);
  const auto sent = sender.Send(std::move(half));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const v2::RecoverOrphanedTransactionCommand recover = asked.Asked();
  EXPECT_EQ(recover.transaction_id(), sent.entries(0).transaction_id());
  EXPECT_EQ(recover.message().topic().name(), "orders");
  EXPECT_EQ(recover.message().body(), "orphan");
  EXPECT_EQ(recover.message().system_properties().message_id(), "A1");
  EXPECT_EQ(End(other, "orders", "A1", recover.transaction_id(), v2::COMMIT), v2::OK);
  EXPECT_EQ(other.Receive(BrokerClient::MakeReceive("orders", "readers", 5)).messages.size(), 1);
}

TEST_F(GroupOfThreeTest, DelaysAndTransactionsOutliveTheirLeader) {
  const int leader = Leader();
  const BrokerClient client = Client((leader + 1) % 3);
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  ASSERT_TRUE(client.UpdateTopic("orders", 1, adm::TRANSACTION).ok());
  const auto half = client.Send(Half("orders", "yes", "A1"));
  ASSERT_EQ(half.status().code(), v2::OK) << half.status().message();
  const int64_t due_ms = SystemClock()->WallMillis() + 2'000;
  ASSERT_EQ(client.Send(Delayed("later", "A2", due_ms)).status().code(), v2::OK);
  group_.Stop(leader);
  EXPECT_EQ(End(client, "orders", "A1", half.entries(0).transaction_id(), v2::COMMIT), v2::OK);
  EXPECT_EQ(client.Receive(BrokerClient::MakeReceive("orders", "readers", 5)).messages.size(), 1);
  const Received received = client.Receive(BrokerClient::MakeReceive("later", "readers", 10));
  EXPECT_EQ(received.messages.size(), 1);
  EXPECT_GE(SystemClock()->WallMillis(), due_ms);
}

}  // namespace
}  // namespace raftmq::broker
