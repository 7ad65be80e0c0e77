#include "dledger/segment_preparer.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/log_files.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {
// Small steps: other work of the background runner gets its turn, a sync of the log is not held
// up behind a gigabyte of dirty pages, nor a roll behind more than one step.
constexpr int64_t kZeroStep = 256 << 10;
constexpr int64_t kSyncStep = 16 << 20;
// Between steps on a segment that is ready already, so that the log has most of the disk: at most
// some 250 MiB/s go into zeros.
constexpr int64_t kPauseNanos = 1'000'000;
// What the log may write in a pause, on average over the last kPauses or so, while something is
// zeroed: 160 MiB/s.
constexpr int64_t kCalmBytes = 160 << 10;
constexpr int64_t kPauses = 32;
}  // namespace

SegmentPreparer::SegmentPreparer(Options options, bool ready)
    : options_(std::move(options)), ready_(ready) {}

void SegmentPreparer::Start() {
  {
    absl::MutexLock lock(&mutex_);
    if (wanted_ || ready_) return;
    wanted_ = true;
  }
  PostStep();
}

absl::Status SegmentPreparer::state() const {
  absl::MutexLock lock(&mutex_);
  if (ready_) return absl::OkStatus();
  if (!trouble_.ok()) return trouble_;
  return absl::UnavailableError("the log's next segment is being prepared; try again");
}

void SegmentPreparer::PrepareNow() {
  {
    absl::MutexLock lock(&mutex_);
    CHECK(!wanted_);
    if (ready_) return;
    wanted_ = true;
  }
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) more = Advance();
  if (!more.ok()) Fail(more.status());
}

void SegmentPreparer::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

bool SegmentPreparer::Claim() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(ready_, false);
}

absl::StatusOr<std::shared_ptr<File>> SegmentPreparer::NameClaimed(LogPosition start) {
  // The step that follows sees that the file is taken.
  { absl::MutexLock step(&zeroing_); }
  const std::string commitlog = CommitlogDir(options_.dir);
  const std::string path = SegmentPath(options_.dir, start);
  RAFTMQ_RETURN_IF_ERROR(options_.fs->Rename(commitlog + "/next", path));
  RAFTMQ_RETURN_IF_ERROR(options_.fs->SyncDir(commitlog));
  return options_.fs->Open(path, OpenMode::kReadWrite);
}

void SegmentPreparer::PostStep(int64_t delay_nanos) {
  uint64_t number = 0;
  {
    absl::MutexLock lock(&mutex_);
    number = ++last_step_;
  }
  auto step = [weak = weak_from_this(), number] {
    if (auto self = weak.lock()) self->Step(number);
  };
  if (delay_nanos == 0) {
    options_.background->Post(std::move(step));
  } else {
    options_.background->RunAfter(delay_nanos, std::move(step));
  }
}

void SegmentPreparer::Step(uint64_t number) {
  {
    absl::MutexLock lock(&mutex_);
    if (number != last_step_) return;
  }
  const absl::StatusOr<bool> more = Advance();
  if (!more.ok()) return Fail(more.status());
  if (*more) PostStep(phase_ == Phase::kReady ? kPauseNanos : 0);
}

absl::StatusOr<bool> SegmentPreparer::Advance() {
  {
    absl::MutexLock lock(&mutex_);
    const bool taken = phase_ == Phase::kReady && !ready_;
    const bool zeroed = phase_ == Phase::kReady && synced_ == SegmentFileSize(options_.segment_size);
    if (taken || zeroed) {
      file_.reset();
      phase_ = Phase::kNone;
    }
    if (stopped_ || (phase_ == Phase::kNone && !wanted_)) return false;
  }
  if (phase_ == Phase::kNone) RAFTMQ_RETURN_IF_ERROR(Begin());
  if (phase_ == Phase::kReady && LogIsBusy()) return true;
  const bool becomes_ready = phase_ == Phase::kUnready && allocated_;
  RAFTMQ_RETURN_IF_ERROR(becomes_ready ? BecomeReady() : ZeroOnce());
  return true;
}

