// ProcessQueue: what a consumer holds of one queue: messages that were pulled and wait, and those
// that somebody is consuming (RocketMQ: ProcessQueue). Knows up to where all are done, which is
// what may be committed.
//
// Plain state, no I/O. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/message.h"

namespace raftmq::client {

class ProcessQueue {
 public:
  // Pulling stops at any of them, and goes on below. RocketMQ's names.
  struct Thresholds {
    int64_t pullThresholdForQueue = 1'000;          // messages, waiting or being consumed
    int64_t pullThresholdSizeForQueue = 100 << 20;  // bytes of their bodies
    int64_t consumeConcurrentlyMaxSpan = 2'000;     // between the lowest not done and the next
  };

  explicit ProcessQueue(QueueOffset start) : next_(start), generation_(0) {}

  // What to pull next, and the generation that Put wants back.
  struct Next {
    QueueOffset offset;
    uint64_t generation = 0;
  };
  Next next() const;
  bool Full(const Thresholds& thresholds) const;

  // Messages from the offset that next() gave, up to `next`. False, and nothing is kept: there was
  // a Reset since.
  bool Put(uint64_t generation, std::vector<ReceivedMessage> messages, QueueOffset next);

  // Up to `max` of those that wait, lowest offset first; they are being consumed from now on.
  std::vector<ReceivedMessage> Take(size_t max);
  // One that was taken was consumed, or somebody else sees to it. Not known (any more): nothing.
  void Done(QueueOffset offset);
  // Gives back what was taken: it is the next to be taken.
  void PutBack(std::vector<ReceivedMessage> messages);

  // Starts anew at `offset`: what is held is dropped.
  void Reset(QueueOffset offset);

  // Everything below it is done.
  QueueOffset commit_offset() const;
  // One past the last that was taken: where a reader that takes without Done is.
  QueueOffset taken_offset() const;
  size_t waiting() const;
  size_t held() const;

 private:
  mutable absl::Mutex mu_;
  std::map<QueueOffset, ReceivedMessage> waiting_ ABSL_GUARDED_BY(mu_);
  std::map<QueueOffset, int64_t> taken_ ABSL_GUARDED_BY(mu_);  // value: bytes
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  QueueOffset next_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_);
};

}  // namespace raftmq::client
