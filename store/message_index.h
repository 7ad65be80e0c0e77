// MessageIndex: from a key, or a time, to the messages: a list of index files (IndexFile), with one
// durable mark.
//
// `<directory>/<yyyyMMddHHmmssSSS>` are the files, named by the store time of their first entry in
// UTC (one millisecond later than the last file's name, if need be), so that members' names agree;
// `<directory>/index.mark` says up to which log entry they are on disk, and what each holds there.
// After a crash everything beyond the mark is cut and comes again by replay.
//
// A query returns candidates: hashes are compared, not keys. The caller reads each record and
// compares topic, key and time (RocketMQ leaves that to the client).
//
// Threads: one writer (the apply thread: Add, SetMinPosition, Freeze), one flusher (WriteFrozen,
// Close; may be the same), any number of readers.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "store/applied_mark.h"
#include "store/file_cache.h"
#include "store/index_file.h"

namespace raftmq::store {

class MessageIndex {
 public:
  struct Options {
    // RocketMQ's maxHashSlotNum and maxIndexNum. Slots cost 4 bytes of memory each.
    int32_t slots = 5'000'000;
    int32_t entries = 20'000'000;
    size_t max_open_files = 64;
  };

  // Opens what is in `directory`, or an empty index. If the mark file or a file that it covers is
  // missing, damaged or of another shape, that is logged and everything is dropped: mark() is {0,
  // 0} then and the log rebuilds it. `fs` outlives the index.
  static absl::StatusOr<std::unique_ptr<MessageIndex>> Open(FileSystem* fs, std::string directory,
                                                            Options options);

  // ---- Writing

  // Adds one key of the record at `position`; positions and store times never decrease. Records
  // below the mark are skipped: replay may start anywhere at or before mark().
  void Add(std::string_view topic, std::string_view key, LogPosition position,
           int64_t store_timestamp_ms);

  // Records below `position` have expired: they are no longer found, and files that hold nothing
  // else go at the next flush.
  void SetMinPosition(LogPosition position);

  // ---- Flushing

  // Fixes what the next WriteFrozen makes durable: all that was added so far, said to be the log up
  // to `mark`. Fast. False, and nothing changed, if the last one has not been written yet.
  bool Freeze(AppliedMark mark);
  // Writes and syncs, then moves the mark; then removes expired files. Slow. An error means that
  // the disk failed and is for ever. If a file that is being filled was removed by somebody, that
  // is no error: queries fail with DataLoss until a restart, which rebuilds the index.
  absl::Status WriteFrozen();
  // Both.
  absl::Status Flush(AppliedMark mark);
  // Flush, and write the slots too, so that the next Open need not read all entries. REQUIRES:
  // nothing is added meanwhile.
  absl::Status Close(AppliedMark mark);

  AppliedMark mark() const;
  int64_t buffered_bytes() const;

  // ---- Reading

  struct Query {
    int64_t begin_ms = 0;
    int64_t end_ms = std::numeric_limits<int64_t>::max();
    size_t max = 32;
    // Only positions below this: the last one of the page before, to go on from there.
    LogPosition before{std::numeric_limits<int64_t>::max()};
  };

  // Positions of records that may have this key, newest first.
  absl::StatusOr<std::vector<LogPosition>> QueryByKey(std::string_view topic, std::string_view key,
                                                      const Query& query) const;

  // Positions of all indexed records stored in that time, newest first.
  absl::StatusOr<std::vector<LogPosition>> QueryByTime(const Query& query) const;

  // Lines "position keyhash" of all entries that have not expired, in order: equal on two members
  // that have applied the same entries, wherever their files begin.
  absl::StatusOr<std::string> DumpLogical() const;

  // Reads everything on disk and compares checksums.
  absl::Status Verify() const;

  // The mark file and the files that it covers, with paths relative to the directory: what a
  // snapshot must copy. Stable while no flush runs.
  struct FileExtent {
    std::string path;
    int64_t size = 0;
  };
  std::vector<FileExtent> DurableFiles() const;

 private:
  struct Row {
    int64_t name_ms = 0;  // what the file's name says
    IndexFile::State state;
  };
  struct Table {
    AppliedMark mark;
    LogPosition min_position;
    std::vector<Row> rows;  // oldest first
  };
  struct NamedFile {
    int64_t name_ms = 0;
    std::shared_ptr<IndexFile> file;
  };
  using FileList = std::vector<NamedFile>;

  MessageIndex(FileSystem* fs, std::string directory, Options options);

  std::string EncodeTable(const Table& table) const;
  absl::StatusOr<Table> DecodeTable(std::string_view data) const;
  std::string MarkPath() const;
  std::string PathOf(int64_t name_ms) const;
  absl::Status Load();
  absl::Status Restore(const Table& table);
  absl::Status Clear(std::string_view why);
  absl::Status RemoveUnknownFiles(const Table& table);
  absl::Status Write(bool with_slots);
  absl::Status WriteFiles(const FileList& files, bool with_slots)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  absl::Status WriteTable(const FileList& files, Table next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  absl::Status DropExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  absl::Status SetDamaged(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  // Runs `query` on the files that may hold what is wanted, newest first.
  absl::StatusOr<std::vector<LogPosition>> Collect(
      const Query& query,
      const std::function<absl::Status(const IndexFile&, const IndexFile::Range&,
                                       std::vector<IndexFile::Hit>*)>& search) const;

  FileSystem* const fs_;
  const std::string directory_;
  const IndexFile::Shape shape_;
  FileCache cache_;

  mutable absl::Mutex flush_mutex_;  // held while files are written. Taken before mutex_.
  Table durable_ ABSL_GUARDED_BY(flush_mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(flush_mutex_);

  mutable absl::Mutex mutex_;
  FileList list_ ABSL_GUARDED_BY(mutex_);        // oldest first; the last one takes entries
  absl::Status damage_ ABSL_GUARDED_BY(mutex_);  // until a restart
  AppliedMark mark_ ABSL_GUARDED_BY(mutex_);
  LogPosition min_position_ ABSL_GUARDED_BY(mutex_);
  // What the next Write makes durable.
  bool frozen_ ABSL_GUARDED_BY(mutex_) = false;
  AppliedMark frozen_mark_ ABSL_GUARDED_BY(mutex_);
  LogPosition frozen_min_position_ ABSL_GUARDED_BY(mutex_);
  FileList frozen_list_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::store
