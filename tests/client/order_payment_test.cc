// The example of docs/transactions.md against a real broker: its parts stand there word for word,
// which the last test holds it to. And the failures that the page's table is about.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq {
namespace {

// ---- The example

// Stands for a table `payments(order_id PRIMARY KEY, state)` of the shop's database.
class PaymentTable {
 public:
  enum class State { kPaid, kVoid };

  // INSERT ... ON CONFLICT DO NOTHING, then SELECT: a row is written once; what it says.
  State PutOnce(const std::string& order, State state) {
    absl::MutexLock lock(&mu_);
    return rows_.emplace(order, state).first->second;
  }

 private:
  absl::Mutex mu_;
  std::map<std::string, State> rows_ ABSL_GUARDED_BY(mu_);
};

class OrderPayments : public client::TransactionListener {
 public:
  explicit OrderPayments(PaymentTable* payments) : payments_(payments) {}

  // One database transaction that moves the money and writes the row. Where the row is there
  // already, it changes nothing.
  client::LocalTransactionState ExecuteLocalTransaction(
      const client::Message& message, const std::string& /*transaction_id*/) override {
    return Answer(payments_->PutOnce(message.keys[0], PaymentTable::State::kPaid));
  }

  // Without a row nobody has paid so far; with this one nobody will, however late a payment that
  // is still under way comes.
  client::LocalTransactionState CheckLocalTransaction(
      const client::ReceivedMessage& message) override {
    return Answer(payments_->PutOnce(message.keys[0], PaymentTable::State::kVoid));
  }

 private:
  static client::LocalTransactionState Answer(PaymentTable::State state) {
    return state == PaymentTable::State::kPaid ? client::LocalTransactionState::kCommitMessage
                                               : client::LocalTransactionState::kRollbackMessage;
  }

  PaymentTable* const payments_;
};

absl::StatusOr<std::unique_ptr<client::Producer>> StartPayments(
    const std::string& namesrv_addr, std::shared_ptr<client::TransactionListener> listener) {
  client::ProducerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.transactionListener = std::move(listener);
  options.topics = {"payments"};  // it answers for others, too, before it has paid anything itself
  return client::Producer::Start(options);
}

// Whether the order is paid. An error: it is not, as far as one can know; ask the table, or pay
// again under the same id.
absl::StatusOr<bool> PayOrder(client::Producer& producer, const std::string& order) {
  client::Message message;
  message.topic = "payments";
  message.keys = {order};
  message.body = "ship order " + order;
  auto result = producer.SendMessageInTransaction(message);
  if (!result.ok()) return result.status();
  return result->state == client::LocalTransactionState::kCommitMessage;
}

// Ships each order once, however often its message comes.
class Shipping {
 public:
  absl::Status Start(const std::string& namesrv_addr) {
    client::PushConsumerOptions options;
    options.namesrvAddr = namesrv_addr;
    options.consumerGroup = "shipping";
    options.subscription = {{"payments", "*"}};
    options.concurrently = [this](const std::vector<client::ReceivedMessage>& messages,
                                  client::ConsumeConcurrentlyContext&) {
      absl::MutexLock lock(&mu_);
      for (const client::ReceivedMessage& message : messages) shipped_.insert(message.keys[0]);
      return client::ConsumeConcurrentlyStatus::kConsumeSuccess;
    };
    auto consumer = client::PushConsumer::Start(std::move(options));
    if (!consumer.ok()) return consumer.status();
    consumer_ = *std::move(consumer);
    return absl::OkStatus();
  }

  std::set<std::string> shipped() {
    absl::MutexLock lock(&mu_);
    return shipped_;
  }

 private:
  absl::Mutex mu_;
  std::set<std::string> shipped_ ABSL_GUARDED_BY(mu_);  // stands for a table with the order as key
  std::unique_ptr<client::PushConsumer> consumer_;
};

// ---- It does what the page says

using Orders = std::set<std::string>;

// What it decides does not reach the broker: the process dies, or its answer is lost. What is to be
// paid late is paid when the caller says so.
class SilentPayments final : public OrderPayments {
 public:
  SilentPayments(PaymentTable* payments, bool pay) : OrderPayments(payments), pay_(pay) {}
  client::LocalTransactionState ExecuteLocalTransaction(
      const client::Message& message, const std::string& transaction_id) override {
    if (pay_) OrderPayments::ExecuteLocalTransaction(message, transaction_id);
    return client::LocalTransactionState::kUnknow;
  }

