// Three real brokers in this process: what a client sees through a member that does not lead, and
// while members go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/channel_credentials.h"
#include "base/clock.h"
#include "base/thread.h"
#include "broker/testing/broker_group.h"
#include "broker/testing/grpc_broker_client.h"
#include "broker/tls_certificate.h"

namespace raftmq::broker {
namespace {

class ClusterTest : public testing::Test {
 protected:
  static constexpr int kMembers = 3;

  void SetUp() override { group_.StartAll(); }

  void Start(int i) { group_.Start(i); }
  void Stop(int i) { group_.Stop(i); }
  BrokerClient Client(int i, std::string language = "JAVA") {
    return BrokerClient(group_.port(i), std::move(language), MakeChannelCredentials(tls_));
  }
  // Waits until member `i` knows a leader and says who: a call that needs one waits for it.
  int LeaderAsSeenBy(int i) {
    const BrokerClient client = Client(i);
    EXPECT_TRUE(client.UpdateTopic("waits-for-a-leader").ok());
    return client.MemberStatus().leader_id() - 1;
  }
  int Follower() { return (LeaderAsSeenBy(0) + 1) % kMembers; }

  BrokerGroup::Options GroupOptions() const {
    BrokerGroup::Options options;
    options.folder =
        StrCat(testing::TempDir(), "/cluster-",
               testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
    options.configure = [this](BrokerConfig* config) { Configure(config); };
    return options;
  }
  // What else a test wants of each member, before it starts.
  virtual void Configure(BrokerConfig*) const {}

  TlsClientOptions tls_;  // of Client
  BrokerGroup group_{GroupOptions()};
};

// All members and the test's clients show and trust one certificate; nothing else gets in.
class MutualTlsTest : public ClusterTest {
 protected:
  void SetUp() override {
    const TlsCertificate made = *MakeSelfSignedCertificate("127.0.0.1");
    tls_ = {true, made.certificate_pem, made.certificate_pem, made.private_key_pem};
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), key_, tls_.key_pem).ok());
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), certificate_, tls_.certificate_pem).ok());
    ClusterTest::SetUp();
  }
  void TearDown() override {
    PosixFileSystem()->RemoveAll(key_).IgnoreError();
    PosixFileSystem()->RemoveAll(certificate_).IgnoreError();
  }

  void Configure(BrokerConfig* config) const override {
    config->tlsServerMode = "enforcing";
    config->tlsServerNeedClientAuth = "require";
    config->tlsServerKeyPath = key_;
    config->tlsServerCertPath = config->tlsServerTrustCertPath = certificate_;
    config->tlsClientTrustCertPath = certificate_;
  }

  // How a call by a client with these options ends, soon.
  grpc::Status Ask(const TlsClientOptions& tls) {
    const BrokerClient client(group_.port(0), "JAVA", MakeChannelCredentials(tls));
    grpc::ClientContext context;
    client.Fill(&context, 3'000);
    context.set_wait_for_ready(false);
    adm::GetMemberStatusResponse response;
    return client.admin()->GetMemberStatus(&context, {}, &response);
  }

  const std::string key_ = StrCat(testing::TempDir(), "/key-", getpid(), ".pem");
  const std::string certificate_ = StrCat(testing::TempDir(), "/certificate-", getpid(), ".pem");
};

TEST_F(ClusterTest, AMemberThatDoesNotLeadServesEverything) {
  const BrokerClient client = Client(Follower());
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  const auto sent = client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const Received received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  ASSERT_EQ(received.messages.size(), 1) << received.status.message();
  EXPECT_TRUE(received.ended_with_timestamp);
  EXPECT_EQ(client.Ack("readers", received.messages[0]).status().code(), v2::OK);
  EXPECT_EQ(client.Send(BrokerClient::MakeMessage("nowhere", "hi", "A1")).status().code(),
            v2::TOPIC_NOT_FOUND);
}

