#include "client/push_consumer.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/file_system.h"
#include "base/strings.h"
#include "client/await_answer.h"
#include "client/grpc_push_consumer.h"
#include "client/orderly_pause.h"
#include "client/user_code.h"
#include "glog/logging.h"

namespace raftmq::client {
namespace {

namespace v2 = ::apache::rocketmq::v2;

constexpr int64_t kLookForOverdueMs = 1'000;
// Before a message is tried again here because the broker did not take it back.
constexpr int64_t kLocalRetryMs = 5'000;

absl::Status CheckThreads(int threads) {
  if (threads >= 1 && threads <= 1'000) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("consumeThreadNumber ", threads, ": expected 1 to 1000"));
}

absl::Status CheckOptions(const PushConsumerOptions& options) {
  if (options.consumerGroup.empty())
    return absl::InvalidArgumentError("no consumer group given: set consumerGroup");
  if (static_cast<bool>(options.concurrently) == static_cast<bool>(options.orderly)) {
    return absl::InvalidArgumentError(
        "exactly one listener is needed: set concurrently or orderly");
  }
  RAFTMQ_RETURN_IF_ERROR(CheckThreads(options.consumeThreadNumber));
  if (options.consumeMessageBatchMaxSize < 1 || options.consumeMessageBatchMaxSize > 1'024) {
    return absl::InvalidArgumentError(StrCat(
        "consumeMessageBatchMaxSize ", options.consumeMessageBatchMaxSize, ": expected 1 to 1024"));
  }
  if (options.pullBatchSize < 1 || options.pullBatchSize > 32) {
    return absl::InvalidArgumentError(
        StrCat("pullBatchSize ", options.pullBatchSize, ": expected 1 to 32"));
  }
  if (options.maxTimeConsumeContinuously < 1) {
    return absl::InvalidArgumentError(StrCat("maxTimeConsumeContinuously ",
                                             options.maxTimeConsumeContinuously,
                                             ": expected milliseconds, 1 at least"));
  }
  if (options.consumeTimeout < 10) {
    return absl::InvalidArgumentError(
        StrCat("consumeTimeout ", options.consumeTimeout, ": expected milliseconds, 10 at least"));
  }
  if (options.lockLeaseMillis < 300 || options.lockLeaseMillis > 300'000 ||
      options.rebalanceInterval < 10 || options.persistConsumerOffsetInterval < 10) {
    return absl::InvalidArgumentError(StrCat(
        "lockLeaseMillis ", options.lockLeaseMillis, ", rebalanceInterval ",
        options.rebalanceInterval, ", persistConsumerOffsetInterval ",
        options.persistConsumerOffsetInterval,
        ": expected milliseconds, 300 to 300,000 for the first, at least 10 for the others"));
  }
  return CheckRead(options.read);
}

std::string OffsetPath(const PushConsumerOptions& options) {
  std::string dir = options.localOffsetStoreDir;
  if (dir.empty()) {
    const char* home = std::getenv("HOME");
    dir = StrCat(home == nullptr ? "." : home, "/.raftmq_offsets");
  }
  return StrCat(dir, "/", options.consumerGroup, ".offsets");
}

GroupQueuesOptions QueuesOf(const PushConsumerOptions& options) {
  GroupQueuesOptions queues;
  queues.consumerGroup = options.consumerGroup;
  queues.subscription = options.subscription;
  queues.clustering = options.messageModel == MessageModel::kClustering;
  queues.retries = queues.clustering && static_cast<bool>(options.concurrently);
  queues.allocateMessageQueueStrategy = options.allocateMessageQueueStrategy;
  queues.pullBatchSize = options.pullBatchSize;
  queues.brokerSuspendMaxTimeMillis = options.brokerSuspendMaxTimeMillis;
  queues.thresholds = {options.pullThresholdForQueue, options.pullThresholdSizeForQueue,
                       options.consumeConcurrentlyMaxSpan};
  queues.read = options.read;
  queues.persistConsumerOffsetInterval = options.persistConsumerOffsetInterval;
  queues.rebalanceInterval = options.rebalanceInterval;
  queues.lockLeaseMillis = options.lockLeaseMillis;
  queues.requestTimeout = options.requestTimeout;
  queues.offset_path = OffsetPath(options);
  return queues;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PushConsumer>> PushConsumer::Start(PushConsumerOptions options) {
  RAFTMQ_RETURN_IF_ERROR(CheckOptions(options));
  OffsetFile::Offsets offsets;
  if (options.messageModel == MessageModel::kBroadcasting) {
    RAFTMQ_ASSIGN_OR_RETURN(offsets, OffsetFile(PosixFileSystem(), OffsetPath(options)).Read());
  }
  ClientInstanceOptions client;
  client.namesrvAddr = options.namesrvAddr;
  client.tls = options.tls;
  client.pollNameServerInterval = options.pollNameServerInterval;
  client.heartbeatBrokerInterval = options.heartbeatBrokerInterval;
  client.type = v2::PUSH_CONSUMER;
  client.consumerGroup = options.consumerGroup;
  RAFTMQ_ASSIGN_OR_RETURN(auto instance, ClientInstance::Start(std::move(client)));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(instance), std::move(offsets));
  RAFTMQ_RETURN_IF_ERROR(impl->CheckSelectors());
  impl->Begin();
  return std::unique_ptr<PushConsumer>(new PushConsumer(std::move(impl)));
}

PushConsumer::PushConsumer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PushConsumer::~PushConsumer() = default;

absl::Status PushConsumer::Subscribe(const std::string& topic, const MessageSelector& selector) {
  return impl_->Subscribe(topic, selector);
}
void PushConsumer::Unsubscribe(const std::string& topic) { impl_->Unsubscribe(topic); }
absl::Status PushConsumer::UpdateCorePoolSize(int threads) {
  return impl_->UpdateCorePoolSize(threads);
}
void PushConsumer::Suspend() { impl_->SetSuspended(true); }
void PushConsumer::Resume() { impl_->SetSuspended(false); }
std::vector<MessageQueue> PushConsumer::AssignedQueues() const { return impl_->AssignedQueues(); }
const std::string& PushConsumer::client_id() const { return impl_->client_id(); }

PushConsumer::Impl::Impl(PushConsumerOptions options, std::unique_ptr<ClientInstance> instance,
                         OffsetFile::Offsets offsets)
    : GroupQueues(QueuesOf(options), std::move(instance), std::move(offsets)),
      options_(std::move(options)),
      pool_(std::make_unique<ConsumePool>(options_.consumeThreadNumber)) {}

PushConsumer::Impl::~Impl() {
  LeaveAll();
  pool_.reset();  // listeners may still run: they are waited for
  Close();
}

void PushConsumer::Impl::Begin() {
  if (clustering() && options_.concurrently) SendBackOverdue();
  GroupQueues::Begin();
}

absl::Status PushConsumer::Impl::UpdateCorePoolSize(int threads) {
  RAFTMQ_RETURN_IF_ERROR(CheckThreads(threads));
  pool_->Resize(threads);
  return absl::OkStatus();
}

void PushConsumer::Impl::SetSuspended(bool suspended) {
  {
    absl::MutexLock lock(&mu_);
    suspended_ = suspended;
  }
  if (!suspended) DispatchAll();
}

bool PushConsumer::Impl::MayConsume(const Held& held) const { return !suspended_ && Mine(held); }

// A queue that is being left: what lies before a message that a listener was given already is
// finished too. Else the next owner would begin before it, and that one would come twice.
bool PushConsumer::Impl::MayFinish(const Held& held, const Batch& batch) const {
  return held.leaving && !held.gone && !held.lost && batch.front().offset < held.begun_end &&
         (!clustering() || NowMs() < held.locked_until_ms);
}

void PushConsumer::Impl::DispatchAll() {
  std::vector<HeldPtr> all;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [key, held] : held_) all.push_back(held);
  }
  for (const HeldPtr& held : all) Dispatch(held);
}

void PushConsumer::Impl::Dispatch(const HeldPtr& held) {
  absl::MutexLock lock(&mu_);
  if (!MayConsume(*held)) return;
  if (options_.orderly) {
    if (held->scheduled || held->puller->messages().waiting() == 0) return;
    held->scheduled = true;
    ++held->running;
    pool_->Submit([this, held] { ConsumeOrderly(held); });
    return;
  }
  for (;;) {
    Batch batch = held->puller->messages().Take(options_.consumeMessageBatchMaxSize);
    if (batch.empty()) return;
    ++held->running;
    pool_->Submit([this, held, batch = std::move(batch)]() mutable {
      ConsumeConcurrently(held, std::move(batch));
    });
  }
}

// A listener that threw has failed on what it was given.
void PushConsumer::Impl::LogFailedListener(const Batch& batch, const absl::Status& ran) const {
  LOG_IF(ERROR, !ran.ok()) << "the listener of group " << options_.consumerGroup
                           << " failed on message " << batch.front().message_id
                           << (batch.size() > 1 ? StrCat(" and ", batch.size() - 1, " more") : "")
                           << " of topic " << batch.front().topic
                           << ", which comes again: " << raftmq::Message(ran);
}

void PushConsumer::Impl::ConsumeConcurrently(const HeldPtr& held, Batch batch) {
  ProcessQueue& messages = held->puller->messages();
  bool may = false;
  uint64_t id = 0;
  {
    absl::MutexLock lock(&mu_);
    may = MayConsume(*held) || MayFinish(*held, batch);
    if (may) {
      held->begun_end = std::max(held->begun_end, batch.back().offset + 1);
      id = ++batches_begun_;
      in_hand_[id] = {held, &batch, NowMs() + options_.consumeTimeout, false};
    }
  }
  if (!may) {
    messages.PutBack(std::move(batch));
    EndRun(held);
    return Dispatch(held);  // Resume may have been called meanwhile, and have found nothing to take
  }
  ConsumeConcurrentlyContext context;
  context.queue = held->queue;
  ConsumeConcurrentlyStatus status = ConsumeConcurrentlyStatus::kReconsumeLater;
  const absl::Status ran = RunUserCode([&] { status = options_.concurrently(batch, context); });
  LogFailedListener(batch, ran);
  {
    absl::MutexLock lock(&mu_);
    if (in_hand_.extract(id).mapped().overdue) return;  // SendBackOverdue ended it
  }
  // So many of the first were consumed.
  size_t consumed = 0;
  if (status == ConsumeConcurrentlyStatus::kConsumeSuccess) {
    consumed = context.ack_index < batch.size() ? context.ack_index + 1 : batch.size();
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    if (i < consumed) {
      messages.Done(batch[i].offset);
    } else if (clustering()) {
      SendBack(held, std::move(batch[i]), context.delay_level_when_next_consume);
    } else {
      LOG(WARNING) << "message " << batch[i].message_id << " of topic " << batch[i].topic
                   << " was not consumed: there are no retries with broadcasting";
      messages.Done(batch[i].offset);
    }
  }
  EndRun(held);
}

// What a listener has had in hand for too long comes again, to whoever has a thread for it; what
// the listener says of it in the end does not count.
void PushConsumer::Impl::SendBackOverdue() {
  std::vector<std::pair<HeldPtr, Batch>> overdue;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    for (auto& [id, in_hand] : in_hand_) {
      if (in_hand.overdue || NowMs() < in_hand.until_ms) continue;
      in_hand.overdue = true;
      overdue.emplace_back(in_hand.held, *in_hand.batch);
    }
  }
  for (auto& [held, batch] : overdue) {
    for (ReceivedMessage& message : batch) {
      LOG(WARNING) << "message " << message.message_id << " of topic " << message.topic
                   << " was not consumed within " << options_.consumeTimeout
                   << " ms (consumeTimeout): it comes again";
      SendBack(held, std::move(message), 0);
    }
    EndRun(held);
  }
  After(std::min(options_.consumeTimeout, kLookForOverdueMs), [this] { SendBackOverdue(); });
}

