// SegmentFiles: the open files of a log's segments, found by position, and in memory the bytes that
// were written last: the log is written past the page cache, and most of what is read is new.
//
// Thread-safe. A reader keeps the file it found open, also when the segment is removed meanwhile.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/bytes.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "dledger/log_files.h"

namespace raftmq::dledger {

class SegmentFiles {
 public:
  // Keeps up to about `recent_bytes` of what was written last.
  explicit SegmentFiles(int64_t segment_size, size_t recent_bytes = 0)
      : segment_size_(segment_size), recent_limit_(recent_bytes) {}

  int64_t segment_size() const { return segment_size_; }

  void Add(LogPosition start, std::shared_ptr<File> file);
  void Remove(LogPosition start);
  // All segments that start below `start`; their bytes are gone for readers, also those in memory.
  void RemoveBefore(LogPosition start);
  // Null if there is no segment at `start`.
  std::shared_ptr<File> Find(LogPosition start) const;
  std::vector<LogPosition> Starts() const;

  // One past the last byte that was written to a file and so can be read from it.
  LogPosition written_end() const { return LogPosition(written_end_.load()); }
  // The log was cut there, or was found to end there.
  void set_written_end(LogPosition end);
  // `pieces` lie one after the other from `position` on, and are in the file.
  void AddWritten(LogPosition position, std::span<const Bytes> pieces);

  // Exactly `size` bytes at `position`, in one segment and below written_end: OutOfRange otherwise.
  absl::Status Read(LogPosition position, size_t size, std::string* out) const;

 private:
  struct Recent {
    LogPosition position;
    Bytes bytes;
    LogPosition end() const { return position + static_cast<int64_t>(bytes.size()); }
  };

  // True if all of it was in memory.
  bool ReadRecent(LogPosition position, size_t size, std::string* out) const;

  const int64_t segment_size_;
  const size_t recent_limit_;
  std::atomic<int64_t> begin_{0};  // of what may be read
  std::atomic<int64_t> written_end_{0};
  mutable absl::Mutex mutex_;
  std::map<LogPosition, std::shared_ptr<File>> files_ ABSL_GUARDED_BY(mutex_);
  std::deque<Recent> recent_ ABSL_GUARDED_BY(mutex_);  // by position; gaps where segments end
  size_t recent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace raftmq::dledger
