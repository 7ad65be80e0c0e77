// QueuePuller: keeps a consumer's ProcessQueue filled. Pulls from the queue's next offset on,
// waiting at the broker for what arrives, again and again; pauses while the ProcessQueue is full.
// An offset that the queue does not hold (any more) is moved to its nearest end, and logged.
//
// Shared with its own calls. Thread-safe; nothing blocks. The callback runs on one of the threads
// of GroupCalls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/task_runner.h"
#include "client/message.h"
#include "client/process_queue.h"
#include "client/read_options.h"

namespace raftmq::client {

class GroupCalls;

struct QueuePullerOptions {
  MessageSelector selector;
  int32_t pullBatchSize = 32;
  int64_t brokerSuspendMaxTimeMillis = 15'000;
  ProcessQueue::Thresholds thresholds;
  ReadOptions read;  // of pulls
  // The topic that is read, as GroupCalls::LockQueues told, and who is told, once, when it is not
  // there any more: then no more is pulled. None: whichever topic has the name, as long as it
  // takes.
  std::optional<LogIndex> topic_created;
  std::function<void()> on_topic_gone;
};

class QueuePuller : public std::enable_shared_from_this<QueuePuller> {
 public:
  // `on_messages` is told after messages came. Both others outlive all of its calls.
  QueuePuller(MessageQueue queue, QueuePullerOptions options, QueueOffset start, GroupCalls* calls,
              TaskRunner* timers, std::function<void()> on_messages);

  // Pulls from now on, if it does not already and there is room. To be called after Start, after
  // messages were taken or done, and after Resume.
  void Pull();

  // No more of its pulls begin, and what is still on its way is dropped.
  void Stop();
  void Pause();
  void Resume();
  void Seek(QueueOffset offset);

  const MessageQueue& queue() const { return queue_; }
  ProcessQueue& messages() { return messages_; }
  bool stopped() const;
  bool paused() const;

 private:
  void PullFrom(ProcessQueue::Next from);
  void PullLater(int64_t ms);
  void Correct(ProcessQueue::Next from);
  void Ended(uint64_t generation);

  const MessageQueue queue_;
  const QueuePullerOptions options_;
  GroupCalls* const calls_;
  TaskRunner* const timers_;
  const std::function<void()> on_messages_;
  ProcessQueue messages_;
  mutable absl::Mutex mu_;
  bool pulling_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t pulling_generation_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace raftmq::client
