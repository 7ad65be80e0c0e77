#include "dledger/log_recovery.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"
#include "dledger/frame_scanner.h"
#include "dledger/hard_state_file.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kCopyStep = 1 << 20;

// One recovery, step by step. The steps up to HandleDamage only read, except that segments before
// the log's start and beyond the recorded latest, which hold nothing that counts, are removed.
class Recovery {
 public:
  Recovery(const RecoveryOptions& options, RecoveryReport* report)
      : options_(options), fs_(options.fs), dir_(options.dir), report_(*report) {
    log_.files = std::make_shared<SegmentFiles>(options.segment_size, options.recent_bytes);
  }

  absl::StatusOr<RecoveredLog> Run() {
    RAFTMQ_ASSIGN_OR_RETURN(log_.start, ReadLogStart(fs_, dir_));
    log_.last = log_.start;
    if (!options_.damaged_flag.empty()) {
      RAFTMQ_ASSIGN_OR_RETURN(const std::string earlier,
                              DamagedFlag(fs_, options_.damaged_flag).Read());
      suspect_ = !earlier.empty();
    }
    RAFTMQ_RETURN_IF_ERROR(FindSegments());
    RAFTMQ_RETURN_IF_ERROR(ReadSegments());
    if (report_.damaged) RAFTMQ_RETURN_IF_ERROR(HandleDamage());
    RAFTMQ_RETURN_IF_ERROR(UndoRoll());
    RAFTMQ_RETURN_IF_ERROR(RemoveEmptyFront());
    RAFTMQ_RETURN_IF_ERROR(FinishTail());
    RAFTMQ_RETURN_IF_ERROR(TakeOverNext());
    // What we read may still lie in the page cache only, names included.
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(CommitlogDir(dir_)));
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(dir_));
    log_.files->set_written_end(log_.last.position);
    log_.initial.durable = log_.last;
    log_.initial.latest_segment = latest_;
    log_.initial.mark_sequence = mark_sequence_;
    return std::move(log_);
  }

 private:
  void Damage(std::string_view what) {
    if (report_.damaged) return;
    report_.damaged = true;
    report_.damage = StrCat(dir_, ": ", what);
  }
  // The same, and the log ends within the last segment read so far.
  void Broken(std::string_view what) {
    Damage(what);
    broken_ = true;
  }

  absl::Status FindSegments();
  absl::Status RemoveSegment(LogPosition start);
  absl::Status RemoveEmptyFront();
  absl::Status RemoveBeyond(std::optional<LogPosition> latest);
  absl::Status ReadSegments();
  absl::Status OpenSegment(LogPosition start);
  absl::StatusOr<bool> TrustIndex(LogPosition start);
  absl::Status ScanSealed(LogPosition start);
  absl::Status ScanLatest(LogPosition start);
  absl::StatusOr<bool> Scan(LogPosition start, const std::optional<DurableMark>& mark);
  absl::Status HandleDamage();
  absl::Status Quarantine();
  absl::Status CopyToQuarantine(LogPosition start, const std::string& target);
  absl::StatusOr<std::string> QuarantineName(LogPosition start);
  absl::Status GrowAgain(LogPosition start);
  absl::Status UndoRoll();
  absl::Status FinishTail();
  absl::Status TakeOverNext();

  const RecoveryOptions& options_;
  FileSystem* const fs_;
  const std::string dir_;
  RecoveryReport& report_;
  RecoveredLog log_;
  std::set<LogPosition> present_;      // segments found, from the log's start to the latest
  std::optional<LogPosition> latest_;  // the latest that may hold data
  bool broken_ = false;
  bool suspect_ = false;        // damage was found earlier: everything is read
  std::string stopped_by_;      // why the last scan ended
  bool tail_is_clean_ = false;  // nothing but zeros after the last frame
  uint64_t mark_sequence_ = 0;
};

