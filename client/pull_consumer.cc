#include "client/pull_consumer.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_client_instance.h"
#include "client/grpc_group_calls.h"
#include "client/grpc_subscribed_queues.h"
#include "client/queue_puller.h"
#include "client/user_code.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;

}  // namespace

struct PullConsumer::Impl {
  struct Assigned {
    std::shared_ptr<QueuePuller> puller;
    MessageSelector selector;
    QueueOffset committed;
  };
  // By topic, broker, queue.
  using Key = std::tuple<std::string, std::string, int32_t>;
  static Key KeyOf(const MessageQueue& q) { return {q.topic, q.broker_name, q.queue.value()}; }

  Impl(PullConsumerOptions o, std::unique_ptr<ClientInstance> client)
      : options(std::move(o)),
        instance(std::move(client)),
        calls(instance.get(), options.consumerGroup, options.requestTimeout) {}
  ~Impl();

  void Pull(const MessageQueue& queue, const MessageSelector& selector, QueueOffset offset,
            int32_t max, int64_t suspend_ms, const Read& read, PullCallback done);
  void NearestEnd(const MessageQueue& queue, QueueOffset offset, PullCallback done);
  absl::StatusOr<QueueOffset> StartOf(const MessageQueue& queue);
  absl::StatusOr<std::shared_ptr<QueuePuller>> Find(const MessageQueue& queue);
  bool AnyWaiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status Commit();
  const ReadOptions& ReadOf(const Read& read) const {
    return read.has_value() ? *read : options.read;
  }
  // Null: it does not subscribe.
  SubscribedQueues* Subscribed() {
    absl::MutexLock lock(&mu);
    return subscribed.get();
  }

  const PullConsumerOptions options;
  const std::unique_ptr<ClientInstance> instance;
  absl::Mutex mu;
  std::map<Key, Assigned> assigned ABSL_GUARDED_BY(mu);
  Key last_polled ABSL_GUARDED_BY(mu);
  uint64_t arrivals ABSL_GUARDED_BY(mu) = 0;
  int64_t committed_ms ABSL_GUARDED_BY(mu) = 0;
  std::unique_ptr<SubscribedQueues> subscribed ABSL_GUARDED_BY(mu);  // made once
  // Last: its calls end before what they tell goes away.
  GroupCalls calls;
};

PullConsumer::Impl::~Impl() {
  if (options.autoCommit) Commit().IgnoreError();
  {
    absl::MutexLock lock(&mu);
    for (auto& [key, queue] : assigned) queue.puller->Stop();
  }
  calls.Close();
}

void PullConsumer::Impl::NearestEnd(const MessageQueue& queue, QueueOffset offset,
                                    PullCallback done) {
  calls.MinOffset(
      queue, {},
      [this, queue, offset, done = std::move(done)](absl::StatusOr<QueueOffset> min) mutable {
        if (!min.ok()) return done(min.status());
        PullResult result;
        result.status = PullStatus::kOffsetIllegal;
        result.next_begin_offset = *min;
        if (offset < *min) return done(std::move(result));
        calls.MaxOffset(queue, {},
                        [result, done = std::move(done)](absl::StatusOr<QueueOffset> max) mutable {
                          if (!max.ok()) return done(max.status());
                          result.next_begin_offset = *max;
                          done(std::move(result));
                        });
      });
}

void PullConsumer::Impl::Pull(const MessageQueue& queue, const MessageSelector& selector,
                              QueueOffset offset, int32_t max, int64_t suspend_ms, const Read& read,
                              PullCallback done) {
  GroupCalls::PullOptions pull;
  pull.max = max;
  pull.selector = selector;
  pull.suspend_ms = suspend_ms;
  pull.timeout_ms = suspend_ms == 0 ? options.consumerPullTimeoutMillis
                                    : options.consumerTimeoutMillisWhenSuspend;
  pull.read = ReadOf(read);
  calls.Pull(queue, offset, pull,
             [this, queue, offset,
              done = std::move(done)](absl::StatusOr<GroupCalls::Pulled> pulled) mutable {
               if (!pulled.ok()) return done(pulled.status());
               if (pulled->offset_illegal) return NearestEnd(queue, offset, std::move(done));
               PullResult result;
               result.status = !pulled->messages.empty()      ? PullStatus::kFound
                               : pulled->next_offset > offset ? PullStatus::kNoMatchedMessage
                                                              : PullStatus::kNoNewMessage;
               result.next_begin_offset = pulled->next_offset;
               result.messages = std::move(pulled->messages);
               done(std::move(result));
             });
}

