// SegmentPreparer: has one zeroed, synced segment file ready, `commitlog/next`, so that a roll
// costs a rename. Overwriting zeroed blocks needs no change of the file's metadata, which makes
// each fdatasync of the log cheaper.
//
// Thread-safe. The zeroing runs in small tasks on the background runner; callbacks too, without a
// lock held. A task holds the preparer while it runs, so the owner may let go at any time.
#pragma once

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

  // `ready`: an earlier process left a file ready.
  SegmentPreparer(Options options, bool ready);

  // Begins to prepare, if nothing is ready or under way.
  void Start();

  // OK: a segment is ready. Unavailable: it is being prepared. ResourceExhausted: the disk is full,
  // it is tried again and again. Another error: it failed for good.
  absl::Status state() const;

  // Begins and completes it at once, blocking. REQUIRES: Start was not called yet.
  void PrepareNow();

  // Takes the ready file, in memory only: the caller names it next. False: none is ready.
  bool Claim();
  // Gives the claimed file its name as the segment at `start`, durably, and opens it under that
  // name. Start may follow.
  absl::StatusOr<std::shared_ptr<File>> NameClaimed(LogPosition start);

 private:
  void PostStep();
  void Step();
  // One step of the work; true when the file is ready.
  absl::StatusOr<bool> Advance();
  absl::Status Begin();
  void Finish(const absl::Status& status);

  const Options options_;

  // Of the work under way; only its task touches them.
  std::shared_ptr<File> file_;
  int64_t zeroed_ = 0;
  int64_t synced_ = 0;

  mutable absl::Mutex mutex_;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  bool ready_ ABSL_GUARDED_BY(mutex_);
  absl::Status trouble_ ABSL_GUARDED_BY(mutex_);  // of the last attempt
};

}  // namespace raftmq::dledger
