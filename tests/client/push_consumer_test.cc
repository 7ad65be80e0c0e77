// Push consumers against real brokers: who gets what, once, in order, while members come and go.
#include "client/push_consumer.h"

#include <atomic>
#include <map>

#include "absl/synchronization/mutex.h"
#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(PushConsumerTest, MembersShareTheQueuesAndEachMessageComesOnce) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  auto a = RunConcurrently("a");
  AwaitShares({a.get()}, {4});
  auto b = RunConcurrently("b");
  AwaitShares({a.get(), b.get()}, {2, 2});
  SendAll(0, 100);
  WaitUntil([&] { return seen_.distinct() == 100; });
  EXPECT_THAT(seen_.Twice(), IsEmpty());
  EXPECT_THAT(seen_.of("a"), SizeIs(50));
  b.reset();
  AwaitShares({a.get()}, {4});
  SendAll(100, 120);
  WaitUntil([&] { return seen_.distinct() == 120; });
  EXPECT_THAT(seen_.Twice(), IsEmpty()) << "what b consumed it had committed";
}

TEST_F(PushConsumerTest, HandOversWhileMessagesFlowConsumeNothingTwice) {
  StartGroups(1, 1);
  CreateTopic("orders", 6);
  auto a = RunConcurrently("a");
  AwaitShares({a.get()}, {6});
  for (int round = 0; round < 4; ++round) {
    SendAll(round * 100, round * 100 + 50);
    auto b = RunConcurrently("b");
    SendAll(round * 100 + 50, round * 100 + 100);
    AwaitShares({a.get(), b.get()}, {3, 3});
  }
  WaitUntil([&] { return seen_.distinct() == 400; });
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

TEST_F(PushConsumerTest, AFailedMessageComesAgainFromTheRetryTopicAndThenIsDeadLettered) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  options.maxReconsumeTimes = 1;
  std::atomic<int> attempts{0};
  std::atomic<int> last_attempt{0};
  options.concurrently = [&](const auto& messages, auto& context) {
    if (messages[0].body == "bad") {
      ++attempts;
      last_attempt = messages[0].delivery_attempt;
      EXPECT_EQ(messages[0].topic, "orders") << "also when it comes from the retry topic";
      context.delay_level_when_next_consume = 1;
      return ConsumeConcurrentlyStatus::kReconsumeLater;
    }
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  auto producer = StartProducer();
  ASSERT_TRUE(producer->Send(Make("orders", "bad")).ok());
  ASSERT_TRUE(producer->Send(Make("orders", "good")).ok());
  WaitUntil([&] { return seen_.distinct() == 1 && attempts == 2; });
  EXPECT_EQ(last_attempt, 2);
  auto dead = StartConsumer("%DLQ%workers");
  EXPECT_THAT(ReceiveBodies(dead.get(), 1), ElementsAre("bad"));
}

TEST_F(PushConsumerTest, WhatAListenerHoldsForTooLongComesAgainAndItsLateAnswerDoesNotCount) {
  configure_ = [](broker::BrokerConfig* config) { config->messageDelayLevel = "1s 1s 1s"; };
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  options.consumeTimeout = 200;
  absl::Notification let_go;
  std::atomic<bool> late{false};
  options.concurrently = [&](const auto& messages, auto&) {
    if (messages[0].body == "1" && messages[0].delivery_attempt == 1) {
      let_go.WaitForNotification();
      late = true;
      return ConsumeConcurrentlyStatus::kReconsumeLater;
    }
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  SendAll(0, 3);
  WaitUntil([&] { return seen_.distinct() == 3; });
  EXPECT_FALSE(late);
  let_go.Notify();
  a.reset();
  EXPECT_TRUE(late);
  auto b = RunConcurrently("b");
  SendAll(3, 4);
  WaitUntil([&] { return seen_.distinct() == 4; });
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

TEST_F(PushConsumerTest, AnOrderlyListenerGetsAQueueInOrderAndAFailedMessageAgainBeforeTheNext) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  std::atomic<int> failures{0};
  options.orderly = [&](const auto& messages, auto&) {
    if (messages[0].body == "3" && failures < 2) {
      ++failures;
      return ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment;
    }
    seen_.Add("a", messages);
    return ConsumeOrderlyStatus::kSuccess;
  };
  auto a = Run(options);
  SendAll(0, 6);
  WaitUntil([&] { return seen_.distinct() == 6; });
  EXPECT_THAT(seen_.of("a"), ElementsAre("0", "1", "2", "3", "4", "5"));
  EXPECT_EQ(failures, 2);
}

TEST_F(PushConsumerTest, WithoutAutoCommitARollbackBringsAllSinceTheLastCommitAgain) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  bool rolled_back = false;
  options.orderly = [&](const auto& messages, auto& context) {
    context.auto_commit = false;
    seen_.Add("a", messages);
    if (messages[0].body != "2") return ConsumeOrderlyStatus::kSuccess;
    if (rolled_back) return ConsumeOrderlyStatus::kCommit;
    rolled_back = true;
    return ConsumeOrderlyStatus::kRollback;
  };
  auto a = Run(options);
  SendAll(0, 3);
  WaitUntil([&] { return seen_.of("a").size() == 6; });
  EXPECT_THAT(seen_.of("a"), ElementsAre("0", "1", "2", "0", "1", "2"));
}

TEST_F(PushConsumerTest, AQueueIsNeverConsumedByTwoOrderlyMembersAtOnce) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  absl::Mutex mu;
  std::map<int32_t, int> inside;
  std::map<int32_t, int64_t> last_offset;
  std::string fault;
  auto start = [&](const std::string& who) {
    PushConsumerOptions options = Options();
    options.orderly = [&, who](const auto& messages, auto&) {
      const ReceivedMessage& m = messages[0];
      {
        absl::MutexLock lock(&mu);
        if (++inside[m.queue.value()] > 1) fault = StrCat("two at once in queue ", m.queue);
        auto [last, first] = last_offset.emplace(m.queue.value(), -1);
        if (m.offset.value() <= last->second) fault = StrCat("offset ", m.offset, " again");
        last->second = m.offset.value();
      }
      seen_.Add(who, messages);
      absl::MutexLock lock(&mu);
      --inside[m.queue.value()];
      return ConsumeOrderlyStatus::kSuccess;
    };
    return Run(std::move(options));
  };
  auto a = start("a");
  AwaitShares({a.get()}, {4});
  SendAll(0, 100);
  auto b = start("b");
  auto c = start("c");
  SendAll(100, 200);
  AwaitShares({a.get(), b.get(), c.get()}, {1, 1, 2});
  a.reset();
  SendAll(200, 300);
  AwaitShares({b.get(), c.get()}, {2, 2});
  WaitUntil([&] { return seen_.distinct() == 300; });
  absl::MutexLock lock(&mu);
  EXPECT_EQ(fault, "");
}

