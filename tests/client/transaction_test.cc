// Transactional messages by our client: local execution, check-back, producers and leaders that
// die.
#include <atomic>
#include <map>

#include "absl/synchronization/mutex.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Answers as it was told, by body.
class Listener final : public TransactionListener {
 public:
  LocalTransactionState ExecuteLocalTransaction(const Message& message,
                                                const std::string& transaction_id) override {
    EXPECT_FALSE(transaction_id.empty());
    absl::MutexLock lock(&mu_);
    ++executed_[message.body];
    return Answer(at_first_, message.body);
  }
  LocalTransactionState CheckLocalTransaction(const ReceivedMessage& message) override {
    absl::MutexLock lock(&mu_);
    ++checked_[message.body];
    return Answer(when_asked_, message.body);
  }

  void AtFirst(const std::string& body, LocalTransactionState state) {
    absl::MutexLock lock(&mu_);
    at_first_[body] = state;
  }
  void WhenAsked(const std::string& body, LocalTransactionState state) {
    absl::MutexLock lock(&mu_);
    when_asked_[body] = state;
  }
  int executed(const std::string& body) {
    absl::MutexLock lock(&mu_);
    return executed_[body];
  }
  int checked(const std::string& body) {
    absl::MutexLock lock(&mu_);
    return checked_[body];
  }

 private:
  static LocalTransactionState Answer(const std::map<std::string, LocalTransactionState>& answers,
                                      const std::string& body) {
    const auto it = answers.find(body);
    return it == answers.end() ? LocalTransactionState::kUnknow : it->second;
  }

  absl::Mutex mu_;
  std::map<std::string, LocalTransactionState> at_first_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, LocalTransactionState> when_asked_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> executed_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> checked_ ABSL_GUARDED_BY(mu_);
};

class TransactionTest : public ClientTest {
 protected:
  void SetUp() override {
    configure_ = [](broker::BrokerConfig* config) {
      config->transactionTimeOut = 300;
      config->transactionCheckInterval = 300;
    };
    StartNameServers(1);
  }
  void Start(int members) {
    StartGroups(1, members);
    CreateTopic("payments", 2, ::raftmq::v1::TRANSACTION);
  }

  std::unique_ptr<Producer> StartTransactions(std::vector<std::string> topics = {}) {
    ProducerOptions options;
    options.transactionListener = listener_;
    options.topics = std::move(topics);
    return StartProducer(options);
  }

  const std::shared_ptr<Listener> listener_ = std::make_shared<Listener>();
};

TEST_F(TransactionTest, ACommittedMessageIsSeenOnceAndARolledBackOneNever) {
  Start(1);
  listener_->AtFirst("paid", LocalTransactionState::kCommitMessage);
  listener_->AtFirst("refused", LocalTransactionState::kRollbackMessage);
  auto producer = StartTransactions();
  auto refused = producer->SendMessageInTransaction(Make("payments", "refused"));
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_TRUE(refused->ended.ok()) << refused->ended;
  EXPECT_EQ(refused->state, LocalTransactionState::kRollbackMessage);
  auto paid = producer->SendMessageInTransaction(Make("payments", "paid"));
  ASSERT_TRUE(paid.ok()) << paid.status();
  EXPECT_TRUE(paid->ended.ok()) << paid->ended;
  EXPECT_FALSE(paid->receipt.transaction_id.empty());
  EXPECT_EQ(listener_->executed("paid"), 1);
  auto consumer = StartConsumer("payments");
  EXPECT_THAT(ReceiveBodies(consumer.get(), 1), ElementsAre("paid"));
  auto more = consumer->Receive(1);
  EXPECT_TRUE(more.ok());
  EXPECT_THAT(*more, IsEmpty());
}

TEST_F(TransactionTest, AnUnknownOneIsAskedAboutUntilItIsKnown) {
  Start(1);
  auto producer = StartTransactions();
  auto sent = producer->SendMessageInTransaction(Make("payments", "slow"));
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->state, LocalTransactionState::kUnknow);
  WaitUntil([&] { return listener_->checked("slow") >= 2; });
  listener_->WhenAsked("slow", LocalTransactionState::kCommitMessage);
  EXPECT_THAT(ReceiveBodies(StartConsumer("payments").get(), 1), ElementsAre("slow"));
}

TEST_F(TransactionTest, AnotherProducerOfTheTopicAnswersForOneThatDied) {
  Start(3);
  auto producer = StartTransactions();
  ASSERT_TRUE(producer->SendMessageInTransaction(Make("payments", "orphan")).ok());
  producer.reset();
  listener_->WhenAsked("orphan", LocalTransactionState::kCommitMessage);
  auto other = StartTransactions({"payments"});  // sends nothing itself
  EXPECT_THAT(ReceiveBodies(StartConsumer("payments").get(), 1), ElementsAre("orphan"));
  EXPECT_EQ(listener_->executed("orphan"), 1);
}

TEST_F(TransactionTest, WhatWasOpenWhenTheLeaderDiedIsAskedAboutByTheNext) {
  Start(3);
  auto producer = StartTransactions();
  ASSERT_TRUE(producer->SendMessageInTransaction(Make("payments", "open")).ok());
  const int leader = LeaderOf(*groups_[0]);
  groups_[0]->Stop(leader);
  listener_->WhenAsked("open", LocalTransactionState::kCommitMessage);
  EXPECT_THAT(ReceiveBodies(StartConsumer("payments").get(), 1), ElementsAre("open"));
  // And new ones go on.
  listener_->AtFirst("next", LocalTransactionState::kCommitMessage);
  WaitUntil([&] {
    auto sent = producer->SendMessageInTransaction(Make("payments", "next"));
    return sent.ok() && sent->ended.ok();
  });
}

TEST_F(TransactionTest, WhatCannotBeATransactionIsRefusedBeforeTheListenerIsCalled) {
  Start(1);
  auto plain = StartProducer();
  EXPECT_THAT(
      std::string(plain->SendMessageInTransaction(Make("payments", "x")).status().message()),
      HasSubstr("transactionListener"));
  auto producer = StartTransactions();
  Message delayed = Make("payments", "x");
  delayed.delay_level = 1;
  EXPECT_EQ(producer->SendMessageInTransaction(delayed).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(producer->SendMessageInTransaction(Make("nowhere", "x")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(listener_->executed("x"), 0);
}

}  // namespace
}  // namespace raftmq::client
