#include "client/queue_puller.h"

#include <utility>

#include "base/strings.h"
#include "client/grpc_group_calls.h"
#include "glog/logging.h"

namespace raftmq::client {
namespace {
// After a pull that failed over all its tries.
constexpr int64_t kPauseMs = 200;
}  // namespace

QueuePuller::QueuePuller(MessageQueue queue, QueuePullerOptions options, QueueOffset start,
                         GroupCalls* calls, TaskRunner* timers, std::function<void()> on_messages)
    : queue_(std::move(queue)),
      options_(std::move(options)),
      calls_(calls),
      timers_(timers),
      on_messages_(std::move(on_messages)),
      messages_(start) {}

void QueuePuller::Pull() {
  const ProcessQueue::Next from = messages_.next();
  if (messages_.Full(options_.thresholds)) return;
  {
    absl::MutexLock lock(&mu_);
    // A pull of an earlier generation may still wait at the broker: its answer will be dropped.
    if (stopped_ || paused_ || (pulling_ && pulling_generation_ == from.generation)) return;
    pulling_ = true;
    pulling_generation_ = from.generation;
  }
  PullFrom(from);
}

void QueuePuller::PullFrom(ProcessQueue::Next from) {
  GroupCalls::PullOptions options;
  options.topic = options_.topic_created;
  options.max = options_.pullBatchSize;
  options.selector = options_.selector;
  options.suspend_ms = options_.brokerSuspendMaxTimeMillis;
  options.read = options_.read;
  calls_->Pull(queue_, from.offset, options,
               [self = shared_from_this(), from](absl::StatusOr<GroupCalls::Pulled> pulled) {
                 if (!pulled.ok()) {
                   self->Ended(from.generation);
                   if (absl::IsCancelled(pulled.status())) return;
                   if (absl::IsNotFound(pulled.status()) && self->options_.on_topic_gone) {
                     if (!self->stopped()) self->options_.on_topic_gone();
                     return;
                   }
                   LOG_EVERY_N(WARNING, 10)
                       << "pull of topic " << self->queue_.topic << " queue " << self->queue_.queue
                       << " at " << self->queue_.broker_name << ": " << pulled.status();
                   return self->PullLater(kPauseMs);
                 }
                 if (pulled->offset_illegal) return self->Correct(from);
                 const bool any = !pulled->messages.empty();
                 if (!self->stopped()) {
                   self->messages_.Put(from.generation, std::move(pulled->messages),
                                       pulled->next_offset);
                 }
                 self->Ended(from.generation);
                 if (any && !self->stopped()) self->on_messages_();
                 self->Pull();
               });
}

void QueuePuller::Ended(uint64_t generation) {
  absl::MutexLock lock(&mu_);
  if (pulling_generation_ == generation) pulling_ = false;
}

void QueuePuller::PullLater(int64_t ms) {
  timers_->RunAfter(ms * 1'000'000, [self = shared_from_this()] { self->Pull(); });
}

// Retention may have passed the offset, or the topic was made anew.
void QueuePuller::Correct(ProcessQueue::Next from) {
  calls_->MinOffset(queue_, {}, [self = shared_from_this(), from](absl::StatusOr<QueueOffset> min) {
    if (!min.ok()) {
      self->Ended(from.generation);
      return absl::IsCancelled(min.status()) ? void() : self->PullLater(kPauseMs);
    }
    if (from.offset < *min) {
      self->Ended(from.generation);
      LOG(WARNING) << "topic " << self->queue_.topic << " queue " << self->queue_.queue
                   << " does not hold offset " << from.offset << " any more: goes on at " << *min;
      self->Seek(*min);
      return;
    }
    self->calls_->MaxOffset(self->queue_, {}, [self, from](absl::StatusOr<QueueOffset> max) {
      self->Ended(from.generation);
      if (!max.ok()) return absl::IsCancelled(max.status()) ? void() : self->PullLater(kPauseMs);
      if (from.offset > *max) {
        LOG(WARNING) << "topic " << self->queue_.topic << " queue " << self->queue_.queue
                     << " ends at " << *max << ", before offset " << from.offset
                     << ": goes on there";
        self->Seek(*max);
      } else {
        self->Pull();
      }
    });
  });
}

void QueuePuller::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
}

void QueuePuller::Pause() {
  absl::MutexLock lock(&mu_);
  paused_ = true;
}

void QueuePuller::Resume() {
  {
    absl::MutexLock lock(&mu_);
    paused_ = false;
  }
  Pull();
}

void QueuePuller::Seek(QueueOffset offset) {
  messages_.Reset(offset);
  Pull();
}

bool QueuePuller::stopped() const {
  absl::MutexLock lock(&mu_);
  return stopped_;
}

bool QueuePuller::paused() const {
  absl::MutexLock lock(&mu_);
  return paused_;
}

}  // namespace raftmq::client