absl::Status Recovery::FindSegments() {
  const LogPosition first = SegmentOf(log_.start.position, options_.segment_size);
  RAFTMQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(CommitlogDir(dir_)));
  for (const std::string& name : names) {
    const std::optional<LogPosition> start = ParseSegmentName(name);
    if (!start.has_value()) continue;
    if (*start >= first) {
      present_.insert(*start);
    } else {
      // The log's start moved past it, and a crash came before it was removed.
      RAFTMQ_RETURN_IF_ERROR(RemoveSegment(*start));
    }
  }
  absl::StatusOr<std::optional<LogPosition>> roll = ReadRoll(fs_, dir_);
  if (roll.ok()) {
    latest_ = *roll;
    return RemoveBeyond(latest_);
  }
  if (!absl::IsNotFound(roll.status()) && !absl::IsDataLoss(roll.status())) return roll.status();
  Damage(Message(roll.status()));
  if (!present_.empty()) latest_ = *present_.rbegin();
  return absl::OkStatus();
}

absl::Status Recovery::RemoveSegment(LogPosition start) {
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(SegmentIndexPath(dir_, start)));
  RAFTMQ_RETURN_IF_ERROR(fs_->Remove(SegmentPath(dir_, start)));
  return fs_->SyncDir(CommitlogDir(dir_));
}

// Of the segment in which the entry before the log's start ends nothing is left but a blank frame.
absl::Status Recovery::RemoveEmptyFront() {
  while (log_.segments.size() > 1 && log_.segments.front().empty()) {
    const LogPosition start = log_.segments.front().start();
    log_.files->Remove(start);
    RAFTMQ_RETURN_IF_ERROR(RemoveSegment(start));
    log_.segments.erase(log_.segments.begin());
  }
  return absl::OkStatus();
}

// Left by a roll or a truncation that a crash interrupted. Last first, as a truncation does it.
absl::Status Recovery::RemoveBeyond(std::optional<LogPosition> latest) {
  while (!present_.empty() && (!latest.has_value() || *present_.rbegin() > *latest)) {
    const LogPosition start = *present_.rbegin();
    LOG(INFO) << "removing segment " << SegmentPath(dir_, start)
              << ": beyond the recorded latest, nothing durable is in it";
    RAFTMQ_RETURN_IF_ERROR(RemoveSegment(start));
    present_.erase(start);
  }
  return absl::OkStatus();
}

absl::Status Recovery::ReadSegments() {
  if (!latest_.has_value()) return absl::OkStatus();
  const int64_t size = options_.segment_size;
  LogPosition start = SegmentOf(log_.start.position, size);
  // A log that starts inside a segment may have its first frame in the next one.
  if (!present_.contains(start) && start != log_.start.position) start += size;
  for (; start <= *latest_ && !broken_; start += size) {
    if (!present_.contains(start)) {
      Broken(StrCat("segment ", SegmentName(start), " is missing; the latest is ",
                    SegmentName(*latest_)));
      break;
    }
    RAFTMQ_RETURN_IF_ERROR(OpenSegment(start));
    if (broken_) {  // its size
      RAFTMQ_RETURN_IF_ERROR(Scan(start, std::nullopt).status());
    } else if (start < *latest_) {
      RAFTMQ_RETURN_IF_ERROR(ScanSealed(start));
    } else {
      RAFTMQ_RETURN_IF_ERROR(ScanLatest(start));
    }
  }
  return absl::OkStatus();
}

absl::Status Recovery::OpenSegment(LogPosition start) {
  RAFTMQ_ASSIGN_OR_RETURN(std::shared_ptr<File> file,
                          fs_->Open(SegmentPath(dir_, start), OpenMode::kReadWrite));
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  const int64_t expected = SegmentFileSize(options_.segment_size);
  if (size != expected) {
    Broken(StrCat("segment ", SegmentName(start), ": expected ", expected, " bytes, found ", size));
  }
  log_.files->Add(start, std::move(file));
  return absl::OkStatus();
}

