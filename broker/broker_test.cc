// One real broker in this process, over real connections.
#include "broker/broker.h"
#include "broker/member_directory.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/thread.h"
#include "broker/testing/grpc_broker_client.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace raftmq::broker {
namespace {

using testing::HasSubstr;

class BrokerTest : public testing::Test {
 protected:
  BrokerTest() {
    config_.storePathRootDir =
        StrCat(testing::TempDir(), "/broker-",
               testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
    config_.listenAddress = "127.0.0.1";
    config_.listenPort = 0;
    config_.brokerIP1 = "127.0.0.1";
    config_.mappedFileSizeCommitLog = 4 << 20;
  }
  ~BrokerTest() override {
    if (broker_ != nullptr) EXPECT_TRUE(broker_->Stop().ok());
    broker_.reset();
    PosixFileSystem()->RemoveAll(config_.storePathRootDir).IgnoreError();
  }

  void Start() {
    ASSERT_TRUE(PrepareStandaloneMember(config_, PosixFileSystem()).ok());
    auto broker = Broker::Start(config_, BrokerDeps{PosixFileSystem(), SystemClock(), {}, {}});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
  }

  BrokerClient Client(std::string language = "JAVA") {
    return BrokerClient(broker_->port(), std::move(language));
  }

  BrokerConfig config_;
  std::unique_ptr<Broker> broker_;
};

TEST_F(BrokerTest, AMessageIsSentReceivedAndAckedOnce) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  const v2::SendMessageResponse sent = client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  ASSERT_EQ(sent.entries_size(), 1);
  EXPECT_EQ(sent.entries(0).message_id(), "A1");

  const auto receive = BrokerClient::MakeReceive("orders", "readers", 5);
  const Received received = client.Receive(receive);
  EXPECT_EQ(received.status.code(), v2::OK) << received.status.message();
  EXPECT_TRUE(received.ended_with_timestamp);
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_EQ(received.messages[0].body(), "hi");
  EXPECT_EQ(received.messages[0].system_properties().message_id(), "A1");
  EXPECT_EQ(received.messages[0].system_properties().delivery_attempt(), 1);

  const v2::AckMessageResponse acked = client.Ack("readers", received.messages[0]);
  EXPECT_EQ(acked.status().code(), v2::OK) << acked.status().message();
  ASSERT_EQ(acked.entries_size(), 1);
  EXPECT_EQ(client.Ack("readers", received.messages[0]).status().code(), v2::OK)
      << "an ack may be repeated";
  v2::Message made_up = received.messages[0];
  made_up.mutable_system_properties()->set_receipt_handle("made up");
  EXPECT_EQ(client.Ack("readers", made_up).status().code(), v2::INVALID_RECEIPT_HANDLE);

