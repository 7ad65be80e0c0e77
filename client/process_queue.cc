#include "client/process_queue.h"

#include <algorithm>
#include <utility>

namespace raftmq::client {

ProcessQueue::Next ProcessQueue::next() const {
  absl::MutexLock lock(&mu_);
  return {next_, generation_};
}

bool ProcessQueue::Full(const Thresholds& thresholds) const {
  absl::MutexLock lock(&mu_);
  const auto held = static_cast<int64_t>(waiting_.size() + taken_.size());
  if (held == 0) return false;
  QueueOffset lowest = next_;
  if (!waiting_.empty()) lowest = std::min(lowest, waiting_.begin()->first);
  if (!taken_.empty()) lowest = std::min(lowest, taken_.begin()->first);
  return held >= thresholds.pullThresholdForQueue ||
         bytes_ >= thresholds.pullThresholdSizeForQueue ||
         next_ - lowest > thresholds.consumeConcurrentlyMaxSpan;
}

bool ProcessQueue::Put(uint64_t generation, std::vector<ReceivedMessage> messages,
                       QueueOffset next) {
  absl::MutexLock lock(&mu_);
  if (generation != generation_) return false;
  for (ReceivedMessage& message : messages) {
    bytes_ += static_cast<int64_t>(message.body.size());
    const QueueOffset offset = message.offset;
    waiting_.emplace(offset, std::move(message));
  }
  next_ = std::max(next_, next);
  return true;
}

std::vector<ReceivedMessage> ProcessQueue::Take(size_t max) {
  absl::MutexLock lock(&mu_);
  std::vector<ReceivedMessage> taken;
  while (taken.size() < max && !waiting_.empty()) {
    const auto first = waiting_.begin();
    taken_.emplace(first->first, static_cast<int64_t>(first->second.body.size()));
    taken.push_back(std::move(first->second));
    waiting_.erase(first);
  }
  return taken;
}

void ProcessQueue::Done(QueueOffset offset) {
  absl::MutexLock lock(&mu_);
  const auto it = taken_.find(offset);
  if (it == taken_.end()) return;
  bytes_ -= it->second;
  taken_.erase(it);
}

void ProcessQueue::PutBack(std::vector<ReceivedMessage> messages) {
  absl::MutexLock lock(&mu_);
  for (ReceivedMessage& message : messages) {
    const QueueOffset offset = message.offset;
    if (taken_.erase(offset) != 0) waiting_.emplace(offset, std::move(message));
  }
}

void ProcessQueue::Reset(QueueOffset offset) {
  absl::MutexLock lock(&mu_);
  waiting_.clear();
  taken_.clear();
  bytes_ = 0;
  next_ = offset;
  ++generation_;
}

QueueOffset ProcessQueue::commit_offset() const {
  absl::MutexLock lock(&mu_);
  QueueOffset lowest = next_;
  if (!waiting_.empty()) lowest = std::min(lowest, waiting_.begin()->first);
  if (!taken_.empty()) lowest = std::min(lowest, taken_.begin()->first);
  return lowest;
}

QueueOffset ProcessQueue::taken_offset() const {
  absl::MutexLock lock(&mu_);
  return waiting_.empty() ? next_ : waiting_.begin()->first;
}

size_t ProcessQueue::waiting() const {
  absl::MutexLock lock(&mu_);
  return waiting_.size();
}

size_t ProcessQueue::held() const {
  absl::MutexLock lock(&mu_);
  return waiting_.size() + taken_.size();
}

}  // namespace raftmq::client