// Whether the derived index of a sealed segment is there, fits the log so far and the segment's
// last frame; then it is used.
absl::StatusOr<bool> Recovery::TrustIndex(LogPosition start) {
  if (suspect_) return false;
  const auto index_file = fs_->Open(SegmentIndexPath(dir_, start), OpenMode::kRead);
  if (absl::IsNotFound(index_file.status())) return false;
  if (!index_file.ok()) return index_file.status();
  absl::StatusOr<SegmentIndex> index = SegmentIndex::ReadSummary(**index_file, start);
  if (absl::IsDataLoss(index.status())) return false;
  if (!index.ok()) return index.status();
  const int64_t offset = index->last_position() - start;
  if (index->before() != log_.last || offset + kFrameHeaderSize > options_.segment_size) {
    return false;
  }
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(log_.files->Find(start)->PRead(offset, kFrameHeaderSize, &bytes));
  const absl::StatusOr<FrameHeader> header =
      ParseFrameHeader(bytes, FrameLimits::OfSegments(options_.segment_size));
  if (!header.ok() || header->index != index->last().index ||
      header->end() != index->last().position || header->chain_crc != index->last().chain_crc) {
    return false;
  }
  log_.last = index->last();
  log_.segments.push_back(*std::move(index));
  return true;
}

// Reads a segment from its first frame to the last intact one. False if the durable mark names a
// position within what was read at which no such frame ends.
absl::StatusOr<bool> Recovery::Scan(LogPosition start, const std::optional<DurableMark>& mark) {
  SegmentIndex index(start, log_.last);
  FrameScanner scanner(*log_.files->Find(start), options_.segment_size, index.first_position(),
                       log_.last);
  bool mark_fits = !mark.has_value() || mark->position <= index.first_position();
  for (;;) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::optional<FrameHeader> header, scanner.Next());
    if (!header.has_value()) break;
    index.Add(MetaOf(*header), header->chain_crc);
    if (mark.has_value() && header->end() == mark->position) {
      mark_fits = header->chain_crc == mark->chain_crc;
    }
  }
  report_.scanned_bytes += scanner.scanned_bytes();
  if (mark.has_value() && mark->position > scanner.last().position) mark_fits = true;
  stopped_by_ = scanner.at_segment_end() ? "" : scanner.stopped_by();
  log_.last = scanner.last();
  log_.segments.push_back(std::move(index));
  return mark_fits;
}

absl::Status Recovery::ScanSealed(LogPosition start) {
  RAFTMQ_ASSIGN_OR_RETURN(const bool trusted, TrustIndex(start));
  if (trusted) return absl::OkStatus();
  RAFTMQ_RETURN_IF_ERROR(Scan(start, std::nullopt).status());
  if (!stopped_by_.empty()) {
    Broken(StrCat("in a sealed segment: ", stopped_by_));
    return absl::OkStatus();
  }
  SegmentIndex& index = log_.segments.back();
  if (index.empty()) return absl::OkStatus();
  ++report_.rebuilt_indexes;
  const absl::Status written =
      WriteFileAtomically(fs_, SegmentIndexPath(dir_, start), index.Encode());
  if (!written.ok()) LOG(WARNING) << "rebuilt segment index not written: " << written;
  index.DropPoints();
  return absl::OkStatus();
}

absl::Status Recovery::ScanLatest(LogPosition start) {
  const absl::StatusOr<std::optional<DurableMark>> read =
      ReadMark(*log_.files->Find(start), options_.segment_size);
  if (!read.ok() && !absl::IsDataLoss(read.status())) return read.status();
  const std::optional<DurableMark> mark = read.ok() ? *read : std::nullopt;
  if (mark.has_value()) mark_sequence_ = mark->sequence;
  RAFTMQ_ASSIGN_OR_RETURN(const bool mark_fits, Scan(start, mark));
  if (!read.ok()) {
    // What it guarded may be gone without a trace.
    Broken(StrCat("segment ", SegmentName(start), ": ", Message(read.status())));
    return absl::OkStatus();
  }
  // The segment was begun, so everything before it was durable; the mark says how much of it is.
  const LogPosition intact = std::max(log_.last.position, log_.segments.back().first_position());
  if (mark.has_value() && mark->position > intact) {
    Broken(StrCat("known durable up to ", mark->position, ", but ", stopped_by_));
  } else if (!mark_fits) {
    Broken(StrCat("segment ", SegmentName(start), ": expected a frame that ends at ",
                  mark->position, " with chain CRC ", mark->chain_crc,
                  " as the durable mark says; found other, stale frames there"));
  }
  tail_is_clean_ = mark.has_value() && mark->clean && mark->position == intact;
  return absl::OkStatus();
}