  const Received nothing = client.Receive(BrokerClient::MakeReceive("orders", "readers", 1));
  EXPECT_EQ(nothing.status.code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_TRUE(nothing.ended_with_timestamp);
  EXPECT_TRUE(nothing.grpc.ok());
}

TEST_F(BrokerTest, TheStandardHealthServiceAnswersAndItsWatchersDoNotHoldUpAStop) {
  Start();
  namespace health = ::grpc::health::v1;
  const auto stub = health::Health::NewStub(grpc::CreateChannel(
      StrCat("127.0.0.1:", broker_->port()), grpc::InsecureChannelCredentials()));
  health::HealthCheckRequest request;
  health::HealthCheckResponse response;
  {
    grpc::ClientContext context;
    const auto watch = stub->Watch(&context, request);
    do {
      ASSERT_TRUE(watch->Read(&response));  // a change, once it leads
    } while (response.status() != health::HealthCheckResponse::SERVING);
    context.TryCancel();
  }
  {
    grpc::ClientContext context;
    ASSERT_TRUE(stub->Check(&context, request, &response).ok());
    EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  }
  {
    grpc::ClientContext context;
    health::HealthCheckRequest unknown;
    unknown.set_service("no.such.Service");
    EXPECT_EQ(stub->Check(&context, unknown, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  grpc::ClientContext context;
  const auto watch = stub->Watch(&context, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  EXPECT_TRUE(broker_->Stop().ok());
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 9'000);
  while (watch->Read(&response)) {
    EXPECT_EQ(response.status(), health::HealthCheckResponse::NOT_SERVING) << "it stops";
  }
  EXPECT_FALSE(watch->Finish().ok());
  broker_.reset();
}

TEST_F(BrokerTest, ASecondProcessIsRefusedBeforeItTouchesAnythingOfTheFirst) {
  Start();
  // A queue of which no mark speaks yet, as after the first messages of a topic: to a process that
  // opens the store, a leftover to be removed.
  const std::string queue = StrCat(config_.storePathRootDir, "/gen-00000001/consumequeue/orders/0");
  ASSERT_TRUE(PosixFileSystem()->CreateDirs(queue).ok());
  ASSERT_TRUE(
      WriteFileAtomically(PosixFileSystem(), StrCat(queue, "/00000000000000000000"), "entries")
          .ok());
  BrokerConfig second = config_;
  second.listenPort = 0;
  const auto refused = Broker::Start(second, BrokerDeps{PosixFileSystem(), SystemClock(), {}, {}});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("/lock"));
  EXPECT_TRUE(*PosixFileSystem()->Exists(StrCat(queue, "/00000000000000000000")));
}

TEST_F(BrokerTest, AMemberWhoseLogIsDamagedStartsAgainOnceItsLossIsAccepted) {
  Start();
  {
    const BrokerClient client = Client();
    ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
    for (int i = 0; i < 10; ++i) client.Send(BrokerClient::MakeMessage("orders", "hi", StrCat(i)));
  }
  ASSERT_TRUE(broker_->Stop().ok());
  broker_.reset();
  EXPECT_FALSE(RepairMember(config_, PosixFileSystem())->was_damaged);
  const std::string segment =
      StrCat(config_.storePathRootDir, "/gen-00000001/commitlog/00000000000000000000");
  {
    const std::string bytes = *ReadFile(PosixFileSystem(), segment);
    const size_t end = bytes.find_last_not_of('\0', (4 << 20) - 1);
    auto file = *PosixFileSystem()->Open(segment, OpenMode::kReadWrite);
    ASSERT_TRUE(file->PWrite(static_cast<int64_t>(end - 300), "rot").ok());
  }
  const auto refused = Broker::Start(config_, BrokerDeps{PosixFileSystem(), SystemClock(), {}, {}});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("mqbroker repair"));
  const auto repaired = RepairMember(config_, PosixFileSystem());
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_TRUE(repaired->was_damaged);
  Start();
  const BrokerClient client = Client();
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("orders", "again", "B")).status().code(), v2::OK);
  auto receive = BrokerClient::MakeReceive("orders", "readers", 5);
  receive.set_batch_size(32);
  std::vector<std::string> bodies;
  while (bodies.empty() || bodies.back() != "again") {
    const Received received = client.Receive(receive);
    ASSERT_FALSE(received.messages.empty()) << received.status.message();
    for (const v2::Message& message : received.messages) bodies.push_back(message.body());
  }
  EXPECT_GT(bodies.size(), 3u) << "what came before the damage is there";
  EXPECT_LT(bodies.size(), 11u);
}

TEST_F(BrokerTest, AReceiveThatWaitsIsAnsweredByTheNextMessage) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  Received received;
  std::thread receiver = StartThread("receiver", [&] {
    received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  });
  // Sent whether or not the receive waits already: both ways must work.
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("orders", "late", "A1")).status().code(), v2::OK);
  receiver.join();
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 9'000) << "it must not wait to the end";
}

TEST_F(BrokerTest, AReceiveThatThereIsNoPlaceForIsTooManyRequests) {
  config_.popPollingSize = 1;
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  std::vector<Received> received(2);
  std::vector<std::thread> receivers;
  absl::Mutex mutex;
  int done = 0;
  for (Received& mine : received) {
    receivers.push_back(StartThread("receiver", [&] {
      mine = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
      absl::MutexLock lock(&mutex);
      ++done;
    }));
  }
  {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(
        +[](int* count) { return *count > 0; }, &done));
  }
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("orders", "one", "A1")).status().code(), v2::OK);
  for (std::thread& receiver : receivers) receiver.join();
  if (!received[0].messages.empty()) std::swap(received[0], received[1]);
  EXPECT_EQ(received[0].status.code(), v2::TOO_MANY_REQUESTS) << received[0].status.message();
  EXPECT_THAT(received[0].status.message(), HasSubstr("popPollingSize"));
  EXPECT_EQ(received[1].messages.size(), 1) << "who was first waits on";
}

