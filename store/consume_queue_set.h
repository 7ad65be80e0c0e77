// ConsumeQueueSet: all consume queues of a store, flushed together, with one durable mark.
//
// `<directory>/<topic>/<queue id>/<20-digit byte offset>` hold the entries;
// `<directory>/queues.mark` says up to which log entry all of them are on disk, and each queue's
// first and last offset there. After a crash everything beyond the mark is cut and comes again by
// replay, so files are equal to those of a member that never crashed.
//
// Threads: one writer (the apply thread: Append, SetMinPosition, DeleteTopic, Reset, Freeze), one
// flusher (WriteFrozen; may be the same), any number of readers (Find, List).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "store/applied_mark.h"
#include "store/consume_queue.h"
#include "store/file_cache.h"

namespace raftmq::store {

class ConsumeQueueSet {
 public:
  struct Options {
    int32_t entries_per_file = 300'000;
    size_t max_open_files = 512;
  };

  // Opens what is in `directory`, or an empty set. Damaged queues are logged and listed by
  // damaged(); a missing or damaged mark file empties everything (the mark is then {0, 0} and the
  // log rebuilds it). `fs` outlives the set.
  static absl::StatusOr<std::unique_ptr<ConsumeQueueSet>> Open(FileSystem* fs,
                                                               std::string directory,
                                                               Options options);

  // ---- Writing

  // Adds an entry to a queue, which is made if need be and then begins at `offset`. Records below
  // the mark, or below their topic's last deletion, are skipped: replay may start anywhere at or
  // before mark(). See ConsumeQueue::Append for the errors; InvalidArgument for a topic that can't
  // be a directory's name.
  absl::Status Append(std::string_view topic, QueueId queue_id, QueueOffset offset,
                      const ConsumeQueueEntry& entry);

  // Records below `position` have expired, in all queues.
  void SetMinPosition(LogPosition position);

  // Removes all queues of a topic, durably, files included. `deleted_at` is the position of the
  // entry that deletes it: older records of that name are ignored from now on, in replays too.
  // Waits for a running flush.
  absl::Status DeleteTopic(std::string_view topic, LogPosition deleted_at);

  // Repair: empties one queue, which begins at `first` then, or cuts its entries from `end` on. It
  // takes records below the mark from now on; the caller appends all of its that the log has, and
  // freezes nothing before that is done. Waits for a running flush.
  absl::Status Reset(std::string_view topic, QueueId queue_id, QueueOffset first);
  absl::Status TruncateTo(std::string_view topic, QueueId queue_id, QueueOffset end);

  // Repair of one entry: see ConsumeQueue. Any thread; waits for a running flush.
  absl::Status Rewrite(std::string_view topic, QueueId queue_id, QueueOffset offset,
                       const ConsumeQueueEntry& entry);

  // ---- Flushing

  // Fixes what the next WriteFrozen makes durable: everything appended so far, said to be the log
  // up to `mark`. Fast. False, and nothing changed, if the last one has not been written yet.
  bool Freeze(AppliedMark mark);

  // Writes and syncs, then moves the mark; then removes expired files. Slow. An error is for ever:
  // what is on disk is unknown, and only a restart brings the mark back.
  absl::Status WriteFrozen();

  // Both.
  absl::Status Flush(AppliedMark mark);

  // What is on disk.
  AppliedMark mark() const;

  // Bytes in memory waiting for a flush: flush when they get many.
  int64_t buffered_bytes() const;

  // ---- Reading

  // Nullptr for a queue that never had a message.
  std::shared_ptr<ConsumeQueue> Find(std::string_view topic, QueueId queue_id) const;

  // All queues, sorted by topic and queue id.
  std::vector<std::shared_ptr<ConsumeQueue>> List() const;

  // Queues whose files are damaged or missing: Reset and rebuild them before serving.
  struct Damaged {
    std::string topic;
    QueueId queue_id;
    absl::Status status;
  };
  std::vector<Damaged> damaged() const;

  // Lines "topic queue first end" and "topic queue offset position size taghash", sorted: equal on
  // two members that have applied the same entries. Queues with nothing left are not in it.
  absl::StatusOr<std::string> DumpLogical() const;

  // The mark file and all files that it covers, with paths relative to the directory: what a
  // snapshot must copy. Stable while no flush runs.
  std::vector<ConsumeQueue::FileExtent> DurableFiles() const;

 private:
  struct Queue {
    std::shared_ptr<ConsumeQueue> queue;
    bool rebuilding = false;  // takes records below the mark
  };
  struct Topic {
    std::map<int32_t, Queue> queues;
    LogPosition deleted_at;  // older records of the name are ignored
  };
  struct StringHash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  // What the mark file says, and what it is made from.
  struct Row {
    std::string topic;
    int32_t queue_id = 0;
    ConsumeQueue::Durable durable;
  };
  struct Table {
    AppliedMark mark;
    LogPosition min_position;
    std::vector<Row> rows;  // sorted
    std::map<std::string, LogPosition> deleted;
  };

  ConsumeQueueSet(FileSystem* fs, std::string directory, Options options);

  std::string EncodeTable(const Table& table) const;
  absl::StatusOr<Table> DecodeTable(std::string_view data) const;
  std::string MarkPath() const;
  std::string TopicDirectory(std::string_view topic) const;
  std::shared_ptr<ConsumeQueue> NewQueue(std::string_view topic, QueueId queue_id,
                                         ConsumeQueue::Durable durable, LogPosition min_position);
  absl::Status Load();
  absl::Status Restore(Table table);
  absl::Status Clear(std::string_view why);
  absl::Status RemoveUnknownTopics(const Table& table);
  absl::StatusOr<std::shared_ptr<ConsumeQueue>> QueueForAppend(std::string_view topic,
                                                               QueueId queue_id, QueueOffset offset,
                                                               LogPosition position);
  absl::StatusOr<std::shared_ptr<ConsumeQueue>> QueueForRepair(std::string_view topic,
                                                               QueueId queue_id, QueueOffset first);
  absl::Status WriteTable(const Table& table);
  absl::Status WriteFrozenFiles(const std::vector<std::shared_ptr<ConsumeQueue>>& queues);
  absl::Status Sync(const ConsumeQueue::Unsynced& unsynced);

  FileSystem* const fs_;
  const std::string directory_;
  const Options options_;
  FileCache files_;

  // Held while files change: by WriteFrozen, DeleteTopic and repairs. Taken before mutex_.
  mutable absl::Mutex flush_mutex_;
  Table durable_ ABSL_GUARDED_BY(flush_mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(flush_mutex_);

  mutable absl::Mutex mutex_;
  std::unordered_map<std::string, Topic, StringHash, std::equal_to<>> topics_
      ABSL_GUARDED_BY(mutex_);
  AppliedMark mark_ ABSL_GUARDED_BY(mutex_);
  LogPosition min_position_ ABSL_GUARDED_BY(mutex_);
  // What the next WriteFrozen makes durable.
  bool frozen_ ABSL_GUARDED_BY(mutex_) = false;
  AppliedMark frozen_mark_ ABSL_GUARDED_BY(mutex_);
  LogPosition frozen_min_position_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<ConsumeQueue>> frozen_queues_ ABSL_GUARDED_BY(mutex_);

  std::atomic<int64_t> buffered_bytes_{0};
  std::atomic<int64_t> frozen_bytes_{0};
};

}  // namespace raftmq::store
