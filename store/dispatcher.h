// Dispatcher: gives each committed entry to the parts that are derived from the log: the replicated
// state with its RocksDB mirror, the consume queues and the message index (RocketMQ's reput
// service), and the table of recent sends. Each part has a mark of its own and skips what it has
// already.
//
// The parts may be behind one another: after a crash, or because one of them was removed. Replay
// begins at the lowest mark (DurableIndex), and equal entries make equal parts.
//
// Threads: Apply on the apply thread; Flush and Close on any other, beside it; the rest anywhere.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "dledger/state_machine.h"
#include "store/applied_state.h"
#include "store/arrivals.h"
#include "store/commands.h"
#include "store/consume_queue_set.h"
#include "store/message_index.h"
#include "store/message_record.h"
#include "store/recent_sends.h"
#include "store/record_reader.h"
#include "store/settlement.h"
#include "store/state_store.h"
#include "store/store_counters.h"

namespace raftmq::store {

class Dispatcher {
 public:
  // All outlive the dispatcher. `state_store` was loaded into `applied` and takes its changes;
  // `index` may be null. `records` is attached before the first Apply.
  Dispatcher(AppliedState* applied, RocksStateStore* state_store, ConsumeQueueSet* queues,
             MessageIndex* index, RecentSends* sends, const RecordReader* records,
             StoreCounters* counters);

  // Once, before the first Apply.
  void SetListener(ArrivalListener* listener) { arrivals_.SetListener(listener); }

  // Once, before the first Apply. `release` is told up to where the log may go: what a Retain named
  // once that is on disk in all parts, on the flusher's thread.
  void SetRelease(std::function<void(LogPosition)> release) { release_ = std::move(release); }

  // Messages that expired before a group had got them, since this process started.
  int64_t missed_messages() const { return missed_messages_.load(std::memory_order_relaxed); }

  // Index of the last entry that all parts have on disk.
  LogIndex DurableIndex() const;
  // Entries after this one must come again at a start: RecentSends is in memory only.
  LogIndex ReplayAfter() const;

  // Applies entries without gaps. An error is final.
  absl::Status Apply(std::span<const dledger::CommittedEntry> entries);

  // The applied state, for a leader to decide against. Waits for a running Apply.
  BrokerState CopyState();

  // Makes durable what is applied. An error is final for Apply too.
  absl::Status Flush();
  // The same, and writes what makes the index quick to open. Nothing is applied afterwards.
  absl::Status Close();

  // Bytes of log applied since the last Flush began.
  int64_t unflushed_bytes() const { return unflushed_bytes_.load(std::memory_order_relaxed); }

 private:
  absl::Status CheckSequence(const dledger::CommittedEntry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status ApplyEntry(const dledger::CommittedEntry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status ApplyRecords(const dledger::CommittedEntry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status ApplyCommands(const dledger::CommittedEntry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status ApplyCommand(const Command& command, LogIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status ApplyRetain(const Command& command, LogIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status AddToQueueAndIndex(const RecordHeaderView& record);
  void NoteAcked(std::string_view topic, QueueId queue);
  void NoteSettled(const Settlement& settlement);
  absl::Status FinishBatch(const dledger::CommittedEntry& last)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  // What the state says at state_index_ goes to the database.
  absl::Status CommitState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(apply_mutex_);
  absl::Status FreezeParts(AppliedMark* mark, LogPosition* may_go)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  absl::Status FlushParts(bool closing);

  AppliedState* const applied_;
  RocksStateStore* const state_store_;
  ConsumeQueueSet* const queues_;
  MessageIndex* const index_;
  RecentSends* const sends_;
  const RecordReader* const records_reader_;
  StoreCounters* const counters_;
  std::function<void(LogPosition)> release_;

  std::atomic<int64_t> unflushed_bytes_{0};
  std::atomic<int64_t> missed_messages_{0};

  absl::Mutex flush_mutex_;  // one flush at a time. Before apply_mutex_.
  absl::Mutex apply_mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(apply_mutex_);
  LogIndex last_index_ ABSL_GUARDED_BY(apply_mutex_);  // 0: nothing applied since the start
  LogPosition last_end_ ABSL_GUARDED_BY(apply_mutex_);
  LogIndex state_index_ ABSL_GUARDED_BY(apply_mutex_);  // last entry that the state has
  std::vector<RecordHeaderView> records_ ABSL_GUARDED_BY(apply_mutex_);  // of one entry; reused
  ArrivalNotes arrivals_;  // of the apply thread
};

}  // namespace raftmq::store