absl::StatusOr<QueueOffset> PullConsumer::Impl::StartOf(const MessageQueue& queue) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::optional<QueueOffset> committed,
                          (AwaitAnswer<absl::StatusOr<std::optional<QueueOffset>>>([&](auto done) {
                            calls.CommittedOffset(queue, {}, std::move(done));
                          })));
  if (committed.has_value()) return *committed;
  return AwaitAnswer<absl::StatusOr<QueueOffset>>(
      [&](auto done) { calls.MinOffset(queue, {}, std::move(done)); });
}

absl::StatusOr<std::shared_ptr<QueuePuller>> PullConsumer::Impl::Find(const MessageQueue& queue) {
  if (SubscribedQueues* const subscription = Subscribed()) return subscription->Find(queue);
  absl::MutexLock lock(&mu);
  const auto it = assigned.find(KeyOf(queue));
  if (it != assigned.end()) return it->second.puller;
  return absl::NotFoundError(StrCat("queue ", queue.queue, " of topic ", queue.topic, " at ",
                                    queue.broker_name, " is not assigned: call Assign first"));
}

bool PullConsumer::Impl::AnyWaiting() const {
  return std::any_of(assigned.begin(), assigned.end(), [](const auto& queue) {
    return queue.second.puller->messages().waiting() != 0 && !queue.second.puller->paused();
  });
}

absl::Status PullConsumer::Impl::Commit() {
  std::vector<std::pair<Key, std::shared_ptr<QueuePuller>>> moved;
  {
    absl::MutexLock lock(&mu);
    committed_ms = SystemClock()->MonotonicMillis();
    for (const auto& [key, queue] : assigned) {
      if (queue.puller->messages().taken_offset() != queue.committed) {
        moved.emplace_back(key, queue.puller);
      }
    }
  }
  absl::Status first;
  for (const auto& [key, puller] : moved) {
    const QueueOffset offset = puller->messages().taken_offset();
    const auto status = AwaitAnswer<absl::Status>([&, p = puller.get()](auto done) {
      calls.UpdateOffset(p->queue(), std::nullopt, offset, std::move(done));
    });
    if (first.ok()) first = status;
    absl::MutexLock lock(&mu);
    const auto it = assigned.find(key);
    if (status.ok() && it != assigned.end() && it->second.puller == puller) {
      it->second.committed = offset;
    }
  }
  return first;
}

absl::StatusOr<std::unique_ptr<PullConsumer>> PullConsumer::Start(PullConsumerOptions options) {
  if (options.consumerGroup.empty())
    return absl::InvalidArgumentError("no consumer group given: set consumerGroup");
  if (options.pullBatchSize < 1 || options.pullBatchSize > 32) {
    return absl::InvalidArgumentError(
        StrCat("pullBatchSize ", options.pullBatchSize, ": expected 1 to 32"));
  }
  if (options.consumerPullTimeoutMillis < 1 || options.brokerSuspendMaxTimeMillis < 1 ||
      options.consumerTimeoutMillisWhenSuspend <= options.brokerSuspendMaxTimeMillis) {
    return absl::InvalidArgumentError(
        StrCat("consumerPullTimeoutMillis ", options.consumerPullTimeoutMillis,
               ", brokerSuspendMaxTimeMillis ", options.brokerSuspendMaxTimeMillis,
               ", consumerTimeoutMillisWhenSuspend ", options.consumerTimeoutMillisWhenSuspend,
               ": expected milliseconds, 1 at least, the last more than the second"));
  }
  if (options.autoCommitIntervalMillis < 10 || options.handOverTimeoutMillis < 10) {
    return absl::InvalidArgumentError(StrCat(
        "autoCommitIntervalMillis ", options.autoCommitIntervalMillis, ", handOverTimeoutMillis ",
        options.handOverTimeoutMillis, ": expected milliseconds, 10 at least"));
  }
  RAFTMQ_RETURN_IF_ERROR(CheckRead(options.read));
  ClientInstanceOptions client;
  client.namesrvAddr = options.namesrvAddr;
  client.tls = options.tls;
  client.pollNameServerInterval = options.pollNameServerInterval;
  client.heartbeatBrokerInterval = options.heartbeatBrokerInterval;
  client.type = v2::PULL_CONSUMER;
  client.consumerGroup = options.consumerGroup;
  RAFTMQ_ASSIGN_OR_RETURN(auto instance, ClientInstance::Start(std::move(client)));
  return std::unique_ptr<PullConsumer>(
      new PullConsumer(std::make_unique<Impl>(std::move(options), std::move(instance))));
}

PullConsumer::PullConsumer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PullConsumer::~PullConsumer() = default;

absl::StatusOr<std::vector<MessageQueue>> PullConsumer::FetchSubscribeMessageQueues(
    const std::string& topic) {
  RAFTMQ_ASSIGN_OR_RETURN(const RouteCache::Route route,
                          impl_->instance->routes()->FindBlocking(topic));
  std::vector<MessageQueue> queues;
  for (const BrokerRoute& broker : route->brokers) {
    for (const int32_t id : broker.readable_queues) {
      queues.push_back({topic, broker.name, QueueId(id)});
    }
  }
  if (queues.empty()) {
    return NoQueue(topic, "readable");
  }
  return queues;
}

