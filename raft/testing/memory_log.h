// MemoryLog: a log in memory with a disk beneath it that forgets what was not synced.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "raft/log_storage.h"

namespace raftmq::raft::testing {

// Not thread-safe.
class MemoryLog : public LogStorage {
 public:
  LogIndex FirstIndex() const override { return first_; }
  LogIndex LastIndex() const override { return LogIndex(entries_.size()); }
  absl::StatusOr<Term> TermAt(LogIndex index) const override;
  absl::StatusOr<LogPosition> EndAt(LogIndex index) const override;
  absl::StatusOr<EntryMeta> EntryAt(LogIndex index) const override;
  absl::StatusOr<std::vector<EntryMeta>> EntriesFrom(LogIndex index, int64_t max_bytes,
                                                     int32_t max_count) const override;

  // CHECKs that the entry follows the last one.
  void Append(const EntryMeta& entry);
  void TruncateFrom(LogIndex from);
  // Retention: entries before `first` are gone.
  void DropBefore(LogIndex first) { first_ = first; }

  LogEnd End() const;
  const std::vector<EntryMeta>& entries() const { return entries_; }

  // Makes the first `n` entries durable. A truncation before it becomes durable too.
  void Sync(size_t n);
  bool synced() const { return common_ == entries_.size() && common_ == disk_.size(); }
  const std::vector<EntryMeta>& disk() const { return disk_; }

  // Power fails and comes back: memory becomes what the disk holds. Of what was written since the
  // last sync any part that a disk could have kept may survive: a truncation or not, then a prefix
  // of the new entries. Without `random` nothing of it survives.
  void Crash(Random* random);
  // The disk rots: all from `from` on is gone.
  void Damage(LogIndex from);

  // From now on every read fails (OK: works again).
  void FailReads(const absl::Status& status) { read_error_ = status; }

 private:
  absl::Status CheckReadable(LogIndex index, LogIndex lowest) const;

  std::vector<EntryMeta> entries_;  // entry i at [i - 1]
  std::vector<EntryMeta> disk_;
  size_t common_ = 0;  // entries_ and disk_ are equal so far
  LogIndex first_{1};
  absl::Status read_error_;
};

}  // namespace raftmq::raft::testing
