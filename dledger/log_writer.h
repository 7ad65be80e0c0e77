// LogWriter: brings what is appended to the disk. Group commit without a timer: while one flush
// runs, the next one fills up.
//
// Thread rules: Write, Roll, Truncate and Stop are called on the replica thread, in the order of
// the log; the work is done by one task at a time on the writer runner (production: an EventLoop
// called log-writer), where the listener is called too. A task holds the writer while it runs, so
// the owner may let go at any time; queued work is lost then.
//
// A failed write or fdatasync poisons the writer: the listener is told once, nothing is written or
// reported afterwards. It is never tried again, because a second fdatasync can succeed without
// having saved anything.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/block_buffer.h"
#include "base/bytes.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "dledger/log_files.h"
#include "dledger/segment_files.h"
#include "dledger/segment_preparer.h"

namespace raftmq::dledger {

class LogWriter : public std::enable_shared_from_this<LogWriter> {
 public:
  struct Options {
    FileSystem* fs = nullptr;
    std::string dir;  // of the log
    TaskRunner* runner = nullptr;
    // One fdatasync covers at most about this much, so that a long backlog is acknowledged in
    // parts.
    size_t max_flush_bytes = 4 << 20;
    int64_t idle_mark_nanos = 0;
    // Everything up to `last` is durable. `generation`: of truncations, as given to Write.
    std::function<void(const LogStart& last, uint64_t generation)> on_durable;
    std::function<void(const absl::Status&)> on_failure;
  };

  // Where recovery left the log: all of it durable.
  struct Initial {
    LogStart durable;  // the last entry
    std::optional<LogPosition> latest_segment;
    uint64_t mark_sequence = 0;
  };

  // `files` and `preparer` are shared with the log.
  LogWriter(Options options, const Initial& initial, std::shared_ptr<SegmentFiles> files,
            std::shared_ptr<SegmentPreparer> preparer);

  // Whole frames at `position`, of which `last` is the last one. They lie in the latest segment.
  void Write(LogPosition position, Bytes frames, const LogStart& last, uint64_t generation);

  // Later writes go to the segment at `start`. The one before, if any, is finished with a blank
  // frame at `blank` (unless it is full), sealed, and its index file written from `index` (unless
  // that is empty). REQUIRES: CanRoll() was OK.
  void Roll(LogPosition start, std::optional<LogPosition> blank, std::string index);

  // Cuts the log after the entry `last`, in the segment at `segment`; nothing: no segment is left.
  void Truncate(const LogStart& last, std::optional<LogPosition> segment, uint64_t generation);

  // Writes what is queued, then a clean durable mark, then calls `done`.
  void Stop(absl::AnyInvocable<void(absl::Status)> done);

  // Gives the failure of another part of the log's storage the same consequences. Any thread.
  void Fail(const absl::Status& failure);

  // Any thread.
  absl::Status failure() const;
  size_t pending_bytes() const { return pending_bytes_.load(std::memory_order_relaxed); }
  // Whether a segment is ready for one more Roll. Unavailable also while a roll or a
  // truncation is queued; ResourceExhausted: the disk is full.
  absl::Status CanRoll() const;

 private:
  struct Op {
    enum class Kind : uint8_t { kWrite, kRoll, kTruncate, kStop };
    Kind kind = Kind::kWrite;
    LogPosition position;                // kWrite: of the bytes; kRoll: of the new segment
    std::optional<LogPosition> segment;  // kTruncate
    Bytes bytes;
    LogStart last;
    uint64_t generation = 0;
    std::optional<LogPosition> blank;
    std::string index;
    absl::AnyInvocable<void(absl::Status)> done;
  };

  void Enqueue(Op op);
  void PostRun();
  void Run();
  absl::Status RunOp(Op& op);
  // Writes the collected run and makes it durable.
  absl::Status Commit();
  absl::Status WriteRun(int64_t offset);
  absl::Status LoadHead(int64_t offset);
  absl::Status DoRoll(const Op& op);
  absl::Status DoTruncate(const Op& op);
  absl::Status CutSegment(LogPosition segment, LogPosition end);
  absl::Status RemoveLaterSegments(std::optional<LogPosition> segment);
  absl::Status WriteMarkNow(File* file, bool clean);
  absl::Status DoStop();
  void ArmIdleMark();
  void IdleMark(uint64_t flushes);

  const Options options_;
  const std::shared_ptr<SegmentFiles> files_;
  const std::shared_ptr<SegmentPreparer> preparer_;
  const int64_t segment_size_;

  // Of the writer task.
  std::vector<Op> running_;
  std::vector<Bytes> pieces_;  // the run to be written, contiguous from run_at_
  std::optional<LogPosition> run_at_;
  size_t run_bytes_ = 0;
  LogStart run_last_;
  uint64_t run_generation_ = 0;
  LogStart durable_;
  LogPosition marked_;
  uint64_t mark_sequence_ = 0;
  uint64_t flushes_ = 0;
  bool idle_armed_ = false;
  bool stopped_ = false;
  std::shared_ptr<File> file_;  // of the latest segment
  BlockBuffer blocks_;
  // What the file holds of the block that the next run begins in: the block's offset, and its
  // content up to there.
  std::optional<int64_t> head_at_;
  std::string head_;

  std::atomic<size_t> pending_bytes_{0};
  mutable absl::Mutex mutex_;
  std::vector<Op> queue_ ABSL_GUARDED_BY(mutex_);
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  int rolls_queued_ ABSL_GUARDED_BY(mutex_) = 0;
  int truncations_queued_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<LogPosition> latest_segment_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace raftmq::dledger