absl::StatusOr<PullResult> PullConsumer::Pull(const MessageQueue& queue,
                                              const MessageSelector& selector, QueueOffset offset,
                                              int32_t max, const Read& read) {
  return AwaitAnswer<absl::StatusOr<PullResult>>(
      [&](auto done) { impl_->Pull(queue, selector, offset, max, 0, read, std::move(done)); });
}

absl::StatusOr<PullResult> PullConsumer::PullBlockIfNotFound(const MessageQueue& queue,
                                                             const MessageSelector& selector,
                                                             QueueOffset offset, int32_t max,
                                                             const Read& read) {
  return AwaitAnswer<absl::StatusOr<PullResult>>(
      [&](auto done) { PullAsync(queue, selector, offset, max, std::move(done), read); });
}

void PullConsumer::PullAsync(const MessageQueue& queue, const MessageSelector& selector,
                             QueueOffset offset, int32_t max, PullCallback done, const Read& read) {
  impl_->Pull(queue, selector, offset, max, impl_->options.brokerSuspendMaxTimeMillis, read,
              LogWhatItThrows("the callback of a pull", std::move(done)));
}

absl::Status PullConsumer::UpdateConsumeOffset(const MessageQueue& queue, QueueOffset offset) {
  return AwaitAnswer<absl::Status>(
      [&](auto done) { impl_->calls.UpdateOffset(queue, std::nullopt, offset, std::move(done)); });
}

absl::StatusOr<std::optional<QueueOffset>> PullConsumer::FetchConsumeOffset(
    const MessageQueue& queue, const Read& read) {
  return AwaitAnswer<absl::StatusOr<std::optional<QueueOffset>>>([&](auto done) {
    impl_->calls.CommittedOffset(queue, impl_->ReadOf(read), std::move(done));
  });
}

absl::StatusOr<QueueOffset> PullConsumer::MinOffset(const MessageQueue& queue, const Read& read) {
  return AwaitAnswer<absl::StatusOr<QueueOffset>>(
      [&](auto done) { impl_->calls.MinOffset(queue, impl_->ReadOf(read), std::move(done)); });
}

absl::StatusOr<QueueOffset> PullConsumer::MaxOffset(const MessageQueue& queue, const Read& read) {
  return AwaitAnswer<absl::StatusOr<QueueOffset>>(
      [&](auto done) { impl_->calls.MaxOffset(queue, impl_->ReadOf(read), std::move(done)); });
}

absl::StatusOr<QueueOffset> PullConsumer::SearchOffset(const MessageQueue& queue,
                                                       int64_t timestamp_ms, const Read& read) {
  return AwaitAnswer<absl::StatusOr<QueueOffset>>([&](auto done) {
    impl_->calls.OffsetByTime(queue, timestamp_ms, impl_->ReadOf(read), std::move(done));
  });
}

absl::Status PullConsumer::Assign(const std::vector<MessageQueue>& queues,
                                  const MessageSelector& selector) {
  std::map<Impl::Key, Impl::Assigned> next;
  Impl* const impl = impl_.get();
  QueuePullerOptions options;
  options.selector = selector;
  options.pullBatchSize = impl->options.pullBatchSize;
  options.brokerSuspendMaxTimeMillis = impl->options.brokerSuspendMaxTimeMillis;
  options.thresholds.pullThresholdForQueue = impl->options.pullThresholdForQueue;
  options.thresholds.pullThresholdSizeForQueue = impl->options.pullThresholdSizeForQueue;
  options.read = impl->options.read;
  for (const MessageQueue& queue : queues) {
    const Impl::Key key = Impl::KeyOf(queue);
    {
      absl::MutexLock lock(&impl->mu);
      const auto it = impl->assigned.find(key);
      if (it != impl->assigned.end() && it->second.selector == selector) {
        next[key] = it->second;
        continue;
      }
    }
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset start, impl->StartOf(queue));
    next[key] = {
        std::make_shared<QueuePuller>(queue, options, start, &impl->calls, impl->instance->timers(),
                                      [impl] {
                                        absl::MutexLock lock(&impl->mu);
                                        ++impl->arrivals;
                                      }),
        selector, start};
  }
  {
    absl::MutexLock lock(&impl->mu);
    if (impl->subscribed != nullptr) {
      return absl::FailedPreconditionError(
          StrCat("the consumer of group ", impl->options.consumerGroup,
                 " subscribes: start another one to assign queues to"));
    }
    impl->assigned.swap(next);
    for (const auto& [key, queue] : next) {
      const auto it = impl->assigned.find(key);
      if (it == impl->assigned.end() || it->second.puller != queue.puller) queue.puller->Stop();
    }
    next = impl->assigned;
  }
  for (const auto& [key, queue] : next) queue.puller->Pull();
  return absl::OkStatus();
}

