// RaftLog: the metadata of the local log, newest part in memory, older from LogStorage.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "raft/log_storage.h"
#include "raft/types.h"

namespace raftmq::raft {

// Owned by one Node; its thread only. Invariants (CHECKed where they could break):
//   applied <= commit <= last, durable <= last, base <= last; indexes contiguous, terms never fall;
//   commit, applied never decrease; nothing at or below commit is ever removed.
class RaftLog {
 public:
  // All up to `last` is on disk and durable. `storage` outlives this.
  RaftLog(const LogStorage* storage, const LogEnd& last, LogIndex commit, LogIndex applied);

  const LogEnd& last() const { return last_; }
  LogIndex commit() const { return commit_; }
  LogIndex applied() const { return applied_; }
  LogIndex durable() const { return durable_; }
  // Entries above this are in memory.
  LogIndex base() const { return base_.index; }
  const std::deque<EntryMeta>& tail() const { return tail_; }

  // OutOfRange if `index` is above the last one, or dropped.
  absl::StatusOr<Term> TermAt(LogIndex index) const;
  absl::StatusOr<LogPosition> EndAt(LogIndex index) const;

  // Whether the log has an entry `index` of `term` (index 0, term 0: yes). Above the log's end: no.
  // Below its start: yes, since only committed entries are dropped, and all leaders have those. A
  // failing disk is an error.
  absl::StatusOr<bool> Matches(LogIndex index, Term term) const;

  // Entries from `first` on that lie in one segment of `segment_size` back to back, within the
  // limits; at least one. OutOfRange if `first` is dropped. REQUIRES: first <= last().index.
  absl::StatusOr<std::vector<EntryMeta>> Slice(LogIndex first, int64_t max_bytes, int32_t max_count,
                                               int64_t segment_size) const;

  // The largest index <= `upto` (and <= last) whose term is <= `term`; the log's start if none.
  absl::StatusOr<LogIndex> LastWithTermAtMost(LogIndex upto, Term term) const;

  // Whether a log that ends so is at least as up to date as this one (paper §5.4.1).
  bool IsUpToDate(LogIndex last_index, Term last_term) const;

  // Bytes appended and not committed, as far as in memory.
  int64_t UncommittedBytes() const;

  // REQUIRES: entry.index follows the last one; its term isn't below.
  void Append(const EntryMeta& entry);
  // Removes `from` and all after it. REQUIRES: commit < from <= last. On error nothing changed.
  absl::Status TruncateFrom(LogIndex from);
  // No effect if not above the present commit. REQUIRES: index <= last.
  void CommitTo(LogIndex index);
  void AppliedTo(LogIndex index);
  // True if it moved.
  bool DurableTo(LogIndex index, Term term);
  void Compact(LogIndex upto);

 private:
  const EntryMeta& InMemory(LogIndex index) const;

  const LogStorage* const storage_;
  LogEnd base_;  // the entry before tail_.front()
  std::deque<EntryMeta> tail_;
  LogEnd last_;
  LogIndex commit_;
  LogIndex applied_;
  LogIndex durable_;
};

}  // namespace raftmq::raft