TEST_F(BrokerTest, AGroupWithTooManyMessagesInFlightIsToldSoAndGoesOnAfterAnAck) {
  config_.enablePopMessageThreshold = true;
  config_.popInflightMessageThreshold = 1;
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
  for (const char* id : {"A1", "A2"}) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", id, id)).status().code(), v2::OK);
  }
  const Received first = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(first.messages.size(), 1);
  const Received none = client.Receive(BrokerClient::MakeReceive("orders", "readers", 1));
  EXPECT_EQ(none.status.code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_THAT(none.status.message(), HasSubstr("as many messages in flight as it may"));
  Received second;
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  std::thread receiver = StartThread("receiver", [&] {
    second = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  });
  // Whether or not the receive waits already.
  EXPECT_EQ(client.Ack("readers", first.messages[0]).status().code(), v2::OK);
  receiver.join();
  EXPECT_EQ(second.messages.size(), 1);
  EXPECT_LT(SystemClock()->MonotonicMillis() - began_ms, 9'000) << "it must not wait to the end";
}

TEST_F(BrokerTest, ARefusalIsInTheBodyWithItsReason) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  grpc::Status grpc_status;
  const auto unknown = client.Send(BrokerClient::MakeMessage("nowhere", "hi", "A1"), &grpc_status);
  EXPECT_TRUE(grpc_status.ok());
  EXPECT_EQ(unknown.status().code(), v2::TOPIC_NOT_FOUND);
  ASSERT_EQ(unknown.entries_size(), 1);
  EXPECT_EQ(unknown.entries(0).status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_THAT(unknown.status().message(), HasSubstr("nowhere"));
  EXPECT_EQ(client.QueryRoute("nowhere").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("orders", "hi", "A1", "group")).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  BrokerClient nobody = Client();
  nobody.client_id = "";
  EXPECT_EQ(nobody.QueryRoute("orders").status().code(), v2::CLIENT_ID_REQUIRED);
}

TEST_F(BrokerTest, AnOrderlyPushConsumerThatGoesOnBehindAFailureGetsOneMessageAtATime) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("steps", 1, adm::FIFO).ok());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("steps", StrCat(i), StrCat("A", i), "one"))
                  .status()
                  .code(),
              v2::OK);
  }
  const auto received = [&](const std::string& language, bool orderly, bool push) {
    const std::string name = StrCat("of-", language, orderly ? "-orderly" : "", push ? "-push" : "");
    grpc::ClientContext context;
    client.Fill(&context);
    adm::UpdateGroupRequest group;
    group.set_name(name);
    group.set_orderly(orderly);
    adm::UpdateGroupResponse response;
    EXPECT_TRUE(client.admin()->UpdateGroup(&context, group, &response).ok());
    auto request = BrokerClient::MakeReceive("steps", name, 5);
    request.set_auto_renew(push);
    if (push) request.clear_invisible_duration();
    return Client(language).Receive(request).messages.size();
  };
  EXPECT_EQ(received("JAVA", true, true), 3);
  EXPECT_EQ(received("GO", false, true), 3);
  EXPECT_EQ(received("GO", true, false), 3) << "a simple consumer's own code waits, or does not";
  EXPECT_EQ(received("GO", true, true), 1);
}

TEST_F(BrokerTest, FifoMessagesOfAGroupComeInOrderOneBatchAtATime) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("steps", 4, adm::FIFO).ok());
  {
    grpc::ClientContext context;
    client.Fill(&context);
    adm::UpdateGroupRequest group;
    group.set_name("walkers");
    group.set_orderly(true);
    adm::UpdateGroupResponse response;
    ASSERT_TRUE(client.admin()->UpdateGroup(&context, group, &response).ok());
  }
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(client.Send(BrokerClient::MakeMessage("steps", StrCat(i), StrCat("A", i), "one"))
                  .status()
                  .code(),
              v2::OK);
  }
  std::string order;
  while (order.size() < 6) {
    auto request = BrokerClient::MakeReceive("steps", "walkers", 5);
    request.set_batch_size(2);
    const Received received = client.Receive(request);
    ASSERT_FALSE(received.messages.empty()) << received.status.message();
    auto meanwhile = BrokerClient::MakeReceive("steps", "walkers", 1);
    EXPECT_TRUE(client.Receive(meanwhile).messages.empty()) << "the group is locked";
    for (const v2::Message& message : received.messages) {
      order += message.body();
      EXPECT_EQ(client.Ack("walkers", message).status().code(), v2::OK);
    }
  }
  EXPECT_EQ(order, "012345");
}