absl::Status Recovery::HandleDamage() {
  LOG(ERROR) << "the log is damaged: " << report_.damage;
  if (options_.damaged_flag.empty()) return absl::DataLossError(report_.damage);
  DamagedFlag flag(fs_, options_.damaged_flag);
  // Replaces what was found earlier: what a leader elected meanwhile repaired is broken again. The
  // caller adds the term; without one the flag is cleared later, not sooner.
  RAFTMQ_RETURN_IF_ERROR(flag.Set(report_.damage));
  if (options_.on_damage == DamageAction::kStop) return absl::DataLossError(report_.damage);
  tail_is_clean_ = false;
  return Quarantine();
}

// Keeps a copy of everything that is given up, then makes the log end after its last good frame.
// A crash on the way leaves a log that is damaged still, and flagged.
absl::Status Recovery::Quarantine() {
  const std::string quarantine = dir_ + "/quarantine";
  RAFTMQ_RETURN_IF_ERROR(fs_->CreateDirs(quarantine));
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(dir_));
  std::optional<LogPosition> last_good;
  if (!log_.segments.empty()) last_good = log_.segments.back().start();
  if (last_good.has_value()) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::string target, QuarantineName(*last_good));
    RAFTMQ_RETURN_IF_ERROR(CopyToQuarantine(*last_good, target));
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(SegmentIndexPath(dir_, *last_good)));
  }
  for (auto start = present_.rbegin(); start != present_.rend(); ++start) {
    if (last_good.has_value() && *start <= *last_good) break;
    RAFTMQ_ASSIGN_OR_RETURN(const std::string target, QuarantineName(*start));
    RAFTMQ_RETURN_IF_ERROR(fs_->Rename(SegmentPath(dir_, *start), target));
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(SegmentIndexPath(dir_, *start)));
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(quarantine));
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(CommitlogDir(dir_)));
  }
  RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(CommitlogDir(dir_)));
  latest_ = last_good;
  if (last_good.has_value()) {
    const std::shared_ptr<File> file = log_.files->Find(*last_good);
    RAFTMQ_RETURN_IF_ERROR(file->Truncate(SegmentFileSize(options_.segment_size)));
    // Both slots: the marks that were there claim more.
    RAFTMQ_RETURN_IF_ERROR(WriteZeros(file.get(), options_.segment_size, kTrailerSize));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
    RAFTMQ_RETURN_IF_ERROR(GrowAgain(*last_good));
  }
  return WriteRoll(fs_, dir_, latest_);
}

// A segment that was sealed is the last one now: it needs the points that only a scan gives.
absl::Status Recovery::GrowAgain(LogPosition start) {
  const SegmentIndex& index = log_.segments.back();
  if (index.has_points()) return absl::OkStatus();
  const LogStart last = index.last();
  log_.last = index.before();
  log_.segments.pop_back();
  RAFTMQ_RETURN_IF_ERROR(Scan(start, std::nullopt).status());
  if (log_.last == last) return absl::OkStatus();
  // The next start reads the segment instead, and finds the damage.
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(SegmentIndexPath(dir_, start)));
  return absl::DataLossError(StrCat(dir_, ": segment ", SegmentName(start),
                                    " does not end as its index says: ", stopped_by_));
}

