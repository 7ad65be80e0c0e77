#include "dledger/applier.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kColdReadBytes = 1 << 20;

}  // namespace

// One stretch of entries; runs on the apply thread.
struct Applier::Job {
  Job(const Options& options, const SegmentedLog* log, StateMachine* state_machine, LogIndex limit,
      LogIndex applied, LogPosition next)
      : options(options),
        log(log),
        state_machine(state_machine),
        limit(limit),
        applied(applied),
        next(next) {}

  const Options& options;
  const SegmentedLog* log;
  StateMachine* state_machine;
  LogIndex limit;
  std::deque<Piece> pieces;

  // In: where to start. Out: how far it came.
  LogIndex applied;
  LogPosition next;
  absl::Status status;
  bool log_failed = false;  // not the state machine

  std::vector<CommittedEntry> batch;
  size_t batch_bytes = 0;
  size_t job_bytes = 0;

  void Run() {
    while (status.ok() && applied < limit && job_bytes < options.job_bytes) {
      while (!pieces.empty() && pieces.front().last <= applied) pieces.pop_front();
      const bool in_memory = !pieces.empty() && pieces.front().first <= applied + 1;
      log_failed = true;  // unless the state machine says that it is its own
      status = in_memory ? ApplyPiece(pieces.front()) : ApplyCold();
    }
    batch.clear();
  }

  // Frames that were checked when they were appended.
  absl::Status ApplyPiece(const Piece& piece) {
    const FrameLimits limits = FrameLimits::OfSegments(options.segment_size);
    const LogIndex last = std::min(limit, piece.last);
    std::string_view rest = piece.frames.view();
    while (!rest.empty()) {
      RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, ParseFrameHeader(rest, limits));
      if (header.index > last) break;
      if (header.index > LastTaken()) RAFTMQ_RETURN_IF_ERROR(Take(header, rest));
      rest.remove_prefix(static_cast<size_t>(header.size));
    }
    return Flush();
  }

  // Reads the next stretch of one segment from the disk.
  absl::Status ApplyCold() {
    const int64_t in_segment = options.segment_size - next.value() % options.segment_size;
    const int64_t written = log->WrittenEnd() - next;
    if (written < kFrameHeaderSize) {
      return absl::InternalError(
          StrCat("entry ", applied + 1, " is to be applied and should lie at position ", next,
                 ", but the log is written up to ", log->WrittenEnd(), " only"));
    }
    int64_t size = std::min({kColdReadBytes, in_segment, written});
    std::string bytes;
    RAFTMQ_RETURN_IF_ERROR(log->Read(next, static_cast<size_t>(size), &bytes));
    const FrameLimits limits = FrameLimits::OfSegments(options.segment_size);
    auto first = ParseFrameHeader(bytes, limits);
    if (!first.ok()) return SkipBlank(bytes, in_segment, first.status());
    if (first->size > size) {
      const absl::Status whole = log->Read(next, static_cast<size_t>(first->size), &bytes);
      // A size that leads out of what is written is no size: the entry is durable.
      if (absl::IsOutOfRange(whole)) {
        return absl::DataLossError(
            StrCat("applying the log at position ", next, ": ", Message(whole)));
      }
      RAFTMQ_RETURN_IF_ERROR(whole);
    }
    return ApplyRead(bytes, limits);
  }

  absl::Status ApplyRead(std::string_view bytes, const FrameLimits& limits) {
    std::string_view rest = bytes;
    while (LastTaken() < limit) {
      auto header = ParseFrame(rest, limits);
      if (!header.ok()) {
        // Cut by the end of what was read, or a blank frame: the next read begins there.
        if (rest.size() < bytes.size()) break;
        return Annotate(header.status(), StrCat("applying the log at position ", next));
      }
      if (header->index != LastTaken() + 1) {
        return absl::DataLossError(StrCat("applying the log: expected entry ", LastTaken() + 1,
                                          " at position ", header->position, ", found entry ",
                                          header->index));
      }
      RAFTMQ_RETURN_IF_ERROR(Take(*header, rest));
      rest.remove_prefix(static_cast<size_t>(header->size));
    }
    return Flush();
  }

  absl::Status SkipBlank(std::string_view bytes, int64_t in_segment, const absl::Status& why) {
    const auto blank = ParseBlankFrame(bytes, next);
    if (!blank.ok() || *blank != in_segment) {
      return Annotate(why, StrCat("applying the log at position ", next));
    }
    next += in_segment;
    return absl::OkStatus();
  }

  LogIndex LastTaken() const { return batch.empty() ? applied : batch.back().index; }

  absl::Status Take(const FrameHeader& header, std::string_view frame) {
    if (header.index != LastTaken() + 1) {
      return absl::InternalError(
          StrCat("entry ", header.index, " was to be applied after entry ", LastTaken()));
    }
    CommittedEntry entry;
    entry.index = header.index;
    entry.term = header.term;
    entry.type = header.type;
    entry.position = header.position;
    entry.body_position = header.position + kFrameHeaderSize;
    entry.body = frame.substr(kFrameHeaderSize, static_cast<size_t>(header.body_size));
    entry.end = header.end();
    batch.push_back(entry);
    batch_bytes += static_cast<size_t>(header.size);
    return batch_bytes >= options.batch_bytes ? Flush() : absl::OkStatus();
  }

  absl::Status Flush() {
    if (batch.empty()) return absl::OkStatus();
    if (const absl::Status done = state_machine->Apply(batch); !done.ok()) {
      log_failed = false;
      return Annotate(done,
                      StrCat("applying entries ", batch.front().index, " to ", batch.back().index));
    }
    applied = batch.back().index;
    next = batch.back().end;
    job_bytes += batch_bytes;
    batch.clear();
    batch_bytes = 0;
    return absl::OkStatus();
  }
};