TEST_F(BrokerTest, MessagesOfAHigherPriorityComeFirst) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("urgent", 4, adm::PRIORITY).ok());
  const auto send = [&](const std::string& id, std::optional<int32_t> priority) {
    v2::Message message = BrokerClient::MakeMessage("urgent", id, id);
    message.mutable_system_properties()->set_message_type(v2::PRIORITY);
    if (priority) message.mutable_system_properties()->set_priority(*priority);
    return client.Send(std::move(message)).status().code();
  };
  ASSERT_EQ(send("A1", std::nullopt), v2::OK);
  ASSERT_EQ(send("A2", 2), v2::OK);
  ASSERT_EQ(send("A3", 99), v2::OK);
  ASSERT_EQ(send("A4", 2), v2::OK);
  EXPECT_EQ(send("A5", -1), v2::BAD_REQUEST);
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("urgent", "x", "A6")).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  // A send is answered when it is committed, a moment before it can be received.
  for (size_t seen = 0; seen < 4;) {
    seen += client.Receive(BrokerClient::MakeReceive("urgent", "others", 5)).messages.size();
  }
  const Received received = client.Receive(BrokerClient::MakeReceive("urgent", "readers", 5));
  std::vector<std::string> bodies;
  for (const v2::Message& message : received.messages) bodies.push_back(message.body());
  EXPECT_EQ(bodies, (std::vector<std::string>{"A3", "A2", "A4", "A1"}));
  const v2::SystemProperties& first = received.messages.at(0).system_properties();
  EXPECT_EQ(first.message_type(), v2::PRIORITY);
  EXPECT_EQ(first.priority(), 99);
  EXPECT_EQ(received.messages[3].system_properties().message_type(), v2::NORMAL);
}

TEST_F(BrokerTest, AnSqlExpressionFiltersReceivesAndPulls) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("priced", 1).ok());
  for (int i = 0; i < 6; ++i) {
    v2::Message message = BrokerClient::MakeMessage("priced", StrCat(i), StrCat("P", i));
    (*message.mutable_user_properties())["price"] = StrCat(i * 10);
    ASSERT_EQ(client.Send(message).status().code(), v2::OK);
  }
  auto request = BrokerClient::MakeReceive("priced", "buyers", 5);
  request.mutable_filter_expression()->set_type(v2::SQL);
  request.mutable_filter_expression()->set_expression("price between 20 and 30");
  const Received received = client.ReceiveCount(request, 2);
  std::string bodies;
  for (const v2::Message& message : received.messages) bodies += message.body();
  EXPECT_EQ(bodies, "23") << received.status.message();

  request.mutable_filter_expression()->set_expression("price between 20");
  const Received refused = client.Receive(request);
  EXPECT_EQ(refused.status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
  EXPECT_NE(refused.status.message().find("position 17: expected \"AND\""), std::string::npos)
      << refused.status.message();

  v2::PullMessageRequest pull;
  pull.mutable_group()->set_name("buyers");
  pull.mutable_message_queue()->mutable_topic()->set_name("priced");
  pull.set_batch_size(32);
  pull.mutable_filter_expression()->set_type(v2::SQL);
  pull.mutable_filter_expression()->set_expression("price >= 40");
  std::string pulled;
  int64_t next_offset = 0;
  // The last ones, too, can be pulled a moment after their sends were answered.
  const int64_t end_ms = SystemClock()->MonotonicMillis() + 30'000;
  while (next_offset < 6 && SystemClock()->MonotonicMillis() < end_ms) {
    grpc::ClientContext context;
    client.Fill(&context);
    pull.set_offset(next_offset);
    pull.mutable_long_polling_timeout()->set_seconds(1);
    auto reader = client.messaging()->PullMessage(&context, pull);
    v2::PullMessageResponse response;
    while (reader->Read(&response)) {
      if (response.has_message()) pulled += response.message().body();
      if (response.has_next_offset()) next_offset = response.next_offset();
    }
    ASSERT_TRUE(reader->Finish().ok());
  }
  EXPECT_EQ(pulled, "45");
  EXPECT_EQ(next_offset, 6);
}

TEST_F(BrokerTest, ANackedMessageComesAgainAtOnce) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"));
  const Received first = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(first.messages.size(), 1);
  grpc::ClientContext context;
  client.Fill(&context);
  v2::ChangeInvisibleDurationRequest nack;
  nack.mutable_group()->set_name("readers");
  nack.mutable_topic()->set_name("orders");
  nack.set_receipt_handle(first.messages[0].system_properties().receipt_handle());
  v2::ChangeInvisibleDurationResponse nacked;
  ASSERT_TRUE(client.messaging()->ChangeInvisibleDuration(&context, nack, &nacked).ok());
  EXPECT_EQ(nacked.status().code(), v2::OK) << nacked.status().message();
  EXPECT_FALSE(nacked.receipt_handle().empty());
  const Received again = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(again.messages.size(), 1);
  EXPECT_EQ(again.messages[0].system_properties().delivery_attempt(), 2);
}

