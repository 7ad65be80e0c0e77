// The samples of client/README.md against a real broker: the functions below stand there word for
// word, and the last tests hold the README to this file and to the options in the headers.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <regex>
#include <thread>

#include "absl/strings/str_split.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "base/thread.h"
#include "client/pull_consumer.h"
#include "client/push_consumer.h"
#include "tests/client/grpc_cluster.h"

namespace raftmq {
namespace {

// ---- What the samples leave to the application

class Journal {
 public:
  void Add(const std::string& line) {
    absl::MutexLock lock(&mu_);
    lines_.push_back(line);
  }
  std::vector<std::string> lines() {
    absl::MutexLock lock(&mu_);
    return lines_;
  }
  size_t size() { return lines().size(); }
  void Clear() {
    absl::MutexLock lock(&mu_);
    lines_.clear();
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
};

Journal journal;

void Print(const std::string& line) { journal.Add(line); }
void Audit(const std::string& body) { journal.Add(body); }
bool Ship(const client::ReceivedMessage& message) {
  journal.Add(message.body);
  return true;
}
bool Pay(const std::string& /*order*/) { return true; }
bool IsPaid(const std::string& /*order*/) { return true; }

// ---- The samples

absl::Status SendOne(const std::string& namesrv_addr) {
  client::ProducerOptions options;
  options.namesrvAddr = namesrv_addr;
  auto producer = client::Producer::Start(options);
  if (!producer.ok()) return producer.status();
  client::Message message;
  message.topic = "orders";
  message.tag = "paid";
  message.keys = {"order-7"};
  message.properties = {{"price", "20"}, {"region", "eu"}};
  message.body = "order 7 was paid";
  auto receipt = (*producer)->Send(message);
  if (!receipt.ok()) return receipt.status();
  Print(StrCat(receipt->message_id, " is in queue ", *receipt->queue, " of ", receipt->broker_name,
               " at offset ", receipt->offset));
  return absl::OkStatus();
}

void SendWithoutWaiting(client::Producer& producer, const client::Message& message) {
  producer.SendAsync({message}, [](absl::StatusOr<std::vector<client::SendReceipt>> receipts) {
    Print(receipts.ok() ? "stored" : std::string(receipts.status().message()));
  });
  if (absl::Status refused = producer.SendOneway(message); !refused.ok()) {
    Print(std::string(refused.message()));
  }
}

absl::Status SendStepsOf(client::Producer& producer, int64_t order_id) {
  const auto by_order_id = [order_id](const std::vector<client::MessageQueue>& queues,
                                      const client::Message&) {
    return static_cast<size_t>(order_id) % queues.size();
  };
  for (const char* step : {"created", "paid", "shipped"}) {
    client::Message message;
    message.topic = "orders";
    message.body = StrCat("order ", order_id, " was ", step);
    auto receipt = producer.Send(message, by_order_id);
    if (!receipt.ok()) return receipt.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<client::PushConsumer>> ShipInOrder(const std::string& namesrv_addr) {
  client::PushConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "shipping";
  options.subscription = {{"orders", "*"}};
  options.orderly = [](const std::vector<client::ReceivedMessage>& messages,
                       client::ConsumeOrderlyContext& context) {
    context.auto_commit = true;
    for (const client::ReceivedMessage& message : messages) {
      if (!Ship(message)) return client::ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment;
    }
    return client::ConsumeOrderlyStatus::kSuccess;
  };
  return client::PushConsumer::Start(std::move(options));
}

absl::StatusOr<std::unique_ptr<client::PushConsumer>> ShipWhatIsPaid(
    const std::string& namesrv_addr) {
  client::PushConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "shipping";
  options.subscription = {{"orders", "paid || gift"},
                          {"returns", client::MessageSelector::BySql("price > 10")}};
  options.concurrently = [](const std::vector<client::ReceivedMessage>& messages,
                            client::ConsumeConcurrentlyContext&) {
    for (const client::ReceivedMessage& message : messages) {
      if (!Ship(message)) return client::ConsumeConcurrentlyStatus::kReconsumeLater;
    }
    return client::ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  return client::PushConsumer::Start(std::move(options));
}

absl::StatusOr<std::unique_ptr<client::PushConsumer>> ReloadPrices(const std::string& namesrv_addr,
                                                                   const std::string& offsets) {
  client::PushConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "shops";
  options.subscription = {{"prices", "*"}};
  options.messageModel = client::MessageModel::kBroadcasting;
  options.localOffsetStoreDir = offsets;  // each member's own
  options.concurrently = [](const std::vector<client::ReceivedMessage>& messages,
                            client::ConsumeConcurrentlyContext&) {
    for (const client::ReceivedMessage& message : messages) Print(message.body);
    return client::ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  return client::PushConsumer::Start(std::move(options));
}

absl::Status SendTogether(client::Producer& producer) {
  std::vector<client::Message> batch(3);
  for (size_t i = 0; i < batch.size(); ++i) {
    batch[i].topic = "orders";
    batch[i].body = StrCat("item ", i);
  }
  return producer.SendBatch(batch).status();
}

absl::Status RemindLater(client::Producer& producer, int64_t at_ms, bool changed_our_mind) {
  client::Message message;
  message.topic = "reminders";
  message.body = "unpaid";
  message.delay_level = 2;  // 5 s, as messageDelayLevel has it
  if (auto sent = producer.Send(message); !sent.ok()) return sent.status();
  message.delay_level = 0;
  message.deliver_ms = at_ms;  // or any time
  auto receipt = producer.Send(message);
  if (!receipt.ok()) return receipt.status();
  if (!changed_our_mind) return absl::OkStatus();
  return producer.Recall("reminders", *receipt).status();
}

class Payments final : public client::TransactionListener {
 public:
  client::LocalTransactionState ExecuteLocalTransaction(
      const client::Message& message, const std::string& /*transaction_id*/) override {
    return Pay(message.body) ? client::LocalTransactionState::kCommitMessage
                             : client::LocalTransactionState::kRollbackMessage;
  }
  client::LocalTransactionState CheckLocalTransaction(
      const client::ReceivedMessage& message) override {
    return IsPaid(message.body) ? client::LocalTransactionState::kCommitMessage
                                : client::LocalTransactionState::kRollbackMessage;
  }
};

absl::Status PayAndTell(const std::string& namesrv_addr) {
  client::ProducerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.transactionListener = std::make_shared<Payments>();
  options.topics = {"payments"};
  auto producer = client::Producer::Start(options);
  if (!producer.ok()) return producer.status();
  client::Message message;
  message.topic = "payments";
  message.body = "order 7";
  auto result = (*producer)->SendMessageInTransaction(message);
  if (!result.ok()) return result.status();  // Pay was not called
  if (!result->ended.ok()) Print("the broker will ask");
  return absl::OkStatus();
}

absl::StatusOr<std::string> AskForPrice(client::Producer& producer) {
  client::Message message;
  message.topic = "questions";
  message.body = "what is it?";
  auto reply = producer.Request(message, /*timeout_ms=*/3'000);
  if (!reply.ok()) return reply.status();
  return reply->body;
}

absl::StatusOr<std::unique_ptr<client::PushConsumer>> AnswerQuestions(
    const std::string& namesrv_addr, client::Producer& producer) {
  client::PushConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "experts";
  options.subscription = {{"questions", "*"}};
  options.concurrently = [&producer](const std::vector<client::ReceivedMessage>& messages,
                                     client::ConsumeConcurrentlyContext&) {
    for (const client::ReceivedMessage& message : messages) {
      auto reply = client::CreateReplyMessage(message, "42");
      if (!reply.ok()) continue;  // nobody waits for one
      if (absl::Status sent = producer.SendReply(*reply); !sent.ok()) {
        Print(std::string(sent.message()));
      }
    }
    return client::ConsumeConcurrentlyStatus::kConsumeSuccess;
  };
  return client::PushConsumer::Start(std::move(options));
}

absl::Status AuditAll(const std::string& namesrv_addr, const std::atomic<bool>& stop) {
  client::PullConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "audit";
  auto consumer = client::PullConsumer::Start(options);
  if (!consumer.ok()) return consumer.status();
  auto queues = (*consumer)->FetchSubscribeMessageQueues("orders");
  if (!queues.ok()) return queues.status();
  if (absl::Status status = (*consumer)->Assign(*queues); !status.ok()) return status;
  while (!stop) {
    for (const client::ReceivedMessage& message : (*consumer)->Poll(/*timeout_ms=*/1'000)) {
      Audit(message.body);
    }
  }
  return absl::OkStatus();  // what was polled is committed
}

absl::Status AuditTogether(const std::string& namesrv_addr, const std::atomic<bool>& stop) {
  client::PullConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "auditors";
  auto consumer = client::PullConsumer::Start(options);
  if (!consumer.ok()) return consumer.status();
  if (absl::Status status = (*consumer)->Subscribe("orders"); !status.ok()) return status;
  while (!stop) {
    for (const client::ReceivedMessage& message : (*consumer)->Poll(/*timeout_ms=*/1'000)) {
      Audit(message.body);
    }
  }
  return absl::OkStatus();  // what was polled is committed
}

absl::StatusOr<int64_t> Backlog(client::PullConsumer& consumer, const client::MessageQueue& queue) {
  client::ReadOptions read;
  read.from = client::ReadFrom::kFollower;
  read.maxLagMillis = 500;  // or client::kLinearizable
  auto committed = consumer.FetchConsumeOffset(queue, read);
  if (!committed.ok()) return committed.status();
  auto end = consumer.MaxOffset(queue, read);
  if (!end.ok()) return end.status();
  return *end - committed->value_or(QueueOffset(0));
}

absl::Status ShipSome(const std::string& namesrv_addr) {
  client::SimpleConsumerOptions options;
  options.namesrvAddr = namesrv_addr;
  options.consumerGroup = "pickers";
  options.topic = "orders";
  auto consumer = client::SimpleConsumer::Start(options);
  if (!consumer.ok()) return consumer.status();
  auto messages = (*consumer)->Receive(/*max_messages=*/16);
  if (!messages.ok()) return messages.status();
  for (client::ReceivedMessage& message : *messages) {
    const absl::Status settled =
        Ship(message) ? (*consumer)->Ack({message})[0]
                      : (*consumer)->ChangeInvisibleDuration(&message, /*invisible_ms=*/10'000);
    if (!settled.ok()) Print(std::string(settled.message()));  // it comes again
  }
  return absl::OkStatus();
}

// ---- They do what they say

class ReadmeSamplesTest : public client::ClientTest {
 protected:
  void SetUp() override {
    journal.Clear();
    StartNameServers(1);
    StartGroups(1, 1);
    CreateTopic("orders", 2);
  }
  static bool Saw(const std::string& line) {
    const std::vector<std::string> lines = journal.lines();
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
};

TEST_F(ReadmeSamplesTest, Sending) {
  ASSERT_TRUE(SendOne(NamesrvAddr()).ok());
  ASSERT_EQ(journal.size(), 1u);
  EXPECT_THAT(journal.lines()[0], ::testing::HasSubstr("of broker-a at offset 0"));
  auto producer = StartProducer();
  SendWithoutWaiting(*producer, Make("orders", "x"));
  producer.reset();
  EXPECT_TRUE(Saw("stored"));
  EXPECT_EQ(ReceiveBodies(StartConsumer("orders").get(), 3).size(), 3u);
}

TEST_F(ReadmeSamplesTest, OrdersStayInOrder) {
  auto consumer = ShipInOrder(NamesrvAddr());
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  auto producer = StartProducer();
  for (const int64_t order : {7, 8, 9}) ASSERT_TRUE(SendStepsOf(*producer, order).ok());
  WaitUntil([&] { return journal.size() == 9; });
  std::map<std::string, std::vector<std::string>> steps;
  for (const std::string& line : journal.lines()) {
    steps[line.substr(0, line.find(" was"))].push_back(line.substr(line.rfind(' ') + 1));
  }
  EXPECT_THAT(steps, ::testing::Each(::testing::Pair(
                         ::testing::_, ::testing::ElementsAre("created", "paid", "shipped"))));
  EXPECT_EQ(steps.size(), 3u);
}

TEST_F(ReadmeSamplesTest, FiltersByTagAndBySql) {
  CreateTopic("returns", 1);
  auto consumer = ShipWhatIsPaid(NamesrvAddr());
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  auto producer = StartProducer();
  for (const std::string tag : {"open", "paid", "gift"}) {
    client::Message message = Make("orders", tag);
    message.tag = tag;
    ASSERT_TRUE(producer->Send(message).ok());
  }
  for (const std::string price : {"5", "15"}) {
    client::Message message = Make("returns", StrCat("price ", price));
    message.properties = {{"price", price}};
    ASSERT_TRUE(producer->Send(message).ok());
  }
  WaitUntil([&] { return Saw("paid") && Saw("gift") && Saw("price 15"); });
  EXPECT_EQ(journal.size(), 3u);
}

TEST_F(ReadmeSamplesTest, EveryShopHearsOfNewPrices) {
  CreateTopic("prices", 1);
  std::vector<std::unique_ptr<client::PushConsumer>> shops;
  for (int i = 0; i < 2; ++i) {
    auto shop = ReloadPrices(NamesrvAddr(), StrCat(testing::TempDir(), "/shop-", i));
    ASSERT_TRUE(shop.ok()) << shop.status();
    shops.push_back(*std::move(shop));
  }
  WaitUntil([&] {
    return std::all_of(shops.begin(), shops.end(),
                       [](const auto& shop) { return shop->AssignedQueues().size() == 1; });
  });
  ASSERT_TRUE(StartProducer()->Send(Make("prices", "new")).ok());
  WaitUntil([&] { return journal.size() == 2; });
}

TEST_F(ReadmeSamplesTest, ABatch) {
  ASSERT_TRUE(SendTogether(*StartProducer()).ok());
  EXPECT_THAT(ReceiveBodies(StartConsumer("orders").get(), 3),
              ::testing::ElementsAre("item 0", "item 1", "item 2"));
}

TEST_F(ReadmeSamplesTest, Reminders) {
  CreateTopic("reminders", 1, ::raftmq::v1::DELAY);
  auto producer = StartProducer();
  const int64_t now_ms = SystemClock()->WallMillis();
  ASSERT_TRUE(RemindLater(*producer, now_ms + 100'000, true).ok());
  ASSERT_TRUE(RemindLater(*producer, now_ms + 100, false).ok());
  EXPECT_EQ(ReceiveBodies(StartConsumer("reminders").get(), 1).size(), 1u);
}

TEST_F(ReadmeSamplesTest, ATransaction) {
  CreateTopic("payments", 1, ::raftmq::v1::TRANSACTION);
  const absl::Status status = PayAndTell(NamesrvAddr());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(ReceiveBodies(StartConsumer("payments").get(), 1), ::testing::ElementsAre("order 7"));
}

TEST_F(ReadmeSamplesTest, AQuestionAndItsAnswer) {
  CreateTopic("questions", 1);
  auto expert = StartProducer();
  auto answers = AnswerQuestions(NamesrvAddr(), *expert);
  ASSERT_TRUE(answers.ok()) << answers.status();
  WaitUntil([&] { return (*answers)->AssignedQueues().size() == 1; });
  auto price = AskForPrice(*StartProducer());
  ASSERT_TRUE(price.ok()) << price.status();
  EXPECT_EQ(*price, "42");
}

TEST_F(ReadmeSamplesTest, PullingAndReceiving) {
  ASSERT_TRUE(SendOne(NamesrvAddr()).ok());
  journal.Clear();
  ASSERT_TRUE(ShipSome(NamesrvAddr()).ok());
  EXPECT_TRUE(Saw("order 7 was paid"));
  EXPECT_EQ(journal.size(), 1u);
  journal.Clear();
  std::atomic<bool> stop{false};
  std::thread auditor =
      StartThread("auditor", [&] { EXPECT_TRUE(AuditAll(NamesrvAddr(), stop).ok()); });
  WaitUntil([&] { return Saw("order 7 was paid"); });
  stop = true;
  auditor.join();
  client::PullConsumerOptions options;
  options.namesrvAddr = NamesrvAddr();
  options.consumerGroup = "others";
  auto consumer = client::PullConsumer::Start(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  int64_t backlog = 0;
  const auto queues = (*consumer)->FetchSubscribeMessageQueues("orders");
  ASSERT_TRUE(queues.ok()) << queues.status();
  for (const auto& queue : *queues) backlog += Backlog(**consumer, queue).value_or(-100);
  EXPECT_GE(backlog, 1);
}

// ---- The README says what the code does

std::vector<std::string> LinesOf(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    line.erase(0, line.find_first_not_of(' '));
    lines.push_back(line);
  }
  return lines;
}

TEST(Readme, EverySampleIsInThisFileWordForWord) {
  const std::vector<std::string> readme = LinesOf("client/README.md");
  const std::vector<std::string> source = LinesOf("tests/client/readme_samples_test.cc");
  int samples = 0;
  for (auto line = readme.begin(); line != readme.end(); ++line) {
    if (*line != "```c++") continue;
    const auto end = std::find(line, readme.end(), "```");
    ASSERT_NE(end, readme.end());
    const std::vector<std::string> sample(line + 1, end);
    ASSERT_FALSE(sample.empty());
    ++samples;
    EXPECT_NE(std::search(source.begin(), source.end(), sample.begin(), sample.end()), source.end())
        << "this sample of client/README.md is not in readme_samples_test.cc as it stands:\n"
        << sample[0];
    line = end;
  }
  EXPECT_GE(samples, 12);
}

// "name" → the default, as a header has it; "-" for none.
std::map<std::string, std::string> OptionsIn(const std::string& header,
                                             const std::string& struct_name) {
  std::string text;
  bool inside = false;
  for (std::string line : LinesOf(header)) {
    if (line == StrCat("struct ", struct_name, " {")) {
      inside = true;
      continue;
    }
    if (inside && line == "};") break;
    if (inside) text += line.substr(0, line.find("//")) + " ";
  }
  std::map<std::string, std::string> options;
  const std::regex field(R"(^\s*\S.*?\s(\w+)\s*(?:=\s*(.*?)\s*)?$)");
  for (const std::string& declaration : std::vector<std::string>(absl::StrSplit(text, ';'))) {
    std::smatch match;
    if (std::regex_match(declaration, match, field)) {
      options[match[1]] = match[2].matched ? match[2].str() : "-";
    }
  }
  return options;
}

TEST(Readme, TheTablesHaveEveryOptionWithItsDefault) {
  const std::vector<std::string> readme = LinesOf("client/README.md");
  const std::pair<const char*, const char*> kStructs[] = {
      {"client/producer.h", "ProducerOptions"},
      {"client/fault_strategy.h", "FaultOptions"},
      {"client/push_consumer.h", "PushConsumerOptions"},
      {"client/pull_consumer.h", "PullConsumerOptions"},
      {"client/read_options.h", "ReadOptions"},
      {"client/simple_consumer.h", "SimpleConsumerOptions"},
  };
  for (const auto& [header, name] : kStructs) {
    const auto options = OptionsIn(header, name);
    EXPECT_GE(options.size(), 2u) << name;
    // The table under the heading that names the struct.
    auto line = std::find(readme.begin(), readme.end(), StrCat("### `", name, "`"));
    ASSERT_NE(line, readme.end()) << name;
    std::map<std::string, std::string> table;
    const std::regex row(R"(^\| `(\w+)` \| (?:`(.*?)`|-) \|.*)");
    for (++line; line != readme.end() && line->substr(0, 1) != "#"; ++line) {
      std::smatch match;
      if (std::regex_match(*line, match, row)) {
        table[match[1]] = match[2].matched ? match[2].str() : "-";
      }
    }
    EXPECT_EQ(table, options) << name;
  }
}

}  // namespace
}  // namespace raftmq