Applier::Applier(Options options, const SegmentedLog* log, StateMachine* state_machine,
                 TaskRunner* apply, TaskRunner* replica, LogIndex applied, LogPosition next,
                 OnApplied on_applied)
    : options_(options),
      log_(log),
      state_machine_(state_machine),
      apply_(apply),
      replica_(replica),
      on_applied_(std::move(on_applied)),
      applied_(applied),
      next_(next),
      limit_(applied) {}

void Applier::Remember(std::span<const raft::EntryMeta> entries, Bytes frames) {
  recent_bytes_ += frames.size();
  recent_.push_back({entries.front().index, entries.back().index, std::move(frames)});
  while (recent_bytes_ > options_.recent_bytes && !recent_.empty()) {
    recent_bytes_ -= recent_.front().frames.size();
    recent_.pop_front();
  }
}

void Applier::Truncate(LogIndex from) {
  CHECK(from > limit_) << "entries that may be applied are cut from the log, from " << from;
  while (!recent_.empty() && recent_.back().last >= from) {
    Piece& piece = recent_.back();
    if (piece.first >= from) {
      recent_bytes_ -= piece.frames.size();
      recent_.pop_back();
      continue;
    }
    piece.last = from - 1;  // the bytes behind it are not looked at any more
    break;
  }
}

void Applier::ApplyUpTo(LogIndex limit) {
  limit_ = std::max(limit_, limit);
  if (!running_ && !stopped_ && limit_ > applied_) StartJob();
}

void Applier::StartJob() {
  running_ = true;
  auto job = std::make_shared<Job>(options_, log_, state_machine_, limit_, applied_, next_);
  size_t bytes = 0;
  for (const Piece& piece : recent_) {
    if (piece.first > limit_ || bytes >= options_.job_bytes) break;
    job->pieces.push_back(piece);
    bytes += piece.frames.size();
    // The rest, if any, is the next job's: it must not be taken for cold.
    job->limit = std::min(limit_, piece.last);
  }
  apply_->Post([this, job] {
    job->Run();
    replica_->Post([this, job] { FinishJob(*job); });
  });
}

void Applier::FinishJob(const Job& job) {
  running_ = false;
  applied_ = job.applied;
  next_ = job.next;
  while (!recent_.empty() && recent_.front().last <= applied_) {
    recent_bytes_ -= recent_.front().frames.size();
    recent_.pop_front();
  }
  if (!job.status.ok()) {
    stopped_ = true;
    log_failed_ = job.log_failed;
  }
  if (!stopped_ && limit_ > applied_) StartJob();
  on_applied_(job.status);
}

}  // namespace raftmq::dledger
