// What a group's consumers feel when a member comes or goes: how long a queue that moves delivers
// nothing, and that those that stay go on.
#include <atomic>
#include <set>
#include <thread>

#include "base/thread.h"
#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// PushConsumer's header says a second; the rest is for a machine that is busy with other things.
constexpr int64_t kPauseMs = 1'000 + 2'000;

// What was delivered of each queue: when, by whom and in which order.
class Deliveries {
 public:
  void Add(const std::string& who, const std::vector<ReceivedMessage>& messages) {
    const int64_t now_ms = SystemClock()->MonotonicMillis();
    absl::MutexLock lock(&mu_);
    for (const ReceivedMessage& m : messages) {
      Queue& queue = queues_[m.queue.value()];
      if (!queue.offsets.insert(m.offset.value()).second) twice_.push_back(StrCat(m.offset));
      if (queue.last_ms != 0) queue.pause_ms = std::max(queue.pause_ms, now_ms - queue.last_ms);
      queue.last_ms = now_ms;
      if (queue.owners.empty() || queue.owners.back() != who) queue.owners.push_back(who);
    }
  }
  std::vector<std::string> owners(int queue) const {
    absl::MutexLock lock(&mu_);
    return queues_.at(queue).owners;
  }
  // Between two deliveries, so far.
  int64_t longest_pause_ms(int queue) const {
    absl::MutexLock lock(&mu_);
    return queues_.at(queue).pause_ms;
  }
  void ForgetPauses() {
    absl::MutexLock lock(&mu_);
    for (auto& [id, queue] : queues_) queue.pause_ms = 0;
  }
  std::vector<std::string> twice() const {
    absl::MutexLock lock(&mu_);
    return twice_;
  }
  size_t count() const {
    absl::MutexLock lock(&mu_);
    size_t count = 0;
    for (const auto& [id, queue] : queues_) count += queue.offsets.size();
    return count;
  }
  size_t count(int queue) const {
    absl::MutexLock lock(&mu_);
    const auto it = queues_.find(queue);
    return it == queues_.end() ? 0 : it->second.offsets.size();
  }

 private:
  struct Queue {
    std::set<int64_t> offsets;
    std::vector<std::string> owners;
    int64_t last_ms = 0;
    int64_t pause_ms = 0;
  };
  mutable absl::Mutex mu_;
  std::map<int, Queue> queues_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> twice_ ABSL_GUARDED_BY(mu_);
};

enum class Kind { kConcurrently, kOrderly };

class HandOverTest : public PushConsumerTest, public testing::WithParamInterface<Kind> {
 protected:
  static constexpr int kQueues = 4;

  void SetUp() override {
    PushConsumerTest::SetUp();
    StartGroups(1, 1);
    CreateTopic("orders", kQueues);
  }
  void TearDown() override { EndFlow(); }

  std::unique_ptr<PushConsumer> Start(const std::string& who) {
    PushConsumerOptions options = Options();
    options.consumeThreadNumber = 8;
    options.lockLeaseMillis = 30'000;  // nothing runs out here
    if (GetParam() == Kind::kOrderly) {
      options.orderly = [this, who](const auto& messages, auto&) {
        deliveries_.Add(who, messages);
        Hold(messages[0]);
        return ConsumeOrderlyStatus::kSuccess;
      };
    } else {
      options.concurrently = [this, who](const auto& messages, auto&) {
        deliveries_.Add(who, messages);
        Hold(messages[0]);
        return ConsumeConcurrentlyStatus::kConsumeSuccess;
      };
    }
    return Run(std::move(options));
  }
  // A message every few milliseconds to each queue, until EndFlow.
  void BeginFlow() {
    flow_ = StartThread("flow", [this] {
      auto producer = StartProducer();
      while (!ended_) {
        for (int queue = 0; queue < kQueues; ++queue) {
          auto sent = producer->SendToQueue(Make("orders", "m"),
                                            {"orders", groups_[0]->name(), QueueId(queue)});
          ASSERT_TRUE(sent.ok()) << sent.status();
          ++sent_;
        }
        absl::Notification never;
        never.WaitForNotificationWithTimeout(absl::Milliseconds(5));
      }
    });
    AwaitMore();
  }
  void EndFlow() {
    ended_ = true;
    release_ = true;
    if (flow_.joinable()) flow_.join();
  }
  // Until every queue has delivered some more.
  void AwaitMore() {
    for (int queue = 0; queue < kQueues; ++queue) {
      const size_t before = deliveries_.count(queue);
      WaitUntil([&] { return deliveries_.count(queue) >= before + 5; });
    }
  }
  // A listener that gets a message of this queue keeps it until release_.
  void Hold(const ReceivedMessage& message) {
    if (message.queue.value() != held_queue_) return;
    holding_ = true;
    while (!release_) {
      absl::Notification never;
      never.WaitForNotificationWithTimeout(absl::Milliseconds(2));
    }
  }

