#include "dledger/log_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "dledger/frame.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

// At once; as large as disks like it, small enough to stay in a cache.
constexpr size_t kWriteBytes = 512 << 10;

}  // namespace

LogWriter::LogWriter(Options options, const Initial& initial, std::shared_ptr<SegmentFiles> files,
                     std::shared_ptr<SegmentPreparer> preparer)
    : options_(std::move(options)),
      files_(std::move(files)),
      preparer_(std::move(preparer)),
      segment_size_(files_->segment_size()),
      durable_(initial.durable),
      marked_(initial.durable.position),
      mark_sequence_(initial.mark_sequence),
      latest_segment_(initial.latest_segment) {
  if (initial.latest_segment.has_value()) file_ = files_->Find(*initial.latest_segment);
}

void LogWriter::Write(LogPosition position, Bytes frames, const LogStart& last,
                      uint64_t generation) {
  Op op;
  op.kind = Op::Kind::kWrite;
  op.position = position;
  op.bytes = std::move(frames);
  op.last = last;
  op.generation = generation;
  Enqueue(std::move(op));
}

void LogWriter::Roll(LogPosition start, std::optional<LogPosition> blank, std::string index) {
  Op op;
  op.kind = Op::Kind::kRoll;
  op.position = start;
  op.blank = blank;
  op.index = std::move(index);
  Enqueue(std::move(op));
}

void LogWriter::Truncate(const LogStart& last, std::optional<LogPosition> segment,
                         uint64_t generation) {
  Op op;
  op.kind = Op::Kind::kTruncate;
  op.segment = segment;
  op.last = last;
  op.generation = generation;
  Enqueue(std::move(op));
}

void LogWriter::Stop(absl::AnyInvocable<void(absl::Status)> done) {
  Op op;
  op.kind = Op::Kind::kStop;
  op.done = std::move(done);
  Enqueue(std::move(op));
}

void LogWriter::Enqueue(Op op) {
  pending_bytes_.fetch_add(op.bytes.size(), std::memory_order_relaxed);
  {
    absl::MutexLock lock(&mutex_);
    if (op.kind == Op::Kind::kTruncate) ++truncations_queued_;
    if (op.kind == Op::Kind::kRoll) ++rolls_queued_;
    queue_.push_back(std::move(op));
    if (scheduled_) return;
    scheduled_ = true;
  }
  PostRun();
}

void LogWriter::PostRun() {
  options_.runner->Post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->Run();
  });
}

absl::Status LogWriter::failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

void LogWriter::Fail(const absl::Status& failure) {
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) return;
    failure_ = failure;
  }
  LOG(ERROR) << "the log's disk failed, nothing is written any more: " << failure;
  preparer_->Stop();
  options_.on_failure(failure);
}

absl::Status LogWriter::CanRoll() const {
  absl::MutexLock lock(&mutex_);
  if (truncations_queued_ > 0) {
    return absl::UnavailableError("a truncation of the log is being written; try again");
  }
  if (rolls_queued_ > 0) {
    return absl::UnavailableError("the log's writer is behind by a segment; try again");
  }
  return preparer_->state();
}

void LogWriter::Run() {
  {
    absl::MutexLock lock(&mutex_);
    running_.swap(queue_);
  }
  size_t bytes = 0;
  for (Op& op : running_) {
    bytes += op.bytes.size();
    if (absl::Status status = failure().ok() ? RunOp(op) : failure(); !status.ok()) Fail(status);
    if (op.kind == Op::Kind::kStop) op.done(failure());
  }
  if (failure().ok()) {
    if (absl::Status status = Commit(); !status.ok()) Fail(status);
  }
  pieces_.clear();
  run_at_.reset();
  running_.clear();
  pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  ArmIdleMark();
  {
    absl::MutexLock lock(&mutex_);
    scheduled_ = !queue_.empty();
    if (!scheduled_) return;
  }
  PostRun();
}

absl::Status LogWriter::RunOp(Op& op) {
  if (stopped_) return absl::FailedPreconditionError("the log was stopped");
  switch (op.kind) {
    case Op::Kind::kWrite:
      if (run_bytes_ >= options_.max_flush_bytes) RAFTMQ_RETURN_IF_ERROR(Commit());
      if (!run_at_.has_value()) run_at_ = op.position;
      CHECK_EQ(*run_at_ + static_cast<int64_t>(run_bytes_), op.position);
      pieces_.push_back(op.bytes);
      run_bytes_ += op.bytes.size();
      run_last_ = op.last;
      run_generation_ = op.generation;
      return absl::OkStatus();
    case Op::Kind::kRoll:
      return DoRoll(op);
    case Op::Kind::kTruncate:
      RAFTMQ_RETURN_IF_ERROR(Commit());
      return DoTruncate(op);
    case Op::Kind::kStop:
      return DoStop();
  }
  return absl::OkStatus();
}