void PushConsumer::Impl::SendBack(const HeldPtr& held, ReceivedMessage message,
                                  int32_t delay_level) {
  {
    absl::MutexLock lock(&mu_);
    ++held->running;
  }
  std::optional<int32_t> max_retries;
  if (options_.maxReconsumeTimes >= 0) max_retries = options_.maxReconsumeTimes;
  const QueueOffset offset = message.offset;
  calls_->SendMessageBack(
      held->queue, held->topic, offset, delay_level, max_retries,
      [this, held, message = std::move(message)](absl::StatusOr<bool> dead_lettered) mutable {
        if (dead_lettered.ok()) {
          held->puller->messages().Done(message.offset);
          EndRun(held);
          // The retry topic may be new.
          if (!*dead_lettered) RebalanceSoon(1'000);
          return;
        }
        LOG(WARNING) << "message " << message.message_id << " of topic " << message.topic
                     << " could not be sent back, it is tried again here: "
                     << dead_lettered.status();
        After(absl::IsCancelled(dead_lettered.status()) ? 0 : kLocalRetryMs,
              [this, held, message = std::move(message)]() mutable {
                Batch again;
                again.push_back(std::move(message));
                held->puller->messages().PutBack(std::move(again));
                EndRun(held);
                Dispatch(held);
              });
      });
}

void PushConsumer::Impl::ConsumeOrderly(const HeldPtr& held) {
  const int64_t began_ms = NowMs();
  std::optional<int64_t> pause_ms;
  while (!pause_ms.has_value() && NowMs() - began_ms < options_.maxTimeConsumeContinuously) {
    {
      absl::MutexLock lock(&mu_);
      if (!MayConsume(*held)) break;
    }
    Batch batch = held->puller->messages().Take(options_.consumeMessageBatchMaxSize);
    if (batch.empty()) break;
    pause_ms = ConsumeOneOrderly(held, std::move(batch));
    held->puller->Pull();
  }
  EndOrderly(held, pause_ms);
}

std::optional<int64_t> PushConsumer::Impl::ConsumeOneOrderly(const HeldPtr& held, Batch batch) {
  ProcessQueue& messages = held->puller->messages();
  ConsumeOrderlyContext context;
  context.queue = held->queue;
  ConsumeOrderlyStatus status = ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment;
  const absl::Status ran = RunUserCode([&] { status = options_.orderly(batch, context); });
  LogFailedListener(batch, ran);
  const int64_t pause_ms =
      OrderlyPauseMs(options_.suspendCurrentQueueTimeMillis, context.suspend_current_queue_time_ms);
  if (status == ConsumeOrderlyStatus::kSuspendCurrentQueueAMoment) {
    return FailOrderly(held, std::move(batch), pause_ms);
  }
  // Only this run touches what is not committed: `scheduled` keeps others out.
  Batch all = std::move(held->uncommitted);
  held->uncommitted.clear();
  std::move(batch.begin(), batch.end(), std::back_inserter(all));
  if (!context.auto_commit && status == ConsumeOrderlyStatus::kRollback) {
    messages.PutBack(std::move(all));
    return pause_ms;
  }
  if (!context.auto_commit && status == ConsumeOrderlyStatus::kSuccess) {
    held->uncommitted = std::move(all);
    return std::nullopt;
  }
  for (const ReceivedMessage& message : all) {
    messages.Done(message.offset);
    held->failures.erase(message.offset);
  }
  return std::nullopt;
}

std::optional<int64_t> PushConsumer::Impl::FailOrderly(const HeldPtr& held, Batch batch,
                                                       int64_t pause_ms) {
  Batch again;
  for (ReceivedMessage& message : batch) {
    const int32_t failures = ++held->failures[message.offset];
    const bool too_often =
        clustering() && options_.maxReconsumeTimes >= 0 && failures > options_.maxReconsumeTimes;
    if (too_often && GiveUp(held, message)) {
      held->failures.erase(message.offset);
      held->puller->messages().Done(message.offset);
    } else {
      again.push_back(std::move(message));
    }
  }
  if (again.empty()) return std::nullopt;
  held->puller->messages().PutBack(std::move(again));
  return pause_ms;
}

// To the dead-letter queue.
bool PushConsumer::Impl::GiveUp(const HeldPtr& held, const ReceivedMessage& message) {
  const absl::Status status =
      AwaitAnswer<absl::StatusOr<bool>>([&](auto done) {
        calls_->SendMessageBack(held->queue, held->topic, message.offset, 0, 0, std::move(done));
      }).status();
  LOG_IF(WARNING, !status.ok()) << "message " << message.message_id << " of topic " << message.topic
                                << " could not be dead-lettered, it is tried again: " << status;
  return status.ok();
}

void PushConsumer::Impl::EndOrderly(const HeldPtr& held, std::optional<int64_t> pause_ms) {
  if (pause_ms.has_value()) {
    After(*pause_ms, [this, held] {
      {
        absl::MutexLock lock(&mu_);
        held->scheduled = false;
      }
      Dispatch(held);
    });
  } else {
    absl::MutexLock lock(&mu_);
    held->scheduled = false;
  }
  EndRun(held);
  // What came meanwhile found it scheduled.
  if (!pause_ms.has_value()) Dispatch(held);
}

}  // namespace raftmq::client