// The way to the leader is another each time, the client and its message are the same.
TEST_F(ClusterTest, ASendThatIsRepeatedAtOtherMembersIsStoredOnce) {
  const int leader = LeaderAsSeenBy(0);
  const int follower = (leader + 1) % kMembers;
  ASSERT_TRUE(Client(leader).UpdateTopic("orders", 1).ok());
  const v2::Message message = BrokerClient::MakeMessage("orders", "hi", "A1");
  const auto offset_of = [](const v2::SendMessageResponse& sent) {
    EXPECT_EQ(sent.status().code(), v2::OK) << sent.status().message();
    return sent.entries_size() == 1 ? sent.entries(0).offset() : -1;
  };
  EXPECT_EQ(offset_of(Client(follower).Send(message)), 0);
  EXPECT_EQ(offset_of(Client(leader).Send(message)), 0);
  BrokerClient somebody_else = Client(follower);
  somebody_else.client_id = "another-client";
  EXPECT_EQ(offset_of(somebody_else.Send(message)), 1) << "of two clients, with one message id";

  Stop(leader);
  EXPECT_EQ(offset_of(Client(follower).Send(message)), 0) << "the next leader knows";
  for (int i = 0; i < kMembers; ++i) {
    if (i != leader) Stop(i);
  }
  for (int i = 0; i < kMembers; ++i) Start(i);
  EXPECT_EQ(offset_of(Client(follower).Send(message)), 0) << "all of them started anew";
  EXPECT_EQ(offset_of(Client(leader).Send(BrokerClient::MakeMessage("orders", "hi", "A2"))), 2);
}

TEST_F(ClusterTest, TheAckLevelComesFromTheRequestOrTheTopicAndTheAnswerSaysWhatWasReached) {
  const int leader = LeaderAsSeenBy(0);
  const int follower = (leader + 1) % kMembers;
  const BrokerClient client = Client(follower);
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  int sent = 0;
  // The code of the answer, and what it says was reached.
  const auto send = [&](const std::string& level) {
    grpc::ClientContext context;
    client.Fill(&context);
    if (!level.empty()) context.AddMetadata("x-raftmq-ack-level", level);
    v2::SendMessageRequest request;
    *request.add_messages() = BrokerClient::MakeMessage("orders", "hi", StrCat("A", ++sent));
    v2::SendMessageResponse response;
    EXPECT_TRUE(client.messaging()->SendMessage(&context, request, &response).ok());
    const auto& headers = context.GetServerInitialMetadata();
    const auto reached = headers.find("x-raftmq-ack-level");
    return std::pair(response.status().code(),
                     reached == headers.end()
                         ? std::string()
                         : std::string(reached->second.data(), reached->second.size()));
  };
  const auto set_level = [&](const std::string& level) {
    grpc::ClientContext context;
    client.Fill(&context);
    adm::UpdateTopicRequest request;
    request.set_name("orders");
    request.set_ack_level(level);
    adm::UpdateTopicResponse response;
    const grpc::Status status = client.admin()->UpdateTopic(&context, request, &response);
    EXPECT_EQ(response.topic().ack_level(), status.ok() ? level : "");
    return status.error_code();
  };
  using Answer = std::pair<v2::Code, std::string>;
  EXPECT_EQ(send(""), Answer(v2::OK, "")) << "quorum_fsync goes without saying";
  EXPECT_EQ(send("all"), Answer(v2::OK, "all"));
  EXPECT_EQ(send("quorum_fsync"), Answer(v2::OK, "quorum_fsync"));
  EXPECT_EQ(send("leader"), Answer(v2::OK, "leader"));
  EXPECT_EQ(send("nonsense"), Answer(v2::BAD_REQUEST, ""));
  EXPECT_EQ(set_level("nonsense"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(set_level("all"), grpc::StatusCode::OK);
  EXPECT_EQ(send(""), Answer(v2::OK, "all"));
  EXPECT_EQ(send("quorum_fsync"), Answer(v2::OK, "quorum_fsync")) << "the request wins";

  Stop((leader + 2) % kMembers);
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 10'000;
  Answer answer;  // the leader may not have noticed yet, and then waits for it
  do {
    answer = send("");
  } while (answer.first == v2::SLAVE_PERSISTENCE_TIMEOUT &&
           SystemClock()->MonotonicMillis() < give_up_ms);
  EXPECT_EQ(answer, Answer(v2::HA_NOT_AVAILABLE, ""));
  EXPECT_EQ(set_level(""), grpc::StatusCode::OK);
  EXPECT_EQ(send(""), Answer(v2::OK, ""));
}

class AsyncFlushTest : public ClusterTest {
 protected:
  void Configure(BrokerConfig* config) const override { config->flushDiskType = "ASYNC_FLUSH"; }
};

TEST_F(AsyncFlushTest, ASendIsAnsweredWhenAMajorityHasItInMemoryAndADelayedOneWhenItIsOnDisk) {
  const BrokerClient client = Client(Follower());
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  ASSERT_TRUE(client.UpdateTopic("later", 1, adm::DELAY).ok());
  const auto reached = [&](v2::Message message) {
    grpc::ClientContext context;
    client.Fill(&context);
    v2::SendMessageRequest request;
    *request.add_messages() = std::move(message);
    v2::SendMessageResponse response;
    EXPECT_TRUE(client.messaging()->SendMessage(&context, request, &response).ok());
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    const auto& headers = context.GetServerInitialMetadata();
    const auto level = headers.find("x-raftmq-ack-level");
    return level == headers.end() ? std::string()
                                  : std::string(level->second.data(), level->second.size());
  };
  // What was reached is told: now and then the disks are as quick as the answer.
  std::string level;
  for (int i = 0; i < 200 && level.empty(); ++i) {
    level = reached(BrokerClient::MakeMessage("orders", "hi", StrCat("A", i)));
  }
  EXPECT_EQ(level, "quorum");
  v2::Message later = BrokerClient::MakeMessage("later", "hi", "B1");
  (*later.mutable_user_properties())["DELAY"] = "18";
  EXPECT_EQ(reached(std::move(later)), "") << "quorum_fsync, whatever was asked for";
}

TEST_F(MutualTlsTest, ForwardingWorksAndWhoeverHasNoCertificateStaysOutside) {
  const BrokerClient client = Client(Follower());
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  const auto sent = client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"));
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  const Received received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 5));
  EXPECT_EQ(received.messages.size(), 1) << received.status.message();

  EXPECT_TRUE(Ask(tls_).ok());
  EXPECT_EQ(Ask(TlsClientOptions()).error_code(), grpc::StatusCode::UNAVAILABLE) << "plaintext";
  TlsClientOptions nobody;
  nobody.enable = true;
  EXPECT_EQ(Ask(nobody).error_code(), grpc::StatusCode::UNAVAILABLE) << "no certificate";
  const TlsCertificate other = *MakeSelfSignedCertificate("127.0.0.1");
  TlsClientOptions stranger = tls_;
  stranger.certificate_pem = other.certificate_pem;
  stranger.key_pem = other.private_key_pem;
  EXPECT_EQ(Ask(stranger).error_code(), grpc::StatusCode::UNAVAILABLE) << "an unknown one";
  TlsClientOptions careful = tls_;
  careful.trust_pem = other.certificate_pem;
  EXPECT_EQ(Ask(careful).error_code(), grpc::StatusCode::UNAVAILABLE)
      << "the server's is not what this client trusts";
}

