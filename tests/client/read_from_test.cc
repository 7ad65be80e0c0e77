// Who answers a consumer's reads, and how fresh, against real brokers.
#include <set>

#include "absl/synchronization/mutex.h"
#include "client/pull_consumer.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int kMembers = 3;

class ReadFromTest : public ClientTest {
 protected:
  void SetUp() override {
    StartNameServers(1);
    StartGroups(1, kMembers);
    CreateTopic("orders", kMembers);
    producer_ = StartProducer();
    WaitUntil([&] { return ServingMembers() == kMembers && LeaderOf(*groups_[0]) >= 0; });
    leader_ = LeaderOf(*groups_[0]);
  }

  int ServingMembers() const {
    int serving = 0;
    for (const namesrv::Group& group : name_servers_[0]->table().Groups()) {
      for (const namesrv::GroupMember& member : group.members) serving += member.serving;
    }
    return serving;
  }
  // Until every member can answer with all that was acknowledged so far.
  void AwaitAppliedEverywhere() const {
    const auto status = [this](int member) {
      return broker::BrokerClient(groups_[0]->port(member), "JAVA").MemberStatus();
    };
    const int64_t committed = status(leader_).commit_index();
    WaitUntil([&] {
      for (int member = 0; member < kMembers; ++member) {
        if (status(member).applied_index() < committed) return false;
      }
      return true;
    });
  }
  std::unique_ptr<PullConsumer> StartPullConsumer(PullConsumerOptions options = {}) {
    options.namesrvAddr = NamesrvAddr();
    options.consumerGroup = "readers";
    auto consumer = PullConsumer::Start(options);
    CHECK(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }
  static MessageQueue Queue(int id) { return {"orders", "broker-a", QueueId(id)}; }
  // Where the next one goes.
  QueueOffset Send(int queue) {
    const auto sent = producer_->SendToQueue(Make("orders", "hi"), Queue(queue));
    CHECK(sent.ok()) << sent.status();
    return sent->offset + 1;
  }
  std::string AddressOf(int member) const { return StrCat("127.0.0.1:", groups_[0]->port(member)); }
  std::unique_ptr<Producer> producer_;
  int leader_ = -1;
};

TEST_F(ReadFromTest, APullGoesToWhomTheCallerSays) {
  for (int queue = 0; queue < kMembers; ++queue) Send(queue);
  auto consumer = StartPullConsumer();
  const auto answered_by = [&](int queue, const PullConsumer::Read& read) {
    const auto pulled = consumer->Pull(Queue(queue), "*", QueueOffset(0), 1, read);
    CHECK(pulled.ok()) << pulled.status();
    CHECK_EQ(pulled->messages.size(), 1u);
    return pulled->messages[0].endpoint;
  };
  std::set<std::string> any;
  std::set<std::string> followers;
  for (int queue = 0; queue < kMembers; ++queue) {
    EXPECT_EQ(answered_by(queue, ReadOptions{ReadFrom::kLeader, kLinearizable}),
              AddressOf(leader_));
    any.insert(answered_by(queue, ReadOptions{ReadFrom::kAny, kLinearizable}));
    followers.insert(answered_by(queue, ReadOptions{ReadFrom::kFollower, kLinearizable}));
  }
  EXPECT_THAT(any, SizeIs(kMembers)) << "queues take turns";
  EXPECT_THAT(followers, SizeIs(kMembers - 1));
  EXPECT_THAT(followers, Not(testing::Contains(AddressOf(leader_))));
}

TEST_F(ReadFromTest, LinearizableReadsAtFollowersSeeAllThatWasAcknowledgedBefore) {
  PullConsumerOptions options;
  options.read = {ReadFrom::kFollower, kLinearizable};
  auto consumer = StartPullConsumer(options);
  for (int i = 0; i < 100; ++i) {
    const int queue = i % kMembers;
    const QueueOffset end = Send(queue);
    ASSERT_EQ(*consumer->MaxOffset(Queue(queue)), end);
    const auto pulled = consumer->Pull(Queue(queue), "*", end - 1, 1);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    ASSERT_THAT(pulled->messages, SizeIs(1));
    ASSERT_NE(pulled->messages[0].endpoint, AddressOf(leader_));
    ASSERT_TRUE(consumer->UpdateConsumeOffset(Queue(queue), end).ok());
    ASSERT_EQ(**consumer->FetchConsumeOffset(Queue(queue)), end);
    ASSERT_EQ(*consumer->SearchOffset(Queue(queue), pulled->messages[0].store_ms + 1), end);
  }
}

TEST_F(ReadFromTest, AReadWhoseMemberIsGoneIsAnsweredWithinTheSameCall) {
  const QueueOffset end = Send(0);
  AwaitAppliedEverywhere();  // a read may be a minute behind
  PullConsumerOptions options;
  options.read = {ReadFrom::kFollower, 60'000};
  options.pollNameServerInterval = 3'600'000;  // it still knows the member that is gone
  auto consumer = StartPullConsumer(options);
  EXPECT_EQ(*consumer->MaxOffset(Queue(0)), end);
  for (int i = 0; i < kMembers; ++i) {
    if (i != leader_) groups_[0]->Stop(i);
    if (i != leader_) break;
  }
  for (int queue = 0; queue < kMembers; ++queue) {
    EXPECT_EQ(*consumer->MinOffset(Queue(queue)), QueueOffset(0));
    EXPECT_EQ(*consumer->MaxOffset(Queue(queue)), queue == 0 ? end : QueueOffset(0));
    EXPECT_TRUE(consumer->Pull(Queue(queue), "*", QueueOffset(0), 1).ok());
  }
}

TEST_F(ReadFromTest, WhatNobodyCanProveIsRefusedNotGuessed) {
  Send(0);
  PullConsumerOptions options;
  options.requestTimeout = 2'000;
  auto consumer = StartPullConsumer(options);
  ASSERT_TRUE(consumer->MaxOffset(Queue(0)).ok());
  for (int i = 0; i < kMembers; ++i) {
    if (i != leader_) groups_[0]->Stop(i);  // the one that is left has no majority
  }
  for (const ReadFrom from : {ReadFrom::kLeader, ReadFrom::kAny, ReadFrom::kFollower}) {
    EXPECT_FALSE(consumer->MaxOffset(Queue(0), ReadOptions{from, kLinearizable}).ok());
    EXPECT_FALSE(consumer->FetchConsumeOffset(Queue(0), ReadOptions{from, 1}).ok());
  }
}

TEST_F(ReadFromTest, ConsumersThatPollReadFromFollowersToo) {
  for (int i = 0; i < 30; ++i) Send(i % kMembers);
  PullConsumerOptions options;
  options.read.from = ReadFrom::kFollower;
  auto consumer = StartPullConsumer(options);
  ASSERT_TRUE(consumer->Assign({Queue(0), Queue(1), Queue(2)}).ok());
  std::multiset<std::string> from;
  WaitUntil([&] {
    for (const ReceivedMessage& message : consumer->Poll(100)) from.insert(message.endpoint);
    return from.size() >= 30;
  });
  EXPECT_THAT(from, SizeIs(30));
  EXPECT_LT(from.count(AddressOf(leader_)), 30u);
  // What arrives while pulls wait there comes as well.
  for (int i = 0; i < 30; ++i) Send(i % kMembers);
  WaitUntil([&] {
    for (const ReceivedMessage& message : consumer->Poll(100)) from.insert(message.endpoint);
    return from.size() >= 60;
  });
  EXPECT_THAT(from, SizeIs(60)) << "nothing twice";
}

class FarBehindTest : public ReadFromTest {
 protected:
  void SetUp() override {
    configure_ = [](broker::BrokerConfig* config) {
      config->slaveReadEnable = true;
      config->accessMessageInMemoryMaxRatio = 0;  // any message that is not the last is far behind
    };
    ReadFromTest::SetUp();
  }
};

TEST_F(FarBehindTest, PullsOfAQueueGoToAFollowerWhileTheConsumerIsFarBehind) {
  for (int i = 0; i < 4; ++i) Send(0);
  const QueueOffset end = Send(0);
  auto consumer = StartPullConsumer();
  std::vector<bool> by_leader;
  for (QueueOffset at(0); at < end; at = at + 1) {
    const auto pulled =
        consumer->Pull(Queue(0), "*", at, 1, ReadOptions{ReadFrom::kLeader, kLinearizable});
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    ASSERT_THAT(pulled->messages, SizeIs(1));
    by_leader.push_back(pulled->messages[0].endpoint == AddressOf(leader_));
  }
  EXPECT_THAT(by_leader, ElementsAre(true, false, false, false, false));
}

TEST_F(FarBehindTest, ConsumersThatPollFollowTheSuggestionAndComeBack) {
  const int count = 100;
  for (int i = 0; i < count; ++i) Send(0);
  PushConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "pushed";
  options.subscription = {{"orders", "*"}};
  options.pullBatchSize = 10;
  absl::Mutex mu;
  std::vector<std::string> from;
  options.concurrently = [&](const std::vector<ReceivedMessage>& messages,
                             ConsumeConcurrentlyContext&) {
    absl::MutexLock lock(&mu);
    for (const ReceivedMessage& message : messages) from.push_back(message.endpoint);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto consumer = PushConsumer::Start(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const auto received = [&] {
    absl::MutexLock lock(&mu);
    return from.size();
  };
  WaitUntil([&] { return received() >= count; });
  {
    absl::MutexLock lock(&mu);
    EXPECT_THAT(from, SizeIs(count));
    EXPECT_THAT(from, testing::Contains(AddressOf(leader_))) << "the first pull";
    EXPECT_THAT(from, testing::Contains(Not(AddressOf(leader_))));
    from.clear();
  }
  // The group's commits are behind the last message in the log, too: it may take a few.
  WaitUntil([&] {
    Send(0);
    absl::MutexLock lock(&mu);
    return !from.empty() && from.back() == AddressOf(leader_);
  });
}

TEST_F(ReadFromTest, NobodyIsSentToFollowersUnlessTheBrokersSaySo) {
  const QueueOffset end = Send(0) + 1;
  Send(0);
  auto consumer = StartPullConsumer();
  for (QueueOffset at(0); at < end; at = at + 1) {
    const auto pulled =
        consumer->Pull(Queue(0), "*", at, 1, ReadOptions{ReadFrom::kLeader, kLinearizable});
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    ASSERT_THAT(pulled->messages, SizeIs(1));
    EXPECT_EQ(pulled->messages[0].endpoint, AddressOf(leader_));
  }
}

TEST_F(ReadFromTest, AFreshnessThatCannotBeIsRefused) {
  PullConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "readers";
  options.read.maxLagMillis = -1;
  const absl::Status refused = PullConsumer::Start(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("maxLagMillis -1"));
}

}  // namespace
}  // namespace raftmq::client