  Deliveries deliveries_;
  std::atomic<bool> ended_ = false;
  std::atomic<size_t> sent_ = 0;
  std::atomic<int> held_queue_ = -1;
  std::atomic<bool> holding_ = false;
  std::atomic<bool> release_ = false;
  std::thread flow_;
};

TEST_P(HandOverTest, AQueueThatMovesPausesForAMomentAndOneThatStaysDoesNotMove) {
  auto a = Start("a");
  AwaitShares({a.get()}, {4});
  BeginFlow();
  std::map<int, std::vector<std::string>> owners;
  for (int queue = 0; queue < kQueues; ++queue) owners[queue] = {"a"};
  for (const char* who : {"b", "c"}) {
    deliveries_.ForgetPauses();
    auto other = Start(who);
    AwaitShares({a.get(), other.get()}, {2, 2});
    for (const MessageQueue& moved : other->AssignedQueues()) {
      owners[moved.queue.value()].push_back(who);
      owners[moved.queue.value()].push_back("a");
    }
    AwaitMore();
    other.reset();
    AwaitShares({a.get()}, {4});
    AwaitMore();
    for (int queue = 0; queue < kQueues; ++queue) {
      LOG(INFO) << "queue " << queue << " paused for " << deliveries_.longest_pause_ms(queue)
                << " ms at most";
      EXPECT_LT(deliveries_.longest_pause_ms(queue), kPauseMs) << who << ", queue " << queue;
      EXPECT_EQ(deliveries_.owners(queue), owners[queue]) << who << ", queue " << queue;
    }
  }
  EndFlow();
  WaitUntil([&] { return deliveries_.count() == sent_; });
  EXPECT_THAT(deliveries_.twice(), IsEmpty());
}

// A listener of the member that goes is slow with one message of one queue.
TEST_P(HandOverTest, ASlowListenerHoldsUpItsOwnQueueOnly) {
  auto a = Start("a");
  AwaitShares({a.get()}, {4});
  auto b = Start("b");
  AwaitShares({a.get(), b.get()}, {2, 2});
  const auto of_b = b->AssignedQueues();
  BeginFlow();
  const int slow = of_b[0].queue.value();
  const int quick = of_b[1].queue.value();
  held_queue_ = slow;
  WaitUntil([&] { return holding_.load(); });
  held_queue_ = -1;
  deliveries_.ForgetPauses();
  std::thread leaving = StartThread("leaving", [&] { b.reset(); });
  AwaitShares({a.get()}, {3});
  const size_t before = deliveries_.count(quick);
  WaitUntil([&] { return deliveries_.count(quick) > before + 5; });
  EXPECT_LT(deliveries_.longest_pause_ms(quick), kPauseMs);
  release_ = true;
  leaving.join();
  AwaitShares({a.get()}, {4});
  EndFlow();
  WaitUntil([&] { return deliveries_.count() == sent_; });
  EXPECT_THAT(deliveries_.twice(), IsEmpty());
  EXPECT_THAT(deliveries_.owners(slow), ElementsAre("b", "a"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, HandOverTest, testing::Values(Kind::kConcurrently, Kind::kOrderly),
                         [](const auto& info) {
                           return info.param == Kind::kOrderly ? "Orderly" : "Concurrently";
                         });

}  // namespace
}  // namespace raftmq::client