TEST_F(ClusterTest, AReceiveThatWaitsAtAnotherMemberIsAnsweredByTheNextMessage) {
  const int follower = Follower();
  const BrokerClient client = Client(follower);
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  Received received;
  std::thread receiver = StartThread("receiver", [&] {
    received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  });
  const BrokerClient other = Client((follower + 1) % kMembers);
  EXPECT_EQ(other.Send(BrokerClient::MakeMessage("orders", "hi", "A1")).status().code(), v2::OK);
  receiver.join();
  EXPECT_EQ(received.messages.size(), 1) << received.status.message();
}

TEST_F(ClusterTest, CallsGoOnWhileTheLeaderChanges) {
  const int leader = LeaderAsSeenBy(0);
  const BrokerClient client = Client((leader + 1) % kMembers);
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  Received received;  // waits at the leader that goes, then at the next
  std::thread receiver = StartThread("receiver", [&] {
    received = client.Receive(BrokerClient::MakeReceive("orders", "readers", 10));
  });
  Stop(leader);
  grpc::Status grpc_status;
  const auto sent = client.Send(BrokerClient::MakeMessage("orders", "hi", "A1"), &grpc_status);
  EXPECT_EQ(sent.status().code(), v2::OK) << grpc_status.error_message() << sent.status().message();
  receiver.join();
  EXPECT_EQ(received.messages.size(), 1) << received.status.message();
  Start(leader);
  EXPECT_TRUE(Client(leader).UpdateTopic("again").ok());
}

