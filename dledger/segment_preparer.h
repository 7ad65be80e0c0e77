// SegmentPreparer: has one segment file ready, `commitlog/next`, so that a roll costs a rename. Its
// room is allocated when it is ready, so that the log cannot meet a full disk in the middle of it.
//
// Until it is taken it is zeroed, as long as the log leaves the disk time for it: overwriting zeroed
// blocks needs no change of the file's metadata, which makes small fdatasyncs of the log cheaper;
// but it doubles what a busy log writes, whose flushes are large (decision 0030). Where a file
// system cannot allocate, the segment is ready when all of it is zeroed.
//
// Thread-safe. The work runs in small tasks on the background runner; callbacks too, without a
// lock held. A task holds the preparer while it runs, so the owner may let go at any time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/task_runner.h"

namespace raftmq::dledger {

class SegmentPreparer : public std::enable_shared_from_this<SegmentPreparer> {
 public:
  struct Options {
    FileSystem* fs = nullptr;
    std::string dir;  // of the log
    int64_t segment_size = 0;
    int64_t reserve_bytes = 0;  // left free on the disk
    int64_t full_disk_retry_nanos = 0;
    TaskRunner* background = nullptr;
    std::function<void()> on_ready;  // also after a full disk: the state changed
    std::function<void(const absl::Status&)> on_failure;  // not for a full disk; once
  };

  // `ready`: an earlier process left a file ready. It is not zeroed any further.
  SegmentPreparer(Options options, bool ready);

  // Begins to prepare, if nothing is ready or under way.
  void Start();

  // OK: a segment is ready. Unavailable: it is being prepared. ResourceExhausted: the disk is full,
  // it is tried again and again. Another error: it failed for good.
  absl::Status state() const;

  // Begins and completes it at once, the zeroing included, blocking. REQUIRES: Start was not called
  // yet.
  void PrepareNow();

  // Nothing is prepared or zeroed any more, but for a step that is under way. For a log that failed.
  void Stop();

  // The log wrote so much more. Any thread.
  void LogWrote(int64_t bytes) { log_wrote_.fetch_add(bytes, std::memory_order_relaxed); }

  // Takes the ready file, in memory only: the caller names it next. False: none is ready.
  bool Claim();
  // Gives the claimed file its name as the segment at `start`, durably, and opens it under that
  // name. Waits for a step of zeroing that is under way; no other follows. Start may follow.
  absl::StatusOr<std::shared_ptr<File>> NameClaimed(LogPosition start);

 private:
  // What the task's file is.
  enum class Phase : uint8_t { kNone, kUnready, kReady };

  void PostStep(int64_t delay_nanos = 0);
  void Step(uint64_t number);
  // The next piece of work, if there is any: false when there is none.
  absl::StatusOr<bool> Advance();
  absl::Status Begin();
  absl::Status ZeroOnce();
  bool LogIsBusy();
  absl::Status BecomeReady();
  void Fail(const absl::Status& status);

  const Options options_;

  // Of the task alone.
  Phase phase_ = Phase::kNone;
  std::shared_ptr<File> file_;
  bool allocated_ = false;
  int64_t zeroed_ = 0;
  int64_t synced_ = 0;
  int64_t recently_ = 0;  // what the log wrote, decaying

  std::atomic<int64_t> log_wrote_{0};  // since the last look

  // Held while zeros are written to a ready file: nobody else writes there then.
  absl::Mutex zeroing_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable absl::Mutex mutex_;
  uint64_t last_step_ ABSL_GUARDED_BY(mutex_) = 0;  // an earlier one that comes late does nothing
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;  // and is not ready yet
  bool ready_ ABSL_GUARDED_BY(mutex_);
  absl::Status trouble_ ABSL_GUARDED_BY(mutex_);  // of the last attempt
};

}  // namespace raftmq::dledger