TEST_F(BrokerTest, AReceiverThatLeftTakesNoMessageAlong) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext leaving;
    client.Fill(&leaving);
    std::thread receiver = StartThread("receiver", [&] {
      client.Receive(BrokerClient::MakeReceive("orders", "readers", 10), &leaving);
    });
    leaving.TryCancel();  // at some moment of its life
    receiver.join();
  }
  client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"));
  const Received received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  EXPECT_EQ(received.messages.size(), 1);
}

TEST_F(BrokerTest, TelemetryAnswersSettingsEachTimeTheyCome) {
  Start();
  const BrokerClient client = Client();
  grpc::ClientContext context;
  client.Fill(&context);
  auto stream = client.messaging()->Telemetry(&context);
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PRODUCER);
  command.mutable_settings()->mutable_publishing()->add_topics()->set_name("orders");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(stream->Write(command));
    v2::TelemetryCommand answer;
    ASSERT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.status().code(), v2::OK);
    EXPECT_TRUE(answer.settings().has_publishing());
    EXPECT_GT(answer.settings().publishing().max_body_size(), 0);
  }
  stream->WritesDone();
  v2::TelemetryCommand none;
  EXPECT_FALSE(stream->Read(&none));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(BrokerTest, SettingsThatAreNeitherProducersNorConsumersEndTheStream) {
  Start();
  const BrokerClient client = Client();
  grpc::ClientContext context;
  client.Fill(&context);
  auto stream = client.messaging()->Telemetry(&context);
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PRODUCER);
  ASSERT_TRUE(stream->Write(command));
  v2::TelemetryCommand none;
  EXPECT_FALSE(stream->Read(&none));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(BrokerTest, AStoppingMemberEndsTelemetryAsTheClientsLanguageCanTakeIt) {
  for (const auto& [language, expected] : {std::pair("JAVA", grpc::StatusCode::UNAVAILABLE),
                                           std::pair("RUST", grpc::StatusCode::OK)}) {
    Start();
    const BrokerClient client = Client(language);
    grpc::ClientContext context;
    client.Fill(&context);
    auto stream = client.messaging()->Telemetry(&context);
    v2::TelemetryCommand command;
    command.mutable_settings()->set_client_type(v2::PRODUCER);
    command.mutable_settings()->mutable_publishing()->add_topics()->set_name("orders");
    ASSERT_TRUE(stream->Write(command));
    ASSERT_TRUE(stream->Read(&command));
    ASSERT_TRUE(broker_->Stop().ok());
    broker_.reset();
    EXPECT_FALSE(stream->Read(&command));
    EXPECT_EQ(stream->Finish().error_code(), expected) << language;
  }
}

TEST_F(BrokerTest, TheSamePortSpeaksTls) {
  Start();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  const BrokerClient secure(broker_->port(), "JAVA", grpc::experimental::TlsCredentials(options));
  ASSERT_TRUE(secure.UpdateTopic("orders").ok());
  EXPECT_EQ(secure.QueryRoute("orders").status().code(), v2::OK);
  EXPECT_EQ(Client().QueryRoute("orders").status().code(), v2::OK) << "and plaintext";
}

TEST_F(BrokerTest, AConnectionThatSaysNothingHoldsUpNobody) {
  Start();
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(broker_->port()));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(Client().UpdateTopic("orders").ok());
  close(fd);
}

TEST_F(BrokerTest, WhatWasSentSurvivesARestart) {
  Start();
  {
    const BrokerClient client = Client();
    ASSERT_TRUE(client.UpdateTopic("orders").ok());
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", StrCat(i), StrCat("A", i)))
                    .status()
                    .code(),
                v2::OK);
    }
  }
  ASSERT_TRUE(broker_->Stop().ok());
  broker_.reset();
  Start();
  const BrokerClient client = Client();
  std::set<std::string> bodies;
  while (bodies.size() < 100) {
    const Received received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
    ASSERT_FALSE(received.messages.empty()) << received.status.message();
    for (const v2::Message& message : received.messages) {
      EXPECT_TRUE(bodies.insert(message.body()).second) << "twice: " << message.body();
    }
  }
}

TEST_F(BrokerTest, AStopEndsWhatWaits) {
  Start();
  const BrokerClient client = Client();
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  Received received;
  std::thread receiver = StartThread("receiver", [&] {
    received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  });
  // Whether or not it waits already, it must end soon.
  EXPECT_TRUE(broker_->Stop().ok());
  broker_.reset();
  receiver.join();
  EXPECT_TRUE(received.messages.empty());
}

}  // namespace
}  // namespace raftmq::broker