// What a group has committed, as its leader says.
class OffsetsTest : public ClusterTest {
 protected:
  static absl::Status ToStatus(const grpc::Status& done, const v2::Status& said = {}) {
    if (done.ok() && (said.code() == v2::OK || said.code() == v2::CODE_UNSPECIFIED)) {
      return absl::OkStatus();
    }
    return absl::UnknownError(StrCat(done.error_message(), said.message()));
  }
  static absl::Status Commit(const BrokerClient& client, int64_t offset) {
    grpc::ClientContext context;
    client.Fill(&context, 30'000);
    v2::UpdateOffsetRequest request;
    request.mutable_group()->set_name("readers");
    request.mutable_message_queue()->mutable_topic()->set_name("orders");
    request.set_offset(offset);
    v2::UpdateOffsetResponse response;
    const grpc::Status done = client.messaging()->UpdateOffset(&context, request, &response);
    return ToStatus(done, response.status());
  }
  static int64_t Committed(const BrokerClient& client) {
    grpc::ClientContext context;
    client.Fill(&context, 30'000);
    v2::GetOffsetRequest request;
    request.mutable_group()->set_name("readers");
    request.mutable_message_queue()->mutable_topic()->set_name("orders");
    v2::GetOffsetResponse response;
    const grpc::Status done = client.messaging()->GetOffset(&context, request, &response);
    EXPECT_TRUE(ToStatus(done, response.status()).ok()) << done.error_message();
    return response.offset();
  }
  static absl::StatusOr<adm::OffsetMove> Move(const BrokerClient& client,
                                              adm::MoveOffsetsRequest request) {
    grpc::ClientContext context;
    client.Fill(&context, 30'000);
    request.set_group("readers");
    request.set_topic("orders");
    adm::MoveOffsetsResponse response;
    const grpc::Status done = client.admin()->MoveOffsets(&context, request, &response);
    if (!done.ok()) return absl::UnknownError(done.error_message());
    return response.move();
  }
};

TEST_F(OffsetsTest, WhatIsCommittedNeverGoesBackWhileLeadersAreStopped) {
  int leader = LeaderAsSeenBy(0);
  ASSERT_TRUE(Client(leader).UpdateTopic("orders", 1).ok());
  constexpr int kRounds = 3;
  constexpr int kCommits = 20;
  for (int i = 0; i < kRounds * kCommits; ++i) {
    const auto sent = Client(leader).Send(BrokerClient::MakeMessage("orders", "x", StrCat("M", i)));
    ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  }
  int64_t committed = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kCommits; ++i) {
      ASSERT_TRUE(Commit(Client((leader + i) % kMembers), committed + 1).ok());
      ++committed;
    }
    Stop(leader);
    const int other = (leader + 1) % kMembers;
    EXPECT_EQ(Committed(Client(other)), committed) << "by the next leader, right away";
    Start(leader);
    leader = LeaderAsSeenBy(other);
  }
}

TEST_F(OffsetsTest, AMoveItsHistoryAndItsUndoSurviveTheLeader) {
  const int leader = LeaderAsSeenBy(0);
  const int other = (leader + 1) % kMembers;
  ASSERT_TRUE(Client(leader).UpdateTopic("orders", 1).ok());
  for (int i = 0; i < 5; ++i) {
    Client(leader).Send(BrokerClient::MakeMessage("orders", "x", StrCat("M", i)));
  }
  ASSERT_TRUE(Commit(Client(other), 1).ok());
  adm::MoveOffsetsRequest to_end;
  to_end.set_end(true);
  to_end.set_why("too much of it");
  const auto moved = Move(Client(other), to_end);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(moved->who(), "test-client") << "who called the member that forwarded it";
  const int64_t end = Committed(Client(other));

  Stop(leader);
  EXPECT_EQ(Committed(Client(other)), end);
  adm::MoveOffsetsRequest undo;
  undo.set_undo(0);
  const auto undone = Move(Client(other), undo);
  ASSERT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(undone->undoes(), moved->number());
  EXPECT_EQ(Committed(Client(other)), 1);
  EXPECT_FALSE(Move(Client(other), undo).ok()) << "nothing is left to undo";
  EXPECT_FALSE(Move(Client(other), {}).ok()) << "where to is not said";
  Start(leader);
  LeaderAsSeenBy(leader);
  adm::ListOffsetMovesRequest request;
  request.set_group("readers");
  adm::ListOffsetMovesResponse history;
  // It answers from what it has applied.
  const int64_t give_up_ms = SystemClock()->MonotonicMillis() + 10'000;
  while (history.moves_size() < 2) {
    ASSERT_LT(SystemClock()->MonotonicMillis(), give_up_ms)
        << "the member that was away has " << history.moves_size() << " moves";
    grpc::ClientContext context;
    Client(leader).Fill(&context);
    ASSERT_TRUE(Client(leader).admin()->ListOffsetMoves(&context, request, &history).ok());
  }
  EXPECT_EQ(history.moves(0).SerializeAsString(), moved->SerializeAsString());
  EXPECT_EQ(history.moves(1).SerializeAsString(), undone->SerializeAsString());
}

TEST_F(ClusterTest, ARouteLeavesOutAMemberThatIsGone) {
  const int leader = LeaderAsSeenBy(0);
  const int gone = (leader + 1) % kMembers;
  const BrokerClient client = Client(leader);
  ASSERT_TRUE(client.UpdateTopic("orders", 1).ok());
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  while (client.QueryRoute("orders").message_queues(0).broker().endpoints().addresses_size() < 3) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000) << "members were never listed";
  }
  Stop(gone);
  const int64_t stopped_ms = SystemClock()->MonotonicMillis();
  while (client.QueryRoute("orders").message_queues(0).broker().endpoints().addresses_size() > 2) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - stopped_ms, 2'000);
  }
  const v2::QueryRouteResponse for_node = Client(leader, "HTTP").QueryRoute("orders");
  EXPECT_EQ(for_node.message_queues_size(), 2) << "a virtual broker for each member";
}

