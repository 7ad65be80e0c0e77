// Our client while members, broker groups and NameServers come and go.
#include <set>
#include <thread>

#include "base/thread.h"
#include "client/pull_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

class FailoverTest : public ClientTest {
 protected:
  // How many messages a topic of broker-a has.
  int64_t Stored(const std::string& topic, int queues) {
    PullConsumerOptions options;
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "counters";
    auto consumer = PullConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    int64_t stored = 0;
    for (int queue = 0; queue < queues; ++queue) {
      auto end = (*consumer)->MaxOffset({topic, "broker-a", QueueId(queue)});
      CHECK(end.ok()) << end.status();
      stored += end->value();
    }
    return stored;
  }
};

TEST_F(FailoverTest, SendsGoOnWhileTheLeaderChanges) {
  StartNameServers(1);
  StartGroups(1, 3);
  CreateTopic("orders", 4);
  auto producer = StartProducer();
  ASSERT_TRUE(producer->Send(Make("orders", "before")).ok());
  const int leader = LeaderOf(*groups_[0]);
  ASSERT_GE(leader, 0);
  std::thread stopper = StartThread("stopper", [&] { groups_[0]->Stop(leader); });
  std::set<std::string> sent = {"before"};
  for (int i = 0; i < 300; ++i) {
    auto receipt = producer->Send(Make("orders", StrCat(i)));
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    sent.insert(StrCat(i));
  }
  stopper.join();
  WaitUntil([&] { return LeaderOf(*groups_[0]) >= 0 && LeaderOf(*groups_[0]) != leader; });
  auto last = producer->Send(Make("orders", "after"));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->attempts, 1) << "straight to the new leader";
  sent.insert("after");
  auto consumer = StartConsumer("orders");
  std::set<std::string> got;
  while (got.size() < sent.size()) {
    const auto some = ReceiveBodies(consumer.get(), 1);
    ASSERT_FALSE(some.empty()) << got.size() << " of " << sent.size() << " came";
    got.insert(some.begin(), some.end());
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(Stored("orders", 4), static_cast<int64_t>(sent.size()))
      << "a send that was tried again is one message";
}

TEST_F(FailoverTest, OneGroupsDeathLeavesTheOthersQueuesAndItsMessagesReturnWithIt) {
  StartNameServers(1);
  StartGroups(2, 1);
  CreateTopic("orders", 2);
  auto producer = StartProducer();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(producer->Send(Make("orders", StrCat("early", i))).ok());
  groups_[1]->Stop(0);
  for (int i = 0; i < 20; ++i) {
    auto receipt = producer->Send(Make("orders", StrCat("late", i)));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->broker_name, "broker-a");
  }
  SimpleConsumerOptions options;
  options.pollNameServerInterval = 20;
  auto consumer = StartConsumer("orders", options);
  const auto first = ReceiveBodies(consumer.get(), 24);
  EXPECT_THAT(std::set<std::string>(first.begin(), first.end()), SizeIs(24));
  groups_[1]->Start(0);
  const auto returned = ReceiveBodies(consumer.get(), 4);
  EXPECT_THAT(returned, SizeIs(4));
  EXPECT_THAT(returned, Each(testing::StartsWith("early")));
}

TEST_F(FailoverTest, ARetryGoesToTheOtherGroupBeforeTheRouteIsKnownToHaveChanged) {
  StartNameServers(1);
  StartGroups(2, 1);
  CreateTopic("orders", 1);
  auto producer = StartProducer();
  ASSERT_TRUE(producer->Send(Make("orders", "x")).ok());
  StopNameServer(0);  // nobody tells of what follows
  groups_[1]->Stop(0);
  int retried = 0;
  for (int i = 0; i < 4; ++i) {
    auto receipt = producer->Send(Make("orders", "x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->broker_name, "broker-a");
    retried += receipt->attempts == 2;
  }
  EXPECT_GT(retried, 0) << "some send began at the dead group";
}

TEST_F(FailoverTest, WithSendLatencyFaultEnableADeadGroupIsTriedOnceOnly) {
  StartNameServers(1);
  StartGroups(2, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.fault.sendLatencyFaultEnable = true;
  auto producer = StartProducer(options);
  ASSERT_TRUE(producer->Send(Make("orders", "x")).ok());
  StopNameServer(0);
  groups_[1]->Stop(0);
  int retried = 0;
  for (int i = 0; i < 10; ++i) {
    auto receipt = producer->Send(Make("orders", "x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    retried += receipt->attempts > 1;
  }
  EXPECT_EQ(retried, 1) << "it is left alone for 10 s";
}

TEST_F(FailoverTest, ClientsGoOnWhileAnyOneOfTheNameServersIsDown) {
  StartNameServers(2);
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.pollNameServerInterval = 20;
  auto producer = StartProducer(options);
  for (int down : {0, 1}) {
    StopNameServer(down);
    ASSERT_TRUE(producer->Send(Make("orders", "known")).ok());
    const absl::Status newcomer = StartProducer()->Send(Make("orders", "new")).status();
    EXPECT_TRUE(newcomer.ok()) << "a client that starts now: " << newcomer;
    StartNameServer(down);
    // Its routes come back by themselves: it has no disk and asks nobody.
    WaitUntil([&] { return name_servers_[down]->table().Route("orders").size() == 1; });
  }
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders").get(), 4), SizeIs(4));
}

TEST_F(FailoverTest, ANewGroupIsNoticedAtTheNextPoll) {
  StartNameServers(1);
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  ProducerOptions options;
  options.pollNameServerInterval = 20;
  auto producer = StartProducer(options);
  ASSERT_TRUE(producer->Send(Make("orders", "x")).ok());
  broker::BrokerGroup::Options another;
  another.folder = StrCat(testing::TempDir(), "/client-another-", getpid());
  another.name = "broker-b";
  another.members = 1;
  another.namesrvAddr = NamesrvAddr();
  groups_.push_back(std::make_unique<broker::BrokerGroup>(another));
  groups_.back()->StartAll();
  CreateTopic("orders", 1);
  // Nothing fails, so only the poll can tell.
  WaitUntil([&] {
    auto receipt = producer->Send(Make("orders", "x"));
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    return receipt.ok() && receipt->broker_name == "broker-b";
  });
}

}  // namespace
}  // namespace raftmq::client
