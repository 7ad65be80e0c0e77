#include "dledger/segment_preparer.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "dledger/log_files.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {
// Small steps: other work of the background runner gets its turn, and a sync of the log is not held
// up behind a gigabyte of dirty pages.
constexpr int64_t kZeroStep = 1 << 20;
constexpr int64_t kSyncStep = 16 << 20;
}  // namespace

SegmentPreparer::SegmentPreparer(Options options, bool ready)
    : options_(std::move(options)), ready_(ready) {}

void SegmentPreparer::Start() {
  {
    absl::MutexLock lock(&mutex_);
    if (working_ || ready_) return;
    working_ = true;
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
    CHECK(!working_);
    if (ready_) return;
    working_ = true;
  }
  absl::StatusOr<bool> done = false;
  while (done.ok() && !*done) done = Advance();
  Finish(done.status());
}

bool SegmentPreparer::Claim() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(ready_, false);
}

absl::StatusOr<std::shared_ptr<File>> SegmentPreparer::NameClaimed(LogPosition start) {
  const std::string commitlog = CommitlogDir(options_.dir);
  const std::string path = SegmentPath(options_.dir, start);
  RAFTMQ_RETURN_IF_ERROR(options_.fs->Rename(commitlog + "/next", path));
  RAFTMQ_RETURN_IF_ERROR(options_.fs->SyncDir(commitlog));
  return options_.fs->Open(path, OpenMode::kReadWrite);
}

void SegmentPreparer::PostStep() {
  options_.background->Post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Step();
  });
}

void SegmentPreparer::Step() {
  const absl::StatusOr<bool> done = Advance();
  if (done.ok() && !*done) {
    PostStep();
    return;
  }
  Finish(done.status());
}

absl::Status SegmentPreparer::Begin() {
  FileSystem* fs = options_.fs;
  const std::string temp = CommitlogDir(options_.dir) + "/next.tmp";
  RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(temp));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t free, fs->FreeBytes(options_.dir));
  const int64_t need = SegmentFileSize(options_.segment_size) + options_.reserve_bytes;
  if (free < need) {
    return absl::ResourceExhaustedError(StrCat(options_.dir, ": the log's next segment needs ",
                                               need, " free bytes, the disk has ", free,
                                               "; free some"));
  }
  RAFTMQ_ASSIGN_OR_RETURN(file_, fs->Open(temp, OpenMode::kCreateNew));
  zeroed_ = 0;
  synced_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> SegmentPreparer::Advance() {
  if (file_ == nullptr) RAFTMQ_RETURN_IF_ERROR(Begin());
  const int64_t size = SegmentFileSize(options_.segment_size);
  const int64_t step = std::min(kZeroStep, size - zeroed_);
  RAFTMQ_RETURN_IF_ERROR(WriteZeroBlocks(file_.get(), zeroed_, step));
  zeroed_ += step;
  if (zeroed_ < size && zeroed_ - synced_ < kSyncStep) return false;
  RAFTMQ_RETURN_IF_ERROR(file_->DataSync());
  synced_ = zeroed_;
  if (zeroed_ < size) return false;
  const std::string commitlog = CommitlogDir(options_.dir);
  RAFTMQ_RETURN_IF_ERROR(options_.fs->Rename(commitlog + "/next.tmp", commitlog + "/next"));
  RAFTMQ_RETURN_IF_ERROR(options_.fs->SyncDir(commitlog));
  return true;
}

void SegmentPreparer::Finish(const absl::Status& status) {
  file_.reset();
  const bool full = absl::IsResourceExhausted(status);
  if (full) {
    // What was written so far takes room that others need.
    const absl::Status removed = options_.fs->RemoveAll(CommitlogDir(options_.dir) + "/next.tmp");
    LOG(WARNING) << "next segment not prepared: " << status
                 << (removed.ok() ? "" : StrCat("; next.tmp stays: ", removed.ToString()));
  }
  {
    absl::MutexLock lock(&mutex_);
    trouble_ = status;
    ready_ = status.ok();
    working_ = false;
  }
  if (full) {
    options_.background->RunAfter(options_.full_disk_retry_nanos, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->Start();
    });
  } else if (!status.ok()) {
    options_.on_failure(status);
    return;
  }
  options_.on_ready();
}

}  // namespace raftmq::dledger