TEST_F(ClusterTest, AMemberThatCatchesUpAsksTheLeaderForWhatItLacks) {
  const int follower = Follower();
  Stop(follower);
  const BrokerClient leader = Client((follower + 1) % kMembers);
  ASSERT_TRUE(leader.UpdateTopic("made-meanwhile").ok());
  {
    grpc::ClientContext context;
    leader.Fill(&context);
    adm::UpdateGroupRequest group;
    group.set_name("walkers");
    group.set_orderly(true);
    adm::UpdateGroupResponse response;
    ASSERT_TRUE(leader.admin()->UpdateGroup(&context, group, &response).ok());
  }
  Start(follower);
  const BrokerClient client = Client(follower);
  EXPECT_EQ(client.QueryRoute("made-meanwhile").status().code(), v2::OK);
  grpc::ClientContext context;
  client.Fill(&context);
  auto stream = client.messaging()->Telemetry(&context);
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PUSH_CONSUMER);
  command.mutable_settings()->mutable_subscription()->mutable_group()->set_name("walkers");
  ASSERT_TRUE(stream->Write(command));
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_TRUE(answer.settings().subscription().fifo()) << "the group is orderly";
  context.TryCancel();
}

// Segments of 4 MiB, of which two may stay.
class RetentionClusterTest : public ClusterTest {
 protected:
  void Configure(BrokerConfig* config) const override {
    config->commitLogMaxBytes = 8 << 20;
    config->sendDedupeMaxMessages = 0;  // what repeated sends are known by would stay
  }
  // Asks until it is so: retention looks every ten seconds, and waits for the next flush. In
  // between, a second passes at a receiver that nothing comes for.
  bool Comes(const std::function<bool()>& condition) {
    for (int i = 0; i < 60; ++i) {
      if (condition()) return true;
      EXPECT_TRUE(
          Client(0).Receive(BrokerClient::MakeReceive("quiet", "clock", 1)).messages.empty());
    }
    return false;
  }
};

