#include "broker/registration/namesrv_routes.h"

#include <optional>

#include "absl/synchronization/notification.h"
#include "base/event_loop.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/reserved_ports.h"
#include "broker/testing/cq_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "namesrv/namesrv_service.h"

namespace raftmq::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NamesrvRoutesTest : public ::testing::Test {
 protected:
  struct Server {
    int port = ReservePort();
    std::unique_ptr<namesrv::NameServer> server;
  };

  void SetUp() override {
    for (Server& server : servers_) Restart(&server);
  }
  // It knows nothing then.
  void Restart(Server* server) {
    server->server.reset();
    namesrv::NameServerOptions options;
    options.listen_address = StrCat("127.0.0.1:", server->port);
    auto started = namesrv::NameServer::Start(options, SystemClock());
    ASSERT_TRUE(started.ok()) << started.status();
    server->server = *std::move(started);
  }

  static namesrv::Registration Leader(const std::string& broker, std::vector<std::string> topics) {
    namesrv::Registration r;
    r.cluster = "c";
    r.broker_name = broker;
    r.member = MemberId(1);
    r.member_name = "n0";
    r.client_address = StrCat(broker, ".example:8081");
    r.term = Term(3);
    r.leader = true;
    for (const std::string& topic : topics) r.topics.push_back({topic, 4, 2, 6, "FIFO"});
    return r;
  }
  void Register(Server& server, const namesrv::Registration& r) {
    const absl::Status status = server.server->table().Register(next_stream_++, r);
    ASSERT_TRUE(status.ok()) << status;
  }

  OtherGroups::Groups Ask(const std::string& topic) {
    if (!routes_) {
      NamesrvRoutesOptions options;
      for (const Server& server : servers_) {
        options.namesrv_addresses.push_back(StrCat("127.0.0.1:", server.port));
      }
      options.own_broker_name = "broker-a";
      options.ask_ms = 10'000;  // a busy machine is no reason to fail
      routes_.emplace(std::move(options), &hosts_, &clock_, cq_.queue());
    }
    absl::Notification answered;
    OtherGroups::Groups groups;
    routes_->Find(topic, [&](OtherGroups::Groups found) {
      groups = std::move(found);
      answered.Notify();
    });
    answered.WaitForNotification();
    return groups;
  }
  std::vector<std::string> Names(const std::string& topic) {
    std::vector<std::string> names;
    for (const GroupRoute& group : *Ask(topic)) names.push_back(group.view.broker_name);
    return names;
  }
  void PassFreshness() { clock_.AdvanceMillis(1'000); }

  CqThread cq_;
  FakeClock clock_;
  EventLoop resolve_{"resolve"};
  HostNames hosts_{&clock_, &resolve_, [](const std::string& host) -> absl::StatusOr<ResolvedHost> {
                     return ResolvedHost{StrCat("10.0.0.", host.size()), v2::IPv4};
                   }};
  Server servers_[2];
  namesrv::RouteTable::StreamId next_stream_ = 1'000'000;
  std::optional<NamesrvRoutes> routes_;
};

TEST_F(NamesrvRoutesTest, AllOthersThatServeTheTopicAreNamedWhicheverNameServerKnowsThem) {
  Register(servers_[0], Leader("broker-a", {"T"}));
  Register(servers_[0], Leader("broker-b", {"T"}));
  Register(servers_[1], Leader("broker-c", {"T"}));
  Register(servers_[1], Leader("broker-d", {"other"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b", "broker-c"));
  EXPECT_THAT(Names("nowhere"), IsEmpty());
}

TEST_F(NamesrvRoutesTest, AGroupComesWithItsTopicAndWhoServesAtNumericAddresses) {
  namesrv::Registration r = Leader("broker-b", {"T"});
  r.serving = {MemberId(1), MemberId(3)};
  r.preferred = MemberId(3);
  r.group_dns_name = "b.example:80";
  Register(servers_[0], r);
  r.leader = false;
  for (const int id : {2, 3}) {
    r.member = MemberId(id);
    r.member_name = StrCat("n", id - 1);
    r.client_address = StrCat("10.9.9.", id, ":8081");
    Register(servers_[0], r);
  }
  const OtherGroups::Groups groups = Ask("T");
  ASSERT_EQ(groups->size(), 1u);
  const GroupRoute& group = groups->front();
  EXPECT_EQ(group.topic.name, "T");
  EXPECT_EQ(group.topic.read_queues, 4);
  EXPECT_EQ(group.topic.write_queues, 2);
  EXPECT_EQ(group.topic.type, store::TopicType::kFifo);
  EXPECT_EQ(group.view.dns_host, "b.example");
  EXPECT_EQ(group.view.dns_port, 80);
  ASSERT_EQ(group.view.members.size(), 2u) << "member 2 serves nobody";
  EXPECT_EQ(group.view.members[0].host, "10.9.9.3") << "the preferred one";
  EXPECT_EQ(group.view.members[1].host, "10.0.0.16") << "resolved";
  EXPECT_TRUE(group.view.members[1].leader);
  EXPECT_EQ(group.view.members[1].name, "n0");
}

TEST_F(NamesrvRoutesTest, AnAnswerServesForASecond) {
  Register(servers_[0], Leader("broker-b", {"T"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  Register(servers_[0], Leader("broker-c", {"T"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  PassFreshness();
  EXPECT_THAT(Names("T"), ElementsAre("broker-b", "broker-c"));
}

TEST_F(NamesrvRoutesTest, TheWordOfTheNewerTermCounts) {
  Register(servers_[0], Leader("broker-b", {"T"}));
  namesrv::Registration newer = Leader("broker-b", {"T"});
  newer.term = Term(4);
  newer.topics[0].read_queues = 9;
  Register(servers_[1], newer);
  const OtherGroups::Groups groups = Ask("T");
  ASSERT_EQ(groups->size(), 1u);
  EXPECT_EQ(groups->front().topic.read_queues, 9);
}

TEST_F(NamesrvRoutesTest, AGroupWhoseTopicIsDeletedIsGoneAtOnce) {
  Register(servers_[0], Leader("broker-b", {"T"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  Register(servers_[0], Leader("broker-b", {}));
  PassFreshness();
  EXPECT_THAT(Names("T"), IsEmpty());
}

TEST_F(NamesrvRoutesTest, ANameServerThatKnowsAGroupNoMoreIsBelievedAfterSomeSeconds) {
  for (Server& server : servers_) Register(server, Leader("broker-b", {"T"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  for (Server& server : servers_) Restart(&server);
  PassFreshness();
  EXPECT_THAT(Names("T"), ElementsAre("broker-b")) << "it may not have come back to them yet";
  clock_.AdvanceMillis(5'000);
  EXPECT_THAT(Names("T"), IsEmpty());
}

TEST_F(NamesrvRoutesTest, WhileNoNameServerAnswersWhatWasKnownGoesOn) {
  Register(servers_[0], Leader("broker-b", {"T"}));
  EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  for (Server& server : servers_) server.server.reset();
  for (int i = 0; i < 3; ++i) {
    clock_.AdvanceMillis(60'000);
    EXPECT_THAT(Names("T"), ElementsAre("broker-b"));
  }
  EXPECT_THAT(Names("another"), IsEmpty());
}

}  // namespace
}  // namespace raftmq::broker
