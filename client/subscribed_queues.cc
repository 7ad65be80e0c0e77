#include <utility>

#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_subscribed_queues.h"

namespace raftmq::client {

absl::StatusOr<std::unique_ptr<SubscribedQueues>> SubscribedQueues::Start(
    const PullConsumerOptions& options) {
  ClientInstanceOptions client;
  client.namesrvAddr = options.namesrvAddr;
  client.tls = options.tls;
  client.pollNameServerInterval = options.pollNameServerInterval;
  client.heartbeatBrokerInterval = options.heartbeatBrokerInterval;
  client.type = apache::rocketmq::v2::PUSH_CONSUMER;
  client.consumerGroup = options.consumerGroup;
  RAFTMQ_ASSIGN_OR_RETURN(auto instance, ClientInstance::Start(std::move(client)));
  GroupQueuesOptions queues;
  queues.consumerGroup = options.consumerGroup;
  queues.allocateMessageQueueStrategy = options.allocateMessageQueueStrategy;
  queues.pullBatchSize = options.pullBatchSize;
  queues.brokerSuspendMaxTimeMillis = options.brokerSuspendMaxTimeMillis;
  queues.thresholds.pullThresholdForQueue = options.pullThresholdForQueue;
  queues.thresholds.pullThresholdSizeForQueue = options.pullThresholdSizeForQueue;
  queues.read = options.read;
  queues.persistConsumerOffsetInterval = options.autoCommitIntervalMillis;
  queues.requestTimeout = options.requestTimeout;
  queues.max_leave_ms = options.handOverTimeoutMillis;
  auto subscribed = std::unique_ptr<SubscribedQueues>(
      new SubscribedQueues(std::move(queues), std::move(instance), options.autoCommit,
                           static_cast<size_t>(options.pullBatchSize)));
  subscribed->Begin();
  return subscribed;
}

SubscribedQueues::SubscribedQueues(GroupQueuesOptions queues,
                                   std::unique_ptr<ClientInstance> instance, bool auto_commit,
                                   size_t batch_size)
    : GroupQueues(std::move(queues), std::move(instance), {}),
      auto_commit_(auto_commit),
      batch_size_(batch_size) {}

SubscribedQueues::~SubscribedQueues() {
  Settle(auto_commit_);
  LeaveAll();
  Close();
}

bool SubscribedQueues::CanPoll(const Held& held) const {
  return Mine(held) && held.puller->messages().waiting() != 0 && !held.puller->paused();
}

bool SubscribedQueues::CanPollAny() const {
  for (const auto& [key, held] : held_) {
    if (CanPoll(*held)) return true;
  }
  return false;
}

std::vector<ReceivedMessage> SubscribedQueues::Poll(int64_t timeout_ms) {
  if (auto_commit_) Settle(/*done=*/true);
  std::shared_ptr<QueuePuller> puller;
  std::vector<ReceivedMessage> messages;
  {
    absl::MutexLock lock(&mu_);
    const auto any = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return CanPollAny(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&any), absl::Milliseconds(timeout_ms))) return {};
    auto it = held_.upper_bound(last_polled_);
    for (size_t i = 0; i <= held_.size() && messages.empty(); ++i, ++it) {
      if (it == held_.end()) it = held_.begin();
      if (!CanPoll(*it->second)) continue;
      messages = it->second->puller->messages().Take(batch_size_);
      if (messages.empty()) continue;  // a Seek came in between
      last_polled_ = it->first;
      puller = it->second->puller;
      ++it->second->running;
      std::vector<QueueOffset> offsets;
      for (const ReceivedMessage& message : messages) offsets.push_back(message.offset);
      polled_.emplace_back(it->second, std::move(offsets));
    }
  }
  if (puller != nullptr) puller->Pull();  // there may be room
  return messages;
}

void SubscribedQueues::Settle(bool done) {
  std::vector<std::pair<HeldPtr, std::vector<QueueOffset>>> polled;
  {
    absl::MutexLock lock(&mu_);
    polled.swap(polled_);
  }
  for (const auto& [held, offsets] : polled) {
    if (done) {
      for (const QueueOffset offset : offsets) held->puller->messages().Done(offset);
    }
    EndRun(held);
  }
}

absl::Status SubscribedQueues::CommitSync() {
  Settle(/*done=*/true);
  std::vector<std::pair<HeldPtr, QueueOffset>> moved;
  {
    absl::MutexLock lock(&mu_);
    moved = Moved();
  }
  absl::Status first;
  for (const auto& [held, offset] : moved) {
    const absl::Status status = AwaitAnswer<absl::Status>(
        [&, held = held, offset = offset](auto done) { CommitAt(held, offset, std::move(done)); });
    if (first.ok()) first = status;
  }
  return first;
}

absl::StatusOr<std::shared_ptr<QueuePuller>> SubscribedQueues::Find(
    const MessageQueue& queue) const {
  absl::MutexLock lock(&mu_);
  const auto it = held_.find(KeyOf(queue));
  if (it != held_.end() && Mine(*it->second)) return it->second->puller;
  return absl::NotFoundError(StrCat("queue ", queue.queue, " of topic ", queue.topic, " at ",
                                    queue.broker_name,
                                    " is not this member's now: choose one of Assignment"));
}

void SubscribedQueues::Wake() {
  absl::MutexLock lock(&mu_);
  ++wakes_;
}

}  // namespace raftmq::client