TEST_F(PushConsumerTest, ADeadMembersQueuesAreTakenOverWhenItsLocksRunOut) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  auto a = RunConcurrently("a");
  AwaitShares({a.get()}, {2});
  MemberByHand dying(groups_[0]->port(0), "workers");
  AwaitShares({a.get()}, {1});
  WaitUntil([&] { return dying.Lock("workers", "orders", 1, 3'000).size() == 1; });
  const int64_t locked_ms = SystemClock()->MonotonicMillis();
  SendAll(0, 40);
  dying.Die();
  WaitUntil([&] { return seen_.distinct() == 40; });
  EXPECT_GE(SystemClock()->MonotonicMillis() - locked_ms, 2'900) << "it might have lived";
  EXPECT_THAT(seen_.Twice(), IsEmpty());
  AwaitShares({a.get()}, {2});
}

TEST_F(PushConsumerTest, ConsumingGoesOnWhenTheLeaderIsKilledAndNothingIsLost) {
  StartGroups(1, 3);
  CreateTopic("orders", 4);
  auto a = RunConcurrently("a");
  auto b = RunConcurrently("b");
  AwaitShares({a.get(), b.get()}, {2, 2});
  SendAll(0, 50);
  const int leader = LeaderOf(*groups_[0]);
  ASSERT_GE(leader, 0);
  groups_[0]->Stop(leader);
  SendAll(50, 150);
  WaitUntil([&] { return seen_.distinct() == 150; });
  EXPECT_THAT(seen_.Twice(), IsEmpty()) << "offsets and locks survived";
  AwaitShares({a.get(), b.get()}, {2, 2});
  b.reset();
  AwaitShares({a.get()}, {4});
}

// A message is in a listener's hands while an operator resets the group.
TEST_F(PushConsumerTest, AResetWhileConsumingIsNotCommittedOverAndBringsAllAgain) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  absl::Notification release, in_hand;
  std::atomic<bool> held_up = false;
  PushConsumerOptions options = Options();
  options.lockLeaseMillis = 1'500;
  options.persistConsumerOffsetInterval = 50;
  options.concurrently = [&](const auto& messages, auto&) {
    if (messages[0].body == "19" && !held_up.exchange(true)) {
      in_hand.Notify();
      release.WaitForNotification();
    }
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(std::move(options));
  AwaitShares({a.get()}, {2});
  SendAll(0, 20);
  in_hand.WaitForNotification();
  WaitUntil([&] { return seen_.distinct() == 19; });

  namespace v1 = ::raftmq::v1;
  const broker::BrokerClient admin(groups_[0]->port(0), "JAVA");
  grpc::ClientContext context;
  admin.Fill(&context);
  v1::MoveOffsetsRequest request;
  request.set_group("workers");
  request.set_topic("orders");
  request.set_begin(true);
  v1::MoveOffsetsResponse response;
  const grpc::Status moved = admin.admin()->MoveOffsets(&context, request, &response);
  ASSERT_TRUE(moved.ok()) << moved.error_message();
  release.Notify();
  WaitUntil([&] {
    for (int i = 0; i < 20; ++i) {
      if (seen_.times(StrCat(i)) != 2) return false;
    }
    return true;
  });
  AwaitShares({a.get()}, {2});
  a.reset();
  grpc::ClientContext again;
  admin.Fill(&again);
  v1::GroupProgressRequest asked;
  asked.set_name("workers");
  v1::GroupProgressResponse progress;
  ASSERT_TRUE(admin.admin()->GroupProgress(&again, asked, &progress).ok());
  for (const v1::QueueProgress& row : progress.rows()) {
    EXPECT_EQ(row.commit_offset(), row.max_offset()) << row.topic() << " " << row.queue();
  }
}

TEST_F(PushConsumerTest, BroadcastingBringsEachMessageToEachMemberAndRemembersHowFarItWas) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  const std::string folder = StrCat(testing::TempDir(), "/offsets-", getpid());
  auto start = [&](const std::string& who) {
    PushConsumerOptions options = Options();
    options.messageModel = MessageModel::kBroadcasting;
    options.localOffsetStoreDir = StrCat(folder, "-", who);
    options.concurrently = [this, who](const auto& messages, auto&) {
      seen_.Add(who, messages);
      return ConsumeConcurrentlyStatus::kConsumeSuccess;
    };
    return Run(std::move(options));
  };
  auto a = start("a");
  auto b = start("b");
  AwaitShares({a.get(), b.get()}, {2, 2});
  SendAll(0, 20);
  WaitUntil([&] { return seen_.of("a").size() == 20 && seen_.of("b").size() == 20; });
  b.reset();
  SendAll(20, 25);
  b = start("b");
  WaitUntil([&] { return seen_.of("b").size() == 25; });
  EXPECT_EQ(seen_.times("3"), 2) << "once for each";
}

TEST_F(PushConsumerTest, QueuesOfATopicThatGrowsAndOfANewSubscriptionAreConsumedToo) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  CreateTopic("returns", 1);
  PushConsumerOptions options = Options();
  options.pollNameServerInterval = 50;
  options.concurrently = [this](const auto& messages, auto&) {
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  AwaitShares({a.get()}, {1});
  CreateTopic("orders", 3);
  AwaitShares({a.get()}, {3});
  ASSERT_TRUE(a->Subscribe("returns", "*").ok());
  AwaitShares({a.get()}, {4});
  ASSERT_TRUE(StartProducer()->Send(Make("returns", "back")).ok());
  WaitUntil([&] { return seen_.distinct() == 1; });
  a->Unsubscribe("returns");
  AwaitShares({a.get()}, {3});
  const absl::Status refused = a->Subscribe("returns", MessageSelector::BySql("price >"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("price >"));
  AwaitShares({a.get()}, {3});
}

TEST_F(PushConsumerTest, ATopicThatDoesNotExistYetDoesNotHoldUpTheOthers) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  PushConsumerOptions options = Options();
  options.subscription = {{"absent", "*"}, {"orders", "*"}};
  options.pollNameServerInterval = 50;
  options.rebalanceInterval = 100;
  options.concurrently = [this](const auto& messages, auto&) {
    seen_.Add("any", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  AwaitShares({a.get()}, {4});
  auto b = Run(options);
  AwaitShares({a.get(), b.get()}, {2, 2});
  CreateTopic("absent", 2);
  AwaitShares({a.get(), b.get()}, {3, 3});
  ASSERT_TRUE(StartProducer()->Send(Make("absent", "here")).ok());
  WaitUntil([&] { return seen_.times("here") == 1; });
  // Membership is known by way of "absent" now: who comes and goes is still told.
  b.reset();
  AwaitShares({a.get()}, {6});
}

TEST_F(PushConsumerTest, WhoStartedBeforeAnEarlierTopicExistedAndWhoStartedAfterKnowEachOther) {
  StartGroups(2, 1);
  CreateTopicIn(*groups_[1], "orders", 4);
  AwaitRoute("orders", 1);
  PushConsumerOptions options = Options();
  options.subscription = {{"absent", "*"}, {"orders", "*"}};
  options.pollNameServerInterval = 50;
  options.rebalanceInterval = 100;
  options.concurrently = [](const auto&, auto&) {
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto before = Run(options);
  AwaitShares({before.get()}, {4});
  CreateTopicIn(*groups_[0], "absent", 2);
  AwaitRoute("absent", 1);
  auto after = Run(options);
  AwaitShares({before.get(), after.get()}, {3, 3});
  before.reset();
  AwaitShares({after.get()}, {6});
}

TEST_F(PushConsumerTest, RefusalsSayWhatIsWrong) {
  StartGroups(1, 1);
  EXPECT_EQ(PushConsumer::Start(Options()).status().code(), absl::StatusCode::kInvalidArgument)
      << "no listener";
}

}  // namespace
}  // namespace raftmq::client