 private:
  const bool pay_;
};

class CountedPayments final : public OrderPayments {
 public:
  using OrderPayments::OrderPayments;
  client::LocalTransactionState CheckLocalTransaction(
      const client::ReceivedMessage& message) override {
    const client::LocalTransactionState state = OrderPayments::CheckLocalTransaction(message);
    checks.fetch_add(1);
    return state;
  }
  std::atomic<int> checks{0};
};

class OrderPaymentTest : public client::ClientTest {
 protected:
  void SetUp() override {
    configure_ = [](broker::BrokerConfig* config) {
      config->transactionTimeOut = 300;
      config->transactionCheckInterval = 300;
    };
    StartNameServers(1);
    StartGroups(1, 1);
    CreateTopic("payments", 2, ::raftmq::v1::TRANSACTION);
    ASSERT_TRUE(shipping_.Start(NamesrvAddr()).ok());
  }
  std::unique_ptr<client::Producer> Start(std::shared_ptr<client::TransactionListener> listener) {
    auto producer = StartPayments(NamesrvAddr(), std::move(listener));
    CHECK(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  size_t Open() {
    return broker::BrokerClient(groups_[0]->port(0), "JAVA").MemberStatus().open_transactions();
  }

  PaymentTable table_;
  Shipping shipping_;
};

TEST_F(OrderPaymentTest, WhatIsPaidIsShippedAndWhatIsVoidIsNot) {
  auto producer = Start(std::make_shared<OrderPayments>(&table_));
  table_.PutOnce("8", PaymentTable::State::kVoid);
  auto refused = PayOrder(*producer, "8");
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_FALSE(*refused);
  for (int again = 0; again < 2; ++again) {
    auto paid = PayOrder(*producer, "7");
    ASSERT_TRUE(paid.ok()) << paid.status();
    EXPECT_TRUE(*paid);
  }
  WaitUntil([&] { return !shipping_.shipped().empty(); });
  EXPECT_EQ(shipping_.shipped(), Orders{"7"});
}

TEST_F(OrderPaymentTest, AnotherProducerAnswersForOneThatDiedAfterItPaid) {
  auto dying = Start(std::make_shared<SilentPayments>(&table_, /*pay=*/true));
  ASSERT_TRUE(PayOrder(*dying, "7").ok());
  dying.reset();
  auto other = Start(std::make_shared<OrderPayments>(&table_));
  WaitUntil([&] { return shipping_.shipped() == Orders{"7"}; });
}

TEST_F(OrderPaymentTest, AnOrderWhoseProducerDiedBeforeItPaidCannotBePaidLateAndIsNotShipped) {
  auto dying = Start(std::make_shared<SilentPayments>(&table_, /*pay=*/false));
  ASSERT_TRUE(PayOrder(*dying, "7").ok());
  dying.reset();
  const auto listener = std::make_shared<CountedPayments>(&table_);
  auto other = Start(listener);
  WaitUntil([&] { return listener->checks > 0; });
  WaitUntil([&] { return Open() == 0; });
  EXPECT_EQ(table_.PutOnce("7", PaymentTable::State::kPaid), PaymentTable::State::kVoid);
  ASSERT_TRUE(PayOrder(*other, "8").ok());
  WaitUntil([&] { return !shipping_.shipped().empty(); });
  EXPECT_EQ(shipping_.shipped(), Orders{"8"});
}

// ---- The page says what the code does

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(TransactionsPage, TheExampleIsInThisFileWordForWord) {
  const std::vector<std::string> page = LinesOf("docs/transactions.md");
  const std::vector<std::string> source = LinesOf("tests/client/order_payment_test.cc");
  int samples = 0;
  for (auto line = page.begin(); line != page.end(); ++line) {
    if (*line != "```c++") continue;
    const auto end = std::find(line, page.end(), "```");
    ASSERT_NE(end, page.end());
    ++samples;
    EXPECT_NE(std::search(source.begin(), source.end(), line + 1, end), source.end())
        << "this part of docs/transactions.md is not in order_payment_test.cc as it stands:\n"
        << line[1];
    line = end;
  }
  EXPECT_EQ(samples, 4);
}

}  // namespace
}  // namespace raftmq
