// ConsumeQueue: where the messages of one queue are in the log. Entry n, 20 bytes at byte n × 20,
// says where message n is, how long it is, and its tag's hash (RocketMQ's ConsumeQueue).
//
// Files are named by their first byte's place in the queue, and grow as entries come: an idle queue
// costs no space. Entries are kept in memory until the next flush; readers see them at once.
// Nothing is opened or read before it is needed.
//
// Created by ConsumeQueueSet, which also keeps what survives a restart (ends, first offsets) in one
// file for all queues; a queue's own files hold nothing but entries.
//
// Threads: one writer (the apply thread: Append, SetMinPosition, TruncateTo, Reset), one flusher
// (WriteFrozen), any number of readers (the rest), all at the same time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "store/file_cache.h"

namespace raftmq::store {

struct ConsumeQueueEntry {
  LogPosition position;  // of the record
  int32_t size = 0;      // of the record, in bytes
  int64_t tag_hash = 0;  // EntryTag of its tag and the group that it is for

  bool operator==(const ConsumeQueueEntry&) const = default;
};

inline constexpr size_t kConsumeQueueEntrySize = 20;

enum class TimeBoundary {
  kLower,  // the first message stored at or after the time; the end if there is none
  kUpper,  // the last message stored at or before the time; the first one if there is none
};

class ConsumeQueue {
 public:
  // What a queue looks like on disk, as its set's mark file says.
  struct Durable {
    QueueOffset min;                // lower ones have expired
    QueueOffset end;                // one past the last
    LogPosition last_position{-1};  // of entry end - 1; -1 if the queue never had one

    bool operator==(const Durable&) const = default;
  };

  struct Place {
    std::string topic;
    QueueId queue_id;
    std::string directory;
    int32_t entries_per_file = 0;
  };

  // What was written and must be synced to be durable.
  struct Unsynced {
    std::vector<std::string> files;
    std::set<std::string> directories;
  };

  // A queue whose files hold `durable`, whose first offset is right for `min_position`. If it never
  // had an entry, what is found in its directory is a left-over. `files` outlives the queue.
  ConsumeQueue(Place place, FileCache* files, Durable durable, LogPosition min_position);

  const std::string& topic() const { return place_.topic; }
  QueueId queue_id() const { return place_.queue_id; }

  // ---- Writing

  // Adds entry number `offset`. One that is there already, with the same position, is skipped (a
  // replay). DataLoss: offset is past the end (a gap), another record holds it, or the position is
  // not above the previous entry's; nothing has changed then.
  absl::Status Append(QueueOffset offset, const ConsumeQueueEntry& entry);

  // Entries of records below `position` have expired: cheap here, the search for the new first
  // offset is left to the next reader or flush. Never goes back.
  void SetMinPosition(LogPosition position);

  // Cuts off entries from `end` on, on disk too, so that they can be written anew.
  // REQUIRES: MinOffset ≤ end ≤ MaxOffset, no flush is running, nothing is frozen.
  absl::Status TruncateTo(QueueOffset end);

  // Empties the queue, which then begins at `first`: before it is rebuilt from the log.
  // REQUIRES: no flush is running, nothing is frozen.
  absl::Status Reset(QueueOffset first);

  // ---- Flushing and recovery (ConsumeQueueSet calls these)

  // Marks what is in memory now as the next thing to write. REQUIRES: nothing is marked.
  void Freeze();
  // Writes what was frozen, and says what must be synced then. An error means that the disk failed:
  // what is on it is unknown. If the file to go on with is missing, that is damage(), not an error.
  absl::Status WriteFrozen(Unsynced* unsynced);
  // What is on disk after WriteFrozen and the syncs.
  Durable FrozenState();
  // Removes files with nothing but entries below `min`, once that is durable as Durable::min.
  absl::Status RemoveFilesBelow(QueueOffset min);
  // Makes the files what the constructor was told they are: cuts what is beyond the end. If they
  // hold less, or the last entries are wrong, damage() says so. An error means that the disk
  // failed.
  absl::Status Recover();
  // Repair of one entry that is on disk: writes it anew, durably. OutOfRange: it is not on disk.
  // REQUIRES: no flush is running.
  absl::Status Rewrite(QueueOffset offset, const ConsumeQueueEntry& entry);
  // The topic is gone: every call answers NotFound from now on.
  void Retire();

  // OK, or why the queue can't be used until Reset: every read and Append returns it. A missing or
  // short file that a read runs into fails that read only.
  absl::Status damage() const;

  // ---- Reading