TEST_F(RetentionClusterTest, OldMessagesExpireEverywhereAndALeasedOneIsStillDelivered) {
  const BrokerClient client = Client(Follower());
  ASSERT_TRUE(client.UpdateTopic("big", 1).ok());
  ASSERT_TRUE(client.UpdateTopic("quiet", 1).ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("big", "first", "A")).status().code(), v2::OK);
  auto receive = BrokerClient::MakeReceive("big", "holders", 5);
  receive.mutable_invisible_duration()->set_seconds(10);
  ASSERT_EQ(client.Receive(receive).messages.size(), 1);
  for (int i = 0; i < 24; ++i) {
    const auto sent =
        client.Send(BrokerClient::MakeMessage("big", std::string(900'000, 'x'), StrCat("B", i)));
    ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  }
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_TRUE(Comes([&] { return Client(i).MemberStatus().first_position() >= 12 << 20; })) << i;
    const adm::GetMemberStatusResponse status = Client(i).MemberStatus();
    EXPECT_EQ(status.min_position(), Client(0).MemberStatus().min_position());
    EXPECT_EQ(status.kept_records(), 1);
  }
  // A member begins with what it has left.
  const int again = Follower();
  Stop(again);
  Start(again);
  receive.set_batch_size(1);
  std::vector<v2::Message> messages;
  ASSERT_TRUE(Comes([&] {
    messages = Client(again).Receive(receive).messages;
    return !messages.empty() && messages[0].body() == "first";
  })) << "its lease is over";
  EXPECT_EQ(Client(again).Ack("holders", messages[0]).status().code(), v2::OK);
  EXPECT_TRUE(Comes([&] { return Client(again).MemberStatus().kept_records() == 0; }));
  auto other = BrokerClient::MakeReceive("big", "late", 5);
  other.set_batch_size(1);
  const Received left = Client(again).Receive(other);
  ASSERT_EQ(left.messages.size(), 1);
  EXPECT_GT(left.messages[0].system_properties().queue_offset(), 10);
}

class PreferredLeaderTest : public ClusterTest {
 protected:
  void Configure(BrokerConfig* config) const override {
    config->preferredLeaderId = "n1";
    config->preferredLeaderWaitMs = 100;
  }
};

TEST_F(PreferredLeaderTest, ItLeadsAgainAfterItCameBack) {
  const auto wait_for_n1 = [this] {
    const int64_t began_ms = SystemClock()->MonotonicMillis();
    while (LeaderAsSeenBy(0) != 1) {
      ASSERT_LT(SystemClock()->MonotonicMillis() - began_ms, 20'000);
    }
  };
  wait_for_n1();
  Stop(1);
  EXPECT_NE(LeaderAsSeenBy(0), 1);
  Start(1);
  wait_for_n1();
}

TEST_F(ClusterTest, AForwardedCallCarriesWhoCalls) {
  BrokerClient client = Client(Follower());
  client.client_id = "the-very-caller";
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "hi", "A1")).status().code(), v2::OK);
  ASSERT_EQ(client.Receive(BrokerClient::MakeReceive("orders", "readers", 5)).messages.size(), 1);
  EXPECT_THAT(Client(LeaderAsSeenBy(0)).DumpState(), testing::HasSubstr("the-very-caller"))
      << "the lease's holder";
}

TEST_F(ClusterTest, AReceiversGoingAwayIsCarriedToTheLeader) {
  const BrokerClient client = Client(Follower());
  ASSERT_TRUE(client.UpdateTopic("orders").ok());
  grpc::ClientContext leaving;
  client.Fill(&leaving);
  auto reader =
      client.messaging()->ReceiveMessage(&leaving, BrokerClient::MakeReceive("orders", "r", 9));
  // These take the same two connections, after it.
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.UpdateTopic("orders").ok());
  leaving.TryCancel();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.UpdateTopic("orders").ok());
  ASSERT_EQ(client.Send(BrokerClient::MakeMessage("orders", "hi", "A1")).status().code(), v2::OK);
  const Received received = client.Receive(BrokerClient::MakeReceive("orders", "r", 9));
  ASSERT_EQ(received.messages.size(), 1);
  EXPECT_EQ(received.messages[0].system_properties().delivery_attempt(), 1)
      << "it was not given to the one that left";
  v2::ReceiveMessageResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ClusterTest, AMemberLeftAloneSendsItsClientsAwayAndTakesThemAgain) {
  const int leader = LeaderAsSeenBy(0);
  const int left = (leader + 1) % kMembers;
  const int third = (leader + 2) % kMembers;
  const BrokerClient client = Client(left);
  // On a connection of its own: one that carried an administrative call is kept for operators.
  ASSERT_TRUE(Client(left).UpdateTopic("orders").ok());
  // A stream stays open as long as the connection does.
  grpc::ClientContext context;
  client.Fill(&context, 60'000);
  auto stream = client.messaging()->Telemetry(&context);
  Stop(leader);
  Stop(third);
  v2::TelemetryCommand command;
  EXPECT_FALSE(stream->Read(&command)) << "the connection must be closed";
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  // Operators are not sent away.
  EXPECT_EQ(Client(left).MemberStatus().leader_id(), 0);
  EXPECT_FALSE(Client(left).Healthy());
  Start(leader);
  const int64_t began_ms = SystemClock()->MonotonicMillis();
  while (client.Send(BrokerClient::MakeMessage("orders", "hi", "A1")).status().code() != v2::OK) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000) << "there is a leader again";
  }
  while (!Client(left).Healthy()) {
    ASSERT_LT(SystemClock()->MonotonicMillis() - began_ms, 10'000);
  }
}

}  // namespace
}  // namespace raftmq::broker
