// BrokerState: queue locks and their rows.

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/state_rows.h"

namespace raftmq::store {

absl::Status BrokerState::ApplyBody(const LockQueues& lock, LogIndex) {
  if (FindGroup(lock.group) == nullptr) {
    return absl::InternalError(StrCat("group ", lock.group, " to lock queues does not exist"));
  }
  for (const QueueId queue : lock.queues) {
    if (queue.value() >= QueueCount(lock.topic)) {
      return absl::InternalError(
          StrCat("queue ", queue, " of topic ", lock.topic, " to lock does not exist"));
    }
    LockedQueue name{lock.group, lock.topic, queue};
    // Also of one that is let go: that the queue is shared by locks stays known, and, until it is
    // taken anew, that what its owner had may not be committed.
    QueueLock& held = queue_locks_[name];
    held = {lock.client_id, lock.until_ms, lock.until_ms == 0 && held.revoked};
    MarkLock(std::move(name));
  }
  return absl::OkStatus();
}

void BrokerState::MarkLock(LockedQueue name) {
  if (changes_ == nullptr) return;
  if (dirty_locks_.insert(std::move(name)).second) ++pending_rows_;
}

void BrokerState::EraseLocksIf(absl::FunctionRef<bool(const LockedQueue&)> gone) {
  for (auto it = queue_locks_.begin(); it != queue_locks_.end();) {
    if (gone(it->first)) {
      MarkLock(it->first);
      it = queue_locks_.erase(it);
    } else {
      ++it;
    }
  }
}

const QueueLock* BrokerState::FindLock(const LockedQueue& name) const {
  const auto it = queue_locks_.find(name);
  return it == queue_locks_.end() ? nullptr : &it->second;
}

void BrokerState::PutLockRows() {
  for (const LockedQueue& name : dirty_locks_) {
    const std::string key = PositionKeyOf(name.group, name.topic, name.queue);
    const QueueLock* lock = FindLock(name);
    if (lock == nullptr) {
      changes_->Delete(StateColumn::kQueueLocks, key);
    } else {
      changes_->Put(StateColumn::kQueueLocks, key, QueueLockValue(*lock));
    }
  }
  dirty_locks_.clear();
}

absl::Status BrokerState::LoadLock(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(const PositionKey name, ParsePositionKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(QueueLock lock, ParseQueueLockValue(value));
  queue_locks_[{name.group, name.topic, name.queue}] = std::move(lock);
  return absl::OkStatus();
}

}  // namespace raftmq::store