absl::Status SegmentPreparer::Begin() {
  FileSystem* fs = options_.fs;
  const std::string temp = CommitlogDir(options_.dir) + "/next.tmp";
  RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(temp));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t free, fs->FreeBytes(options_.dir));
  const int64_t size = SegmentFileSize(options_.segment_size);
  if (free < size + options_.reserve_bytes) {
    return absl::ResourceExhaustedError(
        StrCat(options_.dir, ": the log's next segment needs ", size + options_.reserve_bytes,
               " free bytes, the disk has ", free, "; free some"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(file_, fs->Open(temp, OpenMode::kCreateNew));
  phase_ = Phase::kUnready;
  zeroed_ = 0;
  synced_ = 0;
  const absl::Status allocated = file_->Allocate(size);
  allocated_ = allocated.ok();
  return absl::IsUnimplemented(allocated) ? absl::OkStatus() : allocated;
}

bool SegmentPreparer::LogIsBusy() {
  recently_ += log_wrote_.exchange(0, std::memory_order_relaxed) - recently_ / kPauses;
  return recently_ > kCalmBytes * kPauses;
}

// The next piece, from the front on.
absl::Status SegmentPreparer::ZeroOnce() {
  const int64_t size = SegmentFileSize(options_.segment_size);
  const int64_t step = std::min(kZeroStep, size - zeroed_);
  {
    absl::MutexLock writing(&zeroing_);
    if (phase_ == Phase::kReady) {
      absl::MutexLock lock(&mutex_);
      if (!ready_) return absl::OkStatus();  // taken meanwhile
    }
    RAFTMQ_RETURN_IF_ERROR(WriteZeroBlocks(file_.get(), zeroed_, step));
  }
  zeroed_ += step;
  if (zeroed_ < size && zeroed_ - synced_ < kSyncStep) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(file_->DataSync());
  synced_ = zeroed_;
  // All zeroed: as good as allocated.
  if (synced_ == size && phase_ == Phase::kUnready) return BecomeReady();
  return absl::OkStatus();
}

absl::Status SegmentPreparer::BecomeReady() {
  if (allocated_) {
    // Each flush of the log writes a mark there.
    RAFTMQ_RETURN_IF_ERROR(WriteZeroBlocks(file_.get(), options_.segment_size, kTrailerSize));
    RAFTMQ_RETURN_IF_ERROR(file_->DataSync());
  }
  const std::string commitlog = CommitlogDir(options_.dir);
  RAFTMQ_RETURN_IF_ERROR(options_.fs->Rename(commitlog + "/next.tmp", commitlog + "/next"));
  RAFTMQ_RETURN_IF_ERROR(options_.fs->SyncDir(commitlog));
  phase_ = Phase::kReady;
  {
    absl::MutexLock lock(&mutex_);
    trouble_ = absl::OkStatus();
    ready_ = true;
    wanted_ = false;
  }
  options_.on_ready();
  return absl::OkStatus();
}

void SegmentPreparer::Fail(const absl::Status& status) {
  file_.reset();
  const bool was_ready = std::exchange(phase_, Phase::kNone) == Phase::kReady;
  if (!absl::IsResourceExhausted(status)) {
    {
      absl::MutexLock lock(&mutex_);
      trouble_ = status;
    }
    return options_.on_failure(status);
  }
  bool taken = false;
  {
    absl::MutexLock lock(&mutex_);
    taken = was_ready && !ready_;
    if (!taken) {
      ready_ = false;
      wanted_ = true;
      trouble_ = status;
    }
  }
  if (taken) {
    // The log's by now: it finds out itself if there is no room for it.
    LOG(WARNING) << "a segment stays as it is, not all zeroed: " << status;
    return PostStep();
  }
  // What was written so far takes room that others need.
  const std::string name = was_ready ? "/next" : "/next.tmp";
  const absl::Status removed = options_.fs->RemoveAll(CommitlogDir(options_.dir) + name);
  LOG(WARNING) << "next segment not prepared: " << status
               << (removed.ok() ? "" : StrCat("; ", name, " stays: ", removed.ToString()));
  PostStep(options_.full_disk_retry_nanos);
  options_.on_ready();
}

}  // namespace raftmq::dledger