  // First offset that has not expired; equal to MaxOffset if all have.
  absl::StatusOr<QueueOffset> MinOffset();
  // One past the last offset.
  QueueOffset MaxOffset() const;

  // First offset whose record is at or above `position`; MaxOffset if there is none.
  absl::StatusOr<QueueOffset> FirstFrom(LogPosition position);

  // Entries are as they are on disk, where bits flip: only the record that one leads to says
  // whether it is right (RecordReader).

  // OutOfRange outside [MinOffset, MaxOffset).
  absl::StatusOr<ConsumeQueueEntry> Get(QueueOffset offset);

  // Whether an earlier process wrote this entry: it was at rest since.
  bool IsFromBefore(QueueOffset offset) const { return offset < end_at_open_; }

  // Up to `max` entries from `offset` on; none at MaxOffset; OutOfRange outside.
  absl::StatusOr<std::vector<ConsumeQueueEntry>> GetRange(QueueOffset offset, size_t max);

  // Binary search over store times, which never decrease within a queue. OutOfRange if entries
  // expire meanwhile; ask again.
  using StoreTimeOf = std::function<absl::StatusOr<int64_t>(const ConsumeQueueEntry&)>;
  absl::StatusOr<QueueOffset> OffsetByTime(int64_t timestamp_ms, TimeBoundary boundary,
                                           const StoreTimeOf& store_time_of);

  // Reads all entries: positions strictly increasing, sizes sensible. DataLoss names the first bad
  // offset.
  absl::Status Verify();

  // Files with entries that are on disk, oldest first. Stable while no flush runs; for snapshots.
  struct FileExtent {
    std::string path;
    int64_t size = 0;  // the bytes that count
  };
  std::vector<FileExtent> DurableFiles() const;

 private:
  // A consistent look at what is where, for reading without the lock.
  struct Extent {
    QueueOffset min;
    QueueOffset end;
  };

  int64_t FileNumber(QueueOffset offset) const { return offset.value() / place_.entries_per_file; }
  std::string PathOf(int64_t file) const;
  std::string Name() const;  // for messages
  bool Parses(const std::string& file_name, int64_t* file) const;

  // Entries [offset, offset + count), as bytes: from the files below disk_end_, else from memory.
  absl::Status ReadBytes(QueueOffset offset, size_t count, std::string* out) const;
  absl::Status ReadDisk(QueueOffset offset, size_t count, std::string* out) const;
  absl::StatusOr<ConsumeQueueEntry> EntryAt(QueueOffset offset) const;
  // The first offset in [from, to) for which `before` is false; `to` if there is none.
  absl::StatusOr<QueueOffset> Search(
      QueueOffset from, QueueOffset to,
      const std::function<absl::StatusOr<bool>(const ConsumeQueueEntry&)>& before) const;
  // Brings min_ up to min_position_.
  absl::StatusOr<Extent> Resolve();
  absl::StatusOr<QueueOffset> FindFirst(Extent extent, LogPosition position) const;
  absl::Status WriteDisk(QueueOffset offset, std::string_view bytes, bool on_disk,
                         Unsynced* unsynced);
  absl::Status RemoveStrayFiles(int64_t first, int64_t last, std::vector<int64_t>* present);
  absl::Status CheckFiles();
  absl::Status CheckTail(const File& file, int64_t number) ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const Place place_;
  FileCache* const files_;
  const QueueOffset end_at_open_;

  mutable absl::Mutex mutex_;
  absl::Status damage_ ABSL_GUARDED_BY(mutex_);
  QueueOffset min_ ABSL_GUARDED_BY(mutex_);
  LogPosition min_position_ ABSL_GUARDED_BY(mutex_);       // asked for
  LogPosition resolved_position_ ABSL_GUARDED_BY(mutex_);  // min_ is right for this one
  QueueOffset end_ ABSL_GUARDED_BY(mutex_);
  LogPosition last_position_ ABSL_GUARDED_BY(mutex_);
  // Entries below disk_end_ are in the files, the next ones in frozen_, the rest in buffer_.
  QueueOffset disk_end_ ABSL_GUARDED_BY(mutex_);
  std::string frozen_ ABSL_GUARDED_BY(mutex_);
  std::string buffer_ ABSL_GUARDED_BY(mutex_);
  LogPosition disk_last_position_ ABSL_GUARDED_BY(mutex_);
  bool on_disk_ ABSL_GUARDED_BY(mutex_);        // its directory and last file exist
  int64_t first_file_ ABSL_GUARDED_BY(mutex_);  // files below it are removed
};

}  // namespace raftmq::store