absl::Status PullConsumer::Subscribe(const std::string& topic, const MessageSelector& selector) {
  if (topic.empty()) return absl::InvalidArgumentError("no topic given: name one to subscribe to");
  {
    absl::MutexLock lock(&impl_->mu);
    if (!impl_->assigned.empty()) {
      return absl::FailedPreconditionError(
          StrCat("topic ", topic, " cannot be subscribed to by the consumer of group ",
                 impl_->options.consumerGroup, ", which has ", impl_->assigned.size(),
                 " queues assigned: Assign({}) first, or start another consumer"));
    }
    if (impl_->subscribed == nullptr) {
      RAFTMQ_ASSIGN_OR_RETURN(impl_->subscribed, SubscribedQueues::Start(impl_->options));
    }
  }
  return impl_->Subscribed()->Subscribe(topic, selector);
}

void PullConsumer::Unsubscribe(const std::string& topic) {
  if (SubscribedQueues* const subscribed = impl_->Subscribed()) subscribed->Unsubscribe(topic);
}

std::vector<MessageQueue> PullConsumer::Assignment() const {
  if (const auto* subscribed = impl_->Subscribed()) return subscribed->AssignedQueues();
  absl::MutexLock lock(&impl_->mu);
  std::vector<MessageQueue> queues;
  for (const auto& [key, queue] : impl_->assigned) queues.push_back(queue.puller->queue());
  return queues;
}

std::vector<ReceivedMessage> PullConsumer::Poll(int64_t timeout_ms) {
  Impl* const impl = impl_.get();
  if (SubscribedQueues* const subscribed = impl->Subscribed()) return subscribed->Poll(timeout_ms);
  bool commit = false;
  {
    absl::MutexLock lock(&impl->mu);
    commit = impl->options.autoCommit && SystemClock()->MonotonicMillis() - impl->committed_ms >=
                                             impl->options.autoCommitIntervalMillis;
  }
  // What fails to be committed is committed by the next.
  if (commit) impl->Commit().IgnoreError();
  std::shared_ptr<QueuePuller> chosen;
  {
    absl::MutexLock lock(&impl->mu);
    const auto any = [impl]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return impl->AnyWaiting(); };
    if (!impl->mu.AwaitWithTimeout(absl::Condition(&any), absl::Milliseconds(timeout_ms)))
      return {};
    auto it = impl->assigned.upper_bound(impl->last_polled);
    for (size_t i = 0; i <= impl->assigned.size() && chosen == nullptr; ++i, ++it) {
      if (it == impl->assigned.end()) it = impl->assigned.begin();
      if (it->second.puller->messages().waiting() == 0 || it->second.puller->paused()) continue;
      impl->last_polled = it->first;
      chosen = it->second.puller;
    }
  }
  if (chosen == nullptr) return {};
  std::vector<ReceivedMessage> messages =
      chosen->messages().Take(static_cast<size_t>(impl->options.pullBatchSize));
  for (const ReceivedMessage& message : messages) chosen->messages().Done(message.offset);
  chosen->Pull();
  return messages;
}

absl::Status PullConsumer::Seek(const MessageQueue& queue, QueueOffset offset) {
  RAFTMQ_ASSIGN_OR_RETURN(const auto puller, impl_->Find(queue));
  puller->Seek(offset);
  return absl::OkStatus();
}

absl::Status PullConsumer::SeekToBegin(const MessageQueue& queue) {
  RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset min, MinOffset(queue));
  return Seek(queue, min);
}

absl::Status PullConsumer::SeekToEnd(const MessageQueue& queue) {
  RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset max, MaxOffset(queue));
  return Seek(queue, max);
}

absl::Status PullConsumer::Pause(const MessageQueue& queue) {
  RAFTMQ_ASSIGN_OR_RETURN(const auto puller, impl_->Find(queue));
  puller->Pause();
  return absl::OkStatus();
}

absl::Status PullConsumer::Resume(const MessageQueue& queue) {
  RAFTMQ_ASSIGN_OR_RETURN(const auto puller, impl_->Find(queue));
  puller->Resume();
  if (SubscribedQueues* const subscribed = impl_->Subscribed()) subscribed->Wake();
  absl::MutexLock lock(&impl_->mu);
  ++impl_->arrivals;  // Poll looks again
  return absl::OkStatus();
}

absl::Status PullConsumer::CommitSync() {
  if (SubscribedQueues* const subscribed = impl_->Subscribed()) return subscribed->CommitSync();
  return impl_->Commit();
}

}  // namespace raftmq::client