// A crash after a roll left the latest segment without a frame. The next frame may be one that
// still fits into the segment before, so the roll is undone, in the order of a truncation.
absl::Status Recovery::UndoRoll() {
  if (!latest_.has_value()) return absl::OkStatus();
  if (!log_.segments.back().empty() || *latest_ <= log_.last.position) return absl::OkStatus();
  const LogPosition empty = *latest_;
  log_.segments.pop_back();
  latest_.reset();
  tail_is_clean_ = false;
  mark_sequence_ = 0;
  if (!log_.segments.empty()) {
    latest_ = log_.segments.back().start();
    RAFTMQ_RETURN_IF_ERROR(GrowAgain(*latest_));
    const std::shared_ptr<File> file = log_.files->Find(*latest_);
    // An unreadable one guards nothing in a sealed segment, whose frames were all looked at.
    const absl::StatusOr<std::optional<DurableMark>> mark = ReadMark(*file, options_.segment_size);
    if (!mark.ok() && !absl::IsDataLoss(mark.status())) return mark.status();
    if (mark.ok() && mark->has_value()) mark_sequence_ = (*mark)->sequence;
    const DurableMark now{++mark_sequence_, log_.last.position, log_.last.chain_crc, false};
    RAFTMQ_RETURN_IF_ERROR(WriteMark(file.get(), options_.segment_size, now));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
    RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(SegmentIndexPath(dir_, *latest_)));
    RAFTMQ_RETURN_IF_ERROR(fs_->SyncDir(CommitlogDir(dir_)));
  }
  RAFTMQ_RETURN_IF_ERROR(WriteRoll(fs_, dir_, latest_));
  log_.files->Remove(empty);
  RAFTMQ_RETURN_IF_ERROR(fs_->Remove(SegmentPath(dir_, empty)));
  return fs_->SyncDir(CommitlogDir(dir_));
}

absl::StatusOr<std::string> Recovery::QuarantineName(LogPosition start) {
  for (int n = 1;; ++n) {
    std::string path = StrCat(dir_, "/quarantine/", SegmentName(start), ".", n);
    RAFTMQ_ASSIGN_OR_RETURN(const bool exists, fs_->Exists(path));
    if (!exists) return path;
  }
}

absl::Status Recovery::CopyToQuarantine(LogPosition start, const std::string& target) {
  const std::shared_ptr<File> source = log_.files->Find(start);
  RAFTMQ_ASSIGN_OR_RETURN(const std::unique_ptr<File> copy,
                          fs_->Open(target, OpenMode::kCreateNew));
  int64_t offset = 0;
  std::string bytes;
  for (;;) {
    RAFTMQ_RETURN_IF_ERROR(source->PRead(offset, kCopyStep, &bytes));
    if (bytes.empty()) break;
    RAFTMQ_RETURN_IF_ERROR(copy->PWrite(offset, bytes));
    offset += static_cast<int64_t>(bytes.size());
  }
  RAFTMQ_RETURN_IF_ERROR(copy->DataSync());
  return fs_->SyncDir(dir_ + "/quarantine");
}

// Zeros follow the last frame, everything is synced, and the mark says so.
absl::Status Recovery::FinishTail() {
  if (!latest_.has_value()) return absl::OkStatus();
  const std::shared_ptr<File> file = log_.files->Find(*latest_);
  const LogPosition from = std::max(log_.last.position, log_.segments.back().first_position());
  if (!tail_is_clean_) {
    const int64_t offset = from - *latest_;
    RAFTMQ_RETURN_IF_ERROR(
        ClearRange(file.get(), offset, options_.segment_size - offset, &report_.torn_tail_bytes));
  }
  RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  // Both slots: one that a bad block spoils must not leave the log unguarded.
  for (int slot = 0; slot < 2; ++slot) {
    const DurableMark mark{++mark_sequence_, log_.last.position, log_.last.chain_crc, false};
    RAFTMQ_RETURN_IF_ERROR(WriteMark(file.get(), options_.segment_size, mark));
    RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  }
  return absl::OkStatus();
}

absl::Status Recovery::TakeOverNext() {
  const std::string next = CommitlogDir(dir_) + "/next";
  RAFTMQ_RETURN_IF_ERROR(fs_->RemoveAll(next + ".tmp"));
  const auto file = fs_->Open(next, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  if (!file.ok()) return file.status();
  // It got its name after it was zeroed and synced.
  RAFTMQ_ASSIGN_OR_RETURN(const int64_t size, (*file)->Size());
  if (size != SegmentFileSize(options_.segment_size)) return fs_->Remove(next);
  log_.next_is_ready = true;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RecoveredLog> RecoverLog(const RecoveryOptions& options, RecoveryReport* report) {
  return Recovery(options, report).Run();
}

}  // namespace raftmq::dledger