absl::Status LogWriter::Commit() {
  if (!run_at_.has_value()) return absl::OkStatus();
  const LogPosition at = *run_at_;
  // What was durable before this flush, in the same flush; on its way while the run is written.
  RAFTMQ_RETURN_IF_ERROR(WriteMarkNow(file_.get(), /*clean=*/false));
  file_->StartWriteback(segment_size_, kTrailerSize);
  RAFTMQ_RETURN_IF_ERROR(WriteRun(at - SegmentOf(at, segment_size_)));
  files_->AddWritten(at, pieces_);
  RAFTMQ_RETURN_IF_ERROR(file_->DataSync());
  durable_ = run_last_;
  ++flushes_;
  preparer_->LogWrote(static_cast<int64_t>(run_bytes_));
  pieces_.clear();
  run_at_.reset();
  run_bytes_ = 0;
  options_.on_durable(durable_, run_generation_);
  return absl::OkStatus();
}

// Whole blocks, so that they can go past the page cache: what the first one holds already, the run,
// and zeros, as they lie behind it anyway. The bytes of earlier flushes are written again as they
// are: a torn write cannot harm them, since each sector holds the same before and after.
absl::Status LogWriter::WriteRun(int64_t offset) {
  const auto block = static_cast<int64_t>(kBlockSize);
  int64_t at = offset - offset % block;
  if (segment_size_ % block != 0) {
    std::vector<std::string_view> views;
    for (const Bytes& piece : pieces_) views.push_back(piece.view());
    return file_->PWriteV(offset, views);
  }
  if (head_at_ != at || static_cast<int64_t>(head_.size()) != offset - at) {
    RAFTMQ_RETURN_IF_ERROR(LoadHead(offset));
  }
  char* const buffer = blocks_.Reserve(kWriteBytes);
  size_t filled = head_.size();
  std::memcpy(buffer, head_.data(), filled);
  for (const Bytes& piece : pieces_) {
    for (std::string_view rest = piece.view(); !rest.empty();) {
      if (filled == kWriteBytes) {
        RAFTMQ_RETURN_IF_ERROR(file_->PWriteBlocks(at, {buffer, filled}));
        at += static_cast<int64_t>(filled);
        filled = 0;
      }
      const size_t n = std::min(rest.size(), kWriteBytes - filled);
      std::memcpy(buffer + filled, rest.data(), n);
      filled += n;
      rest.remove_prefix(n);
    }
  }
  const size_t tail = filled % kBlockSize;
  const size_t whole = filled + (tail == 0 ? 0 : kBlockSize - tail);
  std::memset(buffer + filled, 0, whole - filled);
  head_at_ = at + static_cast<int64_t>(filled - tail);
  head_.assign(buffer + filled - tail, tail);
  return file_->PWriteBlocks(at, {buffer, whole});
}

// After a start, a roll or a cut.
absl::Status LogWriter::LoadHead(int64_t offset) {
  head_at_ = offset - offset % static_cast<int64_t>(kBlockSize);
  head_.clear();
  if (*head_at_ == offset) return absl::OkStatus();
  const auto size = static_cast<size_t>(offset - *head_at_);
  RAFTMQ_RETURN_IF_ERROR(file_->PRead(*head_at_, size, &head_));
  if (head_.size() == size) return absl::OkStatus();
  return absl::DataLossError(StrCat("the log's latest segment ends at ", *head_at_ + head_.size(),
                                    ", it should reach ", offset));
}

absl::Status LogWriter::WriteMarkNow(File* file, bool clean) {
  ++mark_sequence_;
  marked_ = durable_.position;
  return WriteMark(file, segment_size_,
                   {mark_sequence_, durable_.position, durable_.chain_crc, clean});
}

absl::Status LogWriter::DoRoll(const Op& op) {
  RAFTMQ_RETURN_IF_ERROR(Commit());
  if (op.blank.has_value()) {
    const LogPosition old = SegmentOf(*op.blank, segment_size_);
    char blank[raft::kFrameHeaderSize];
    EncodeBlankFrame(*op.blank, static_cast<int32_t>(old + segment_size_ - *op.blank), blank);
    RAFTMQ_RETURN_IF_ERROR(file_->PWrite(*op.blank - old, {blank, sizeof(blank)}));
    RAFTMQ_RETURN_IF_ERROR(file_->DataSync());
  }
  std::optional<LogPosition> old;
  {
    absl::MutexLock lock(&mutex_);
    old = latest_segment_;
    // In one step, for CanRoll: the prepared segment that the roll was queued for is taken.
    CHECK(preparer_->Claim()) << "rolled without asking CanRoll";
    --rolls_queued_;
    latest_segment_ = op.position;
  }
  RAFTMQ_ASSIGN_OR_RETURN(file_, preparer_->NameClaimed(op.position));
  head_at_.reset();
  RAFTMQ_RETURN_IF_ERROR(WriteRoll(options_.fs, options_.dir, op.position));
  files_->Add(op.position, file_);
  preparer_->Start();
  if (old.has_value() && !op.index.empty()) {
    // Derived: without it the next start reads the whole segment.
    const absl::Status status =
        WriteFileAtomically(options_.fs, SegmentIndexPath(options_.dir, *old), op.index);
    if (!status.ok()) LOG(WARNING) << "index of a sealed segment not written: " << status;
  }
  return absl::OkStatus();
}

