// What the application's code throws goes no further than the library, and loses nothing.
#include <atomic>
#include <stdexcept>

#include "client/pull_consumer.h"
#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class UserCodeTest : public PushConsumerTest {};

TEST_F(UserCodeTest, AMessageOnWhichAListenerThrewComesAgain) {
  configure_ = [](broker::BrokerConfig* config) { config->messageDelayLevel = "1s 1s 1s 1s"; };
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  std::atomic<int> thrown{0};
  options.concurrently = [&](const auto& messages, auto&) -> ConsumeConcurrentlyStatus {
    if (messages[0].body == "1" && messages[0].delivery_attempt == 1) {
      ++thrown;
      throw std::runtime_error("a bug of the application");
    }
    if (messages[0].body == "2" && messages[0].delivery_attempt == 1) {
      ++thrown;
      throw 42;
    }
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  SendAll(0, 4);
  WaitUntil([&] { return seen_.distinct() == 4; });
  EXPECT_EQ(thrown, 2);
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

TEST_F(UserCodeTest, AnOrderlyListenerThatThrewGetsTheSameMessageBeforeAnyOther) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  std::atomic<int> thrown{0};
  options.orderly = [&](const auto& messages, auto&) -> ConsumeOrderlyStatus {
    if (messages[0].body == "1" && thrown < 3) {
      ++thrown;
      throw std::runtime_error("not yet");
    }
    seen_.Add("a", messages);
    return ConsumeOrderlyStatus::kSuccess;
  };
  auto a = Run(options);
  SendAll(0, 3);
  WaitUntil([&] { return seen_.distinct() == 3; });
  EXPECT_EQ(thrown, 3);
  EXPECT_THAT(seen_.of("a"), ElementsAre("0", "1", "2"));
}

class ThrowingListener final : public TransactionListener {
 public:
  LocalTransactionState ExecuteLocalTransaction(const Message&, const std::string&) override {
    throw std::runtime_error("the database is gone");
  }
  LocalTransactionState CheckLocalTransaction(const ReceivedMessage&) override {
    if (++checks_ < 3) throw std::runtime_error("still gone");
    return LocalTransactionState::kCommitMessage;
  }
  int checks() const { return checks_; }

 private:
  std::atomic<int> checks_{0};
};

TEST_F(UserCodeTest, ATransactionWhoseListenerThrewIsAskedAboutUntilItAnswers) {
  configure_ = [](broker::BrokerConfig* config) {
    config->transactionTimeOut = 100;
    config->transactionCheckInterval = 100;
  };
  StartGroups(1, 1);
  CreateTopic("payments", 1, ::raftmq::v1::TRANSACTION);
  ProducerOptions options;
  const auto listener = std::make_shared<ThrowingListener>();
  options.transactionListener = listener;
  auto producer = StartProducer(options);
  auto sent = producer->SendMessageInTransaction(Make("payments", "paid"));
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->state, LocalTransactionState::kUnknow);
  EXPECT_EQ(sent->local.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(sent->local.message()), HasSubstr("the database is gone"));
  EXPECT_THAT(ReceiveBodies(StartConsumer("payments").get(), 1), ElementsAre("paid"));
  EXPECT_GE(listener->checks(), 3);
}

TEST_F(UserCodeTest, CallbacksThatThrowAreCalledOnceAndTheClientGoesOn) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  auto producer = StartProducer();
  std::atomic<int> called{0};
  const auto throwing = [&](auto) {
    ++called;
    throw std::runtime_error("a callback's bug");
  };
  producer->SendAsync({Make("orders", "x")}, throwing);
  WaitUntil([&] { return called == 1; });
  producer->SendAsync({Make("", "refused at once")}, throwing);
  EXPECT_EQ(called, 2);
  producer->RequestAsync(Make("orders", "nobody replies"), 50, throwing);
  WaitUntil([&] { return called == 3; });

  PullConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "pullers";
  auto consumer = PullConsumer::Start(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const MessageQueue queue{"orders", "broker-a", QueueId(0)};
  (*consumer)->PullAsync(queue, "*", QueueOffset(0), 1, throwing);
  WaitUntil([&] { return called == 4; });

  EXPECT_TRUE(producer->Send(Make("orders", "y")).ok());
  EXPECT_TRUE((*consumer)->Pull(queue, "*", QueueOffset(0), 1).ok());
  EXPECT_EQ(called, 4);
}

TEST_F(UserCodeTest, ASelectorThatThrowsFailsItsSendAlone) {
  StartGroups(1, 1);
  CreateTopic("orders", 2);
  auto producer = StartProducer();
  const auto throwing = [](const auto&, const auto&) -> size_t {
    throw std::out_of_range("no such order");
  };
  const absl::Status failed = producer->Send(Make("orders", "x"), throwing).status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("no such order"));
  std::atomic<bool> heard{false};
  producer->SendAsync(Make("orders", "x"), throwing, [&](auto receipts) {
    EXPECT_EQ(receipts.status().code(), absl::StatusCode::kInternal);
    heard = true;
  });
  WaitUntil([&] { return heard.load(); });
  auto sent = producer->Send(Make("orders", "y"), [](const auto&, const auto&) { return 1u; });
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->offset, QueueOffset(0));
}

class MoodyStrategy final : public AllocateMessageQueueStrategy {
 public:
  std::string name() const override { return "MOODY"; }
  std::vector<MessageQueue> Allocate(const std::string& current,
                                     const std::vector<MessageQueue>& queues,
                                     const std::vector<std::string>& members) const override {
    if (throws) {
      ++thrown;
      throw std::runtime_error("a strategy's bug");
    }
    return averagely_->Allocate(current, queues, members);
  }
  std::atomic<bool> throws{false};
  mutable std::atomic<int> thrown{0};

 private:
  const AllocateStrategy averagely_ = AllocateMessageQueueAveragely();
};

TEST_F(UserCodeTest, AMemberWhoseStrategyThrowsKeepsItsQueues) {
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  PushConsumerOptions options = OptionsOf("a");
  const auto strategy = std::make_shared<MoodyStrategy>();
  options.allocateMessageQueueStrategy = strategy;
  options.rebalanceInterval = 20;
  auto a = Run(options);
  AwaitShares({a.get()}, {4});
  strategy->throws = true;
  WaitUntil([&] { return strategy->thrown > 2; });
  SendAll(0, 8);
  WaitUntil([&] { return seen_.distinct() == 8; });
  AwaitShares({a.get()}, {4});
}

TEST_F(UserCodeTest, TheThreadsOfAConsumerBecomeMoreAndFewerAsItRuns) {
  StartGroups(1, 1);
  CreateTopic("orders", 1);
  PushConsumerOptions options = Options();
  options.consumeThreadNumber = 1;
  std::atomic<int> inside{0};
  std::atomic<bool> let_go{false};
  options.concurrently = [&](const auto& messages, auto&) {
    ++inside;
    WaitUntil([&] { return let_go.load(); });
    --inside;
    seen_.Add("a", messages);
    return ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  auto a = Run(options);
  SendAll(0, 12);
  WaitUntil([&] { return inside == 1; });
  ASSERT_TRUE(a->UpdateCorePoolSize(5).ok());
  WaitUntil([&] { return inside == 5; });
  ASSERT_TRUE(a->UpdateCorePoolSize(2).ok());
  EXPECT_EQ(a->UpdateCorePoolSize(0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a->UpdateCorePoolSize(1'001).code(), absl::StatusCode::kInvalidArgument);
  let_go = true;
  WaitUntil([&] { return seen_.distinct() == 12; });
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

}  // namespace
}  // namespace raftmq::client
