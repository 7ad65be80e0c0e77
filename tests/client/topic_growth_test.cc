// An ordered topic gets more queues by the documented procedure, with mqadmin, while its consumers
// run on: stop the producers, drain, delete the topic, make it again, start the producers.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::IsEmpty;

constexpr int kKeys = 10;

// What each key's messages said, in the order in which they came.
class Steps {
 public:
  void Add(const std::vector<ReceivedMessage>& messages) {
    absl::MutexLock lock(&mu_);
    for (const ReceivedMessage& m : messages) steps_[m.keys.at(0)].push_back(std::stoi(m.body));
  }
  size_t count() const {
    absl::MutexLock lock(&mu_);
    size_t count = 0;
    for (const auto& [key, steps] : steps_) count += steps.size();
    return count;
  }
  std::map<std::string, std::vector<int>> all() const {
    absl::MutexLock lock(&mu_);
    return steps_;
  }

 private:
  mutable absl::Mutex mu_;
  std::map<std::string, std::vector<int>> steps_ ABSL_GUARDED_BY(mu_);
};

class TopicGrowthTest : public PushConsumerTest {
 protected:
  std::unique_ptr<PushConsumer> Start() {
    PushConsumerOptions options = Options();
    options.persistConsumerOffsetInterval = 50;
    options.orderly = [this](const auto& messages, auto&) {
      steps_.Add(messages);
      return ConsumeOrderlyStatus::kSuccess;
    };
    return Run(std::move(options));
  }
  // Steps of every key, each key to its queue; the lowest and highest offsets that they got.
  std::pair<int64_t, int64_t> SendSteps(int from, int to) {
    auto producer = StartProducer();
    std::pair<int64_t, int64_t> offsets{std::numeric_limits<int64_t>::max(), -1};
    for (int step = from; step < to; ++step) {
      for (int key = 0; key < kKeys; ++key) {
        Message message = Make("orders", StrCat(step));
        message.keys = {StrCat("key", key)};
        auto sent = producer->Send(
            message, [key](const auto& queues, const auto&) { return key % queues.size(); });
        CHECK(sent.ok()) << sent.status();
        offsets.first = std::min(offsets.first, sent->offset.value());
        offsets.second = std::max(offsets.second, sent->offset.value());
      }
    }
    return offsets;
  }
  std::string Mqadmin(const std::string& arguments) {
    const std::string command =
        StrCat("client/mqadmin/mqadmin ", arguments, " -n ", NamesrvAddr(), " 2>&1");
    FILE* const pipe = popen(command.c_str(), "r");
    CHECK(pipe != nullptr) << command;
    std::string output;
    char piece[4096];
    for (size_t n = 0; (n = fread(piece, 1, sizeof piece, pipe)) > 0;) output.append(piece, n);
    const int exit = pclose(pipe);
    EXPECT_EQ(exit, 0) << command << "\n" << output;
    return output;
  }
  ::raftmq::v1::GroupProgressResponse Progress() {
    const broker::BrokerClient admin(groups_[0]->port(0), "JAVA");
    grpc::ClientContext context;
    admin.Fill(&context);
    ::raftmq::v1::GroupProgressRequest request;
    request.set_name("workers");
    ::raftmq::v1::GroupProgressResponse progress;
    EXPECT_TRUE(admin.admin()->GroupProgress(&context, request, &progress).ok());
    return progress;
  }
  // All that was sent is committed; what the queues' ends add up to.
  int64_t AwaitDrained() {
    int64_t sum = 0;
    WaitUntil([&] {
      sum = 0;
      const auto progress = Progress();
      for (const auto& row : progress.rows()) {
        if (row.commit_offset() != row.max_offset()) return false;
        sum += row.max_offset();
      }
      return true;
    });
    return sum;
  }
  void ExpectEveryStepOnceAndInOrder(int steps) {
    std::vector<int> all;
    for (int step = 0; step < steps; ++step) all.push_back(step);
    const auto seen = steps_.all();
    EXPECT_EQ(seen.size(), kKeys);
    for (const auto& [key, of_key] : seen) EXPECT_EQ(of_key, all) << key;
  }

  Steps steps_;
};

TEST_F(TopicGrowthTest, OrderIsKeptNothingIsLostAndOffsetsBeginAnew) {
  StartGroups(1, 1);
  Mqadmin("updateTopic -t orders -r 2 -w 2");
  AwaitRoute("orders", 1);
  auto a = Start();
  auto b = Start();
  AwaitShares({a.get(), b.get()}, {1, 1});
  SendSteps(0, 20);
  WaitUntil([&] { return steps_.count() == 20 * kKeys; });
  EXPECT_EQ(AwaitDrained(), 20 * kKeys);
  EXPECT_THAT(Mqadmin("consumerProgress -g workers"), testing::HasSubstr("orders"));

  Mqadmin("deleteTopic -t orders");
  Mqadmin("updateTopic -t orders -r 5 -w 5");
  // More than there was in each of the old queues: those offsets are valid ones again.
  const auto offsets = SendSteps(20, 100);
  EXPECT_EQ(offsets.first, 0);
  EXPECT_EQ(offsets.second, 80 * kKeys / 5 - 1);
  WaitUntil([&] { return steps_.count() >= 100 * kKeys; });
  ExpectEveryStepOnceAndInOrder(100);
  EXPECT_EQ(AwaitDrained(), 80 * kKeys) << "of the new topic alone";
  AwaitShares({a.get(), b.get()}, {2, 3});
}

// Its consumers see nothing of the deletion but that their queues are others.
TEST_F(TopicGrowthTest, SoItIsWithFewMessagesAndWhenItIsDoneAgain) {
  StartGroups(1, 3);
  Mqadmin("updateTopic -t orders -r 1 -w 1");
  AwaitRoute("orders", 1);
  auto a = Start();
  int steps = 0;
  for (int queues = 1; queues <= 4; ++queues) {
    if (queues > 1) {
      Mqadmin("deleteTopic -t orders");
      Mqadmin(StrCat("updateTopic -t orders -r ", queues, " -w ", queues));
    }
    SendSteps(steps, steps + 4);
    steps += 4;
    WaitUntil([&] { return steps_.count() >= static_cast<size_t>(steps) * kKeys; });
    ExpectEveryStepOnceAndInOrder(steps);
    AwaitDrained();
  }
  AwaitShares({a.get()}, {4});
}

}  // namespace
}  // namespace raftmq::client