absl::Status LogWriter::DoTruncate(const Op& op) {
  head_at_.reset();
  durable_ = op.last;
  if (op.segment.has_value()) {
    RAFTMQ_RETURN_IF_ERROR(CutSegment(*op.segment, op.last.position));
  } else {
    marked_ = durable_.position;
    file_ = nullptr;
    RAFTMQ_RETURN_IF_ERROR(RemoveLaterSegments(std::nullopt));
    files_->set_written_end(durable_.position);
  }
  {
    absl::MutexLock lock(&mutex_);
    --truncations_queued_;
    latest_segment_ = op.segment;
  }
  options_.on_durable(durable_, op.generation);
  return absl::OkStatus();
}

// Makes the log end at `end` in `segment`, or before it. Every step leaves a log that recovery
// reads as some prefix of the old one, at least up to there.
absl::Status LogWriter::CutSegment(LogPosition segment, LogPosition end) {
  const LogPosition old_end = files_->written_end();
  const std::shared_ptr<File> file = files_->Find(segment);
  if (file == nullptr) {
    return absl::InternalError(StrCat("segment ", SegmentName(segment), " is not open"));
  }
  // Both slots, so that no intact mark claims what is about to go.
  for (int slot = 0; slot < 2; ++slot) {
    RAFTMQ_RETURN_IF_ERROR(WriteMarkNow(file.get(), /*clean=*/false));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  }
  const bool later = file != file_;
  file_ = file;
  if (later) RAFTMQ_RETURN_IF_ERROR(RemoveLaterSegments(segment));
  const LogPosition from = std::max(end, segment);
  const LogPosition to = later ? segment + segment_size_ : std::max(old_end, from);
  files_->set_written_end(from);
  RAFTMQ_RETURN_IF_ERROR(WriteZeros(file.get(), from - segment, to - from));
  return file->DataSync();
}

absl::Status LogWriter::RemoveLaterSegments(std::optional<LogPosition> segment) {
  FileSystem* fs = options_.fs;
  const std::string commitlog = CommitlogDir(options_.dir);
  if (segment.has_value()) {
    // It will be sealed again with other contents.
    RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(SegmentIndexPath(options_.dir, *segment)));
    RAFTMQ_RETURN_IF_ERROR(fs->SyncDir(commitlog));
  }
  RAFTMQ_RETURN_IF_ERROR(WriteRoll(fs, options_.dir, segment));
  // Last first: a crash never leaves a hole.
  std::vector<LogPosition> starts = files_->Starts();
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (segment.has_value() && *start <= *segment) break;
    files_->Remove(*start);
    RAFTMQ_RETURN_IF_ERROR(fs->RemoveAll(SegmentIndexPath(options_.dir, *start)));
    RAFTMQ_RETURN_IF_ERROR(fs->Remove(SegmentPath(options_.dir, *start)));
    RAFTMQ_RETURN_IF_ERROR(fs->SyncDir(commitlog));
  }
  return absl::OkStatus();
}

absl::Status LogWriter::DoStop() {
  RAFTMQ_RETURN_IF_ERROR(Commit());
  stopped_ = true;
  if (file_ == nullptr) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(WriteMarkNow(file_.get(), /*clean=*/true));
  return file_->DataSync();
}

void LogWriter::ArmIdleMark() {
  if (idle_armed_ || stopped_ || marked_ == durable_.position || !failure().ok()) return;
  idle_armed_ = true;
  options_.runner->RunAfter(options_.idle_mark_nanos,
                            [weak = weak_from_this(), flushes = flushes_] {
                              if (auto self = weak.lock()) self->IdleMark(flushes);
                            });
}

void LogWriter::IdleMark(uint64_t flushes) {
  idle_armed_ = false;
  if (flushes == flushes_ && !stopped_ && failure().ok() && marked_ != durable_.position) {
    absl::Status status = WriteMarkNow(file_.get(), /*clean=*/false);
    if (status.ok()) status = file_->DataSync();
    if (!status.ok()) Fail(status);
  }
  ArmIdleMark();
}

}  // namespace raftmq::dledger
