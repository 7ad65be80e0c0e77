#include "dledger/segmented_log.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/strings.h"
#include "dledger/entry_reader.h"
#include "dledger/frame_scanner.h"
#include "dledger/log_recovery.h"
#include "dledger/log_tail.h"
#include "dledger/log_writer.h"
#include "dledger/segment_files.h"
#include "dledger/segment_index.h"
#include "dledger/segment_preparer.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

// Segments whose index points stay in memory: the one that grows, and those before it that may not
// have their index file yet.
constexpr size_t kSegmentsWithPoints = 4;

}  // namespace

struct SegmentedLog::Impl {
  Impl(Options opts, RecoveredLog recovered);

  void Wire(const LogWriter::Initial& initial, bool next_is_ready);
  // Runs `call` on the replica thread, if the log is still there then.
  static void PostTo(TaskRunner* replica, const std::weak_ptr<Impl*>& weak,
                     absl::AnyInvocable<void(Impl&)> call);

  void OnDurable(const LogStart& entry, uint64_t entry_generation);
  void DropMore();
  void MoveStart(const LogStart& new_start, LogPosition first_segment);
  void RemoveFiles(std::vector<LogPosition> starts);
  void OnFailure(const absl::Status& status);

  const Options options;
  LogStart start;
  LogStart last;
  LogStart durable;
  mutable std::deque<SegmentIndex> segments;  // a read may load index points
  LogTail tail;
  uint64_t generation = 0;  // of truncations
  bool failed = false;
  LogPosition drop_before;  // asked for
  LogIndex drop_applied;
  bool dropping = false;  // under way
  Callbacks callbacks;
  std::shared_ptr<SegmentFiles> files;
  std::shared_ptr<SegmentPreparer> preparer;
  std::shared_ptr<LogWriter> writer;
  mutable EntryReader reader;
  std::shared_ptr<Impl*> alive;  // what posted tasks hold weakly

  // The segment that holds an entry; the first one for start.index.
  SegmentIndex& SegmentOfEntry(LogIndex index) const;
  absl::Status CheckIndex(LogIndex index, LogIndex from) const;
  // The header of an entry that the log has, from memory or the file.
  absl::StatusOr<LogTail::Item> ItemAt(LogIndex index) const;
  absl::Status EnsurePoints(SegmentIndex& segment) const;
  absl::Status Roll(LogPosition segment);
  absl::Status ReadFile(std::span<const raft::EntryMeta> entries, std::vector<Bytes>* pieces) const;
};

SegmentedLog::Impl::Impl(Options opts, RecoveredLog recovered)
    : options(std::move(opts)),
      start(recovered.start),
      last(recovered.last),
      durable(recovered.last),
      segments(std::make_move_iterator(recovered.segments.begin()),
               std::make_move_iterator(recovered.segments.end())),
      files(std::move(recovered.files)),
      reader(files),
      alive(std::make_shared<Impl*>(this)) {
  Wire(recovered.initial, recovered.next_is_ready);
}

void SegmentedLog::Impl::PostTo(TaskRunner* replica, const std::weak_ptr<Impl*>& weak,
                                absl::AnyInvocable<void(Impl&)> call) {
  replica->Post([weak, call = std::move(call)]() mutable {
    if (auto impl = weak.lock()) call(**impl);
  });
}

void SegmentedLog::Impl::Wire(const LogWriter::Initial& initial, bool next_is_ready) {
  TaskRunner* const replica = options.replica;
  const std::weak_ptr<Impl*> weak = alive;
  preparer = std::make_shared<SegmentPreparer>(
      SegmentPreparer::Options{
          .fs = options.fs,
          .dir = options.dir,
          .segment_size = options.segment_size,
          .reserve_bytes = options.reserve_bytes,
          .full_disk_retry_nanos = options.full_disk_retry_nanos,
          .background = options.background,
          .on_ready =
              [replica, weak] {
                PostTo(replica, weak, [](Impl& impl) {
                  if (!impl.failed && impl.callbacks.on_room) impl.callbacks.on_room();
                });
              },
          .on_failure =
              [replica, weak](const absl::Status& status) {
                PostTo(replica, weak, [status](Impl& impl) { impl.writer->Fail(status); });
              },
      },
      next_is_ready);
  writer = std::make_shared<LogWriter>(
      LogWriter::Options{
          .fs = options.fs,
          .dir = options.dir,
          .runner = options.writer,
          .idle_mark_nanos = options.idle_mark_nanos,
          .on_durable =
              [replica, weak](const LogStart& entry, uint64_t generation) {
                PostTo(replica, weak,
                       [entry, generation](Impl& impl) { impl.OnDurable(entry, generation); });
              },
          .on_failure =
              [replica, weak](const absl::Status& status) {
                PostTo(replica, weak, [status](Impl& impl) { impl.OnFailure(status); });
              },
      },
      initial, files, preparer);
}

void SegmentedLog::Impl::OnDurable(const LogStart& entry, uint64_t entry_generation) {
  // A flush from before a truncation says nothing about what the log holds now.
  if (failed || entry_generation != generation) return;
  if (entry.index < durable.index) return;
  durable = entry;
  if (callbacks.on_durable) callbacks.on_durable(entry.index, entry.term);
}

void SegmentedLog::Impl::OnFailure(const absl::Status& status) {
  if (failed) return;
  failed = true;
  if (callbacks.on_failure) callbacks.on_failure(status);
}

SegmentedLog::SegmentedLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SegmentedLog::~SegmentedLog() = default;

absl::StatusOr<std::unique_ptr<SegmentedLog>> SegmentedLog::Open(Options options,
                                                                 RecoveryReport* report) {
  if (options.segment_size < kMinSegmentSize || options.segment_size > kMaxSegmentSize) {
    return absl::InvalidArgumentError(StrCat("segment size: expected ", kMinSegmentSize, " to ",
                                             kMaxSegmentSize, ", found ", options.segment_size));
  }
  RecoveryReport own_report;
  if (report == nullptr) report = &own_report;
  RAFTMQ_ASSIGN_OR_RETURN(RecoveredLog recovered, RecoverLog({.fs = options.fs,
                                                              .dir = options.dir,
                                                              .segment_size = options.segment_size,
                                                              .recent_bytes = options.recent_bytes,
                                                              .on_damage = options.on_damage,
                                                              .damaged_flag = options.damaged_flag},
                                                             report));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(recovered));
  // The very first entry must not have to wait for its segment.
  if (impl->segments.empty()) impl->preparer->PrepareNow();
  impl->preparer->Start();
  return std::unique_ptr<SegmentedLog>(new SegmentedLog(std::move(impl)));
}

void SegmentedLog::SetCallbacks(Callbacks callbacks) { impl_->callbacks = std::move(callbacks); }

LogIndex SegmentedLog::FirstIndex() const { return impl_->start.index + 1; }
LogIndex SegmentedLog::LastIndex() const { return impl_->last.index; }
Term SegmentedLog::LastTerm() const { return impl_->last.term; }
LogPosition SegmentedLog::EndPosition() const { return impl_->last.position; }
uint32_t SegmentedLog::LastChainCrc() const { return impl_->last.chain_crc; }
LogIndex SegmentedLog::DurableIndex() const { return impl_->durable.index; }
LogIndex SegmentedLog::StartIndex() const { return impl_->start.index; }
Term SegmentedLog::StartTerm() const { return impl_->start.term; }
LogPosition SegmentedLog::StartPosition() const { return impl_->start.position; }
LogPosition SegmentedLog::FirstPosition() const {
  const Impl& impl = *impl_;
  if (impl.segments.empty()) return impl.start.position;
  return std::max(impl.start.position, impl.segments.front().start());
}
LogPosition SegmentedLog::SegmentStartOf(LogIndex index) const {
  const Impl& impl = *impl_;
  if (impl.segments.empty()) return impl.start.position;
  return impl.SegmentOfEntry(index).start();
}
int64_t SegmentedLog::segment_size() const { return impl_->options.segment_size; }

// ---- Growing and cutting ----

absl::Status SegmentedLog::HasRoomFor(int64_t bytes) const {
  const Impl& impl = *impl_;
  if (const absl::Status failure = impl.writer->failure(); !failure.ok()) {
    return absl::FailedPreconditionError(StrCat("the log stopped: ", Message(failure)));
  }
  const size_t pending = impl.writer->pending_bytes();
  if (pending > 0 && pending + static_cast<size_t>(bytes) > impl.options.max_pending_bytes) {
    return absl::ResourceExhaustedError(StrCat("the log's disk is behind by ", pending,
                                               " bytes; the bound is ",
                                               impl.options.max_pending_bytes));
  }
  const LogPosition end = impl.last.position;
  const int64_t size = impl.options.segment_size;
  if (!impl.segments.empty()) {
    const LogPosition active = impl.segments.back().start();
    const int64_t room = active + size - std::max(end, active);
    if (bytes + kFrameHeaderSize <= room) return absl::OkStatus();
  }
  RAFTMQ_RETURN_IF_ERROR(impl.writer->CanRoll());
  if (bytes > size / 2) {
    return absl::UnavailableError(
        StrCat(bytes, " bytes are more than half a segment; append less at once"));
  }
  return absl::OkStatus();
}

absl::Status SegmentedLog::Impl::Roll(LogPosition segment) {
  RAFTMQ_RETURN_IF_ERROR(writer->CanRoll());
  std::optional<LogPosition> blank;
  std::string index;
  if (!segments.empty()) {
    const SegmentIndex& old = segments.back();
    CHECK_EQ(segment, old.start() + options.segment_size);
    const LogPosition end = std::max(last.position, old.start());
    if (end < segment) blank = end;
    if (!old.empty()) index = old.Encode();
  }
  segments.emplace_back(segment, last);
  if (segments.size() > kSegmentsWithPoints) {
    segments[segments.size() - 1 - kSegmentsWithPoints].DropPoints();
  }
  writer->Roll(segment, blank, std::move(index));
  return absl::OkStatus();
}

absl::Status SegmentedLog::Append(std::span<const raft::EntryMeta> entries, Bytes frames) {
  Impl& impl = *impl_;
  CHECK(!entries.empty());
  const raft::EntryMeta& first = entries.front();
  const LogPosition segment = SegmentOf(first.position, impl.options.segment_size);
  CHECK_EQ(first.position,
           raft::PlaceFrame(impl.last.position, first.size, impl.options.segment_size));
  CHECK_EQ(entries.back().end() - first.position, static_cast<int64_t>(frames.size()));
  CHECK_LE(entries.back().end(), segment + impl.options.segment_size);
  if (const absl::Status failure = impl.writer->failure(); !failure.ok()) {
    return absl::FailedPreconditionError(StrCat("the log stopped: ", Message(failure)));
  }
  const size_t pending = impl.writer->pending_bytes();
  if (pending > 0 && pending + frames.size() > impl.options.max_pending_bytes) {
    return absl::ResourceExhaustedError(StrCat("the log's disk is behind by ", pending, " bytes"));
  }
  if (impl.segments.empty() || impl.segments.back().start() != segment) {
    RAFTMQ_RETURN_IF_ERROR(impl.Roll(segment));
  }
  impl.tail.AddSlice(first.position, frames);
  SegmentIndex& index = impl.segments.back();
  for (const raft::EntryMeta& entry : entries) {
    CHECK(entry.index == impl.last.index + 1 &&
          (&entry == &first || entry.position == impl.last.position))
        << entry << " after entry " << impl.last.index << " that ends at " << impl.last.position;
    const uint32_t chain = ChainCrcField(frames.view().data() + (entry.position - first.position));
    index.Add(entry, chain);
    impl.tail.Add(entry, chain);
    impl.last = {entry.index, entry.term, entry.end(), chain};
  }
  impl.writer->Write(first.position, std::move(frames), impl.last, impl.generation);
  impl.tail.Trim(impl.durable.position, impl.options.tail_bytes);
  return absl::OkStatus();
}

absl::Status SegmentedLog::TruncateSuffix(LogIndex from) {
  Impl& impl = *impl_;
  CHECK(from > impl.start.index && from <= impl.last.index + 1)
      << "truncate from " << from << " of a log of " << impl.start.index + 1 << ".."
      << impl.last.index;
  if (from == impl.last.index + 1) return absl::OkStatus();
  LogStart new_last = impl.start;
  LogPosition last_position;
  if (from - 1 > impl.start.index) {
    RAFTMQ_ASSIGN_OR_RETURN(const LogTail::Item item, impl.ItemAt(from - 1));
    new_last = {item.meta.index, item.meta.term, item.meta.end(), item.chain_crc};
    last_position = item.meta.position;
  }
  SegmentIndex& segment = impl.SegmentOfEntry(new_last.index);
  RAFTMQ_RETURN_IF_ERROR(impl.EnsurePoints(segment));
  while (&impl.segments.back() != &segment) impl.segments.pop_back();
  segment.TruncateTo(new_last, last_position);
  // A log that starts at the end of a segment may place its next first frame there after all.
  if (segment.empty() && segment.start() > new_last.position) impl.segments.pop_back();
  impl.tail.Truncate(from);
  impl.reader.Forget();
  impl.last = new_last;
  if (impl.durable.index > new_last.index) impl.durable = new_last;
  ++impl.generation;
  std::optional<LogPosition> latest;
  if (!impl.segments.empty()) latest = impl.segments.back().start();
  impl.writer->Truncate(new_last, latest, impl.generation);
  return absl::OkStatus();
}

// ---- Dropping the beginning

void SegmentedLog::DropBefore(LogPosition position, LogIndex applied) {
  impl_->drop_before = std::max(impl_->drop_before, position);
  impl_->drop_applied = std::max(impl_->drop_applied, applied);
  impl_->DropMore();
}

void SegmentedLog::Impl::DropMore() {
  if (dropping || failed) return;
  const SegmentIndex* first_kept = nullptr;
  for (size_t i = 1; i < segments.size() && segments[i].start() <= drop_before; ++i) {
    // It has an entry that stays: neither a truncation nor a crash after a roll goes back behind
    // it.
    if (segments[i].first_index() > std::min(durable.index, drop_applied)) break;
    first_kept = &segments[i];
  }
  if (first_kept == nullptr) return;
  dropping = true;
  const std::weak_ptr<Impl*> weak = alive;
  options.background->Post([fs = options.fs, dir = options.dir, replica = options.replica, weak,
                            new_start = first_kept->before(), first_segment = first_kept->start()] {
    if (weak.expired()) return;
    const absl::Status written = WriteLogStart(fs, dir, new_start);
    PostTo(replica, weak, [=](Impl& impl) {
      if (written.ok()) {
        impl.MoveStart(new_start, first_segment);
      } else {
        impl.writer->Fail(written);
      }
    });
  });
}

// The new start is durable: whatever reads the log from now on sees it.
void SegmentedLog::Impl::MoveStart(const LogStart& new_start, LogPosition first_segment) {
  std::vector<LogPosition> removed;
  while (segments.front().start() < first_segment) {
    removed.push_back(segments.front().start());
    segments.pop_front();
  }
  start = new_start;
  reader.Forget();
  files->RemoveBefore(first_segment);
  if (callbacks.on_dropped) callbacks.on_dropped();
  RemoveFiles(std::move(removed));
}

// Whoever still reads one of them has it open. What cannot be removed is tried again at the next
// start.
void SegmentedLog::Impl::RemoveFiles(std::vector<LogPosition> starts) {
  const std::weak_ptr<Impl*> weak = alive;
  options.background->Post([fs = options.fs, dir = options.dir, replica = options.replica, weak,
                            starts = std::move(starts)] {
    if (weak.expired()) return;
    absl::Status removed;
    for (const LogPosition segment : starts) {
      if (removed.ok()) removed = fs->RemoveAll(SegmentIndexPath(dir, segment));
      if (removed.ok()) removed = fs->RemoveAll(SegmentPath(dir, segment));
    }
    if (removed.ok()) removed = fs->SyncDir(CommitlogDir(dir));
    LOG_IF(ERROR, !removed.ok()) << "removing expired segments of " << dir << ": " << removed;
    PostTo(replica, weak, [](Impl& impl) {
      impl.dropping = false;
      impl.DropMore();
    });
  });
}

void SegmentedLog::Stop(absl::AnyInvocable<void(absl::Status)> done) {
  impl_->writer->Stop(std::move(done));
}

// ---- Metadata ----

SegmentIndex& SegmentedLog::Impl::SegmentOfEntry(LogIndex index) const {
  CHECK(!segments.empty());
  auto after = std::upper_bound(
      segments.begin(), segments.end(), index,
      [](LogIndex i, const SegmentIndex& segment) { return i < segment.first_index(); });
  return after == segments.begin() ? *after : *std::prev(after);
}

absl::Status SegmentedLog::Impl::CheckIndex(LogIndex index, LogIndex from) const {
  if (index >= from && index <= last.index) return absl::OkStatus();
  return absl::OutOfRangeError(
      StrCat("entry ", index, ": the log has ", start.index + 1, " to ", last.index));
}

absl::StatusOr<LogTail::Item> SegmentedLog::Impl::ItemAt(LogIndex index) const {
  if (const LogTail::Item* item = tail.Find(index)) return *item;
  SegmentIndex& segment = SegmentOfEntry(index);
  RAFTMQ_RETURN_IF_ERROR(EnsurePoints(segment));
  reader.Seek(segment, index, durable.position);
  for (;;) {
    RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, reader.Next());
    if (header.index == index) return LogTail::Item{MetaOf(header), header.chain_crc};
  }
}

// Loads the index points of an older segment, for reading from it or growing it again.
absl::Status SegmentedLog::Impl::EnsurePoints(SegmentIndex& segment) const {
  if (segment.has_points()) return absl::OkStatus();
  // One older segment at a time: reads of old entries walk through them in order.
  for (size_t i = 0; i + kSegmentsWithPoints < segments.size(); ++i) segments[i].DropPoints();
  const std::string path = SegmentIndexPath(options.dir, segment.start());
  absl::StatusOr<std::string> bytes = raftmq::ReadFile(options.fs, path);
  if (bytes.ok()) {
    absl::StatusOr<SegmentIndex> parsed = SegmentIndex::Parse(*bytes, segment.start());
    if (parsed.ok() && parsed->before() == segment.before() && parsed->last() == segment.last()) {
      segment = *std::move(parsed);
      return absl::OkStatus();
    }
  } else if (!absl::IsNotFound(bytes.status())) {
    return bytes.status();
  }
  LOG(WARNING) << path << " is missing or bad; reading the segment instead";
  const std::shared_ptr<File> file = files->Find(segment.start());
  if (file == nullptr) return absl::InternalError(StrCat(path, ": its segment is not open"));
  SegmentIndex rebuilt(segment.start(), segment.before());
  FrameScanner scanner(*file, options.segment_size, rebuilt.first_position(), rebuilt.before());
  while (rebuilt.last_index() < segment.last_index()) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::optional<FrameHeader> header, scanner.Next());
    if (!header.has_value()) return absl::DataLossError(scanner.stopped_by());
    rebuilt.Add(MetaOf(*header), header->chain_crc);
  }
  segment = std::move(rebuilt);
  return absl::OkStatus();
}

absl::StatusOr<Term> SegmentedLog::TermAt(LogIndex index) const {
  const Impl& impl = *impl_;
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(index, impl.start.index));
  if (index == impl.start.index) return impl.start.term;
  return impl.SegmentOfEntry(index).TermAt(index);
}

absl::StatusOr<LogPosition> SegmentedLog::EndAt(LogIndex index) const {
  const Impl& impl = *impl_;
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(index, impl.start.index));
  if (index == impl.start.index) return impl.start.position;
  RAFTMQ_ASSIGN_OR_RETURN(const LogTail::Item item, impl.ItemAt(index));
  return item.meta.end();
}

absl::StatusOr<raft::EntryMeta> SegmentedLog::EntryAt(LogIndex index) const {
  RAFTMQ_RETURN_IF_ERROR(impl_->CheckIndex(index, impl_->start.index + 1));
  RAFTMQ_ASSIGN_OR_RETURN(const LogTail::Item item, impl_->ItemAt(index));
  return item.meta;
}

absl::StatusOr<uint32_t> SegmentedLog::ChainCrcAt(LogIndex index) const {
  const Impl& impl = *impl_;
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(index, impl.start.index));
  if (index == impl.start.index) return impl.start.chain_crc;
  RAFTMQ_ASSIGN_OR_RETURN(const LogTail::Item item, impl.ItemAt(index));
  return item.chain_crc;
}

absl::StatusOr<std::vector<raft::EntryMeta>> SegmentedLog::EntriesFrom(LogIndex first,
                                                                       int64_t max_bytes,
                                                                       int32_t max_count) const {
  const Impl& impl = *impl_;
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(first, impl.start.index + 1));
  std::vector<raft::EntryMeta> entries;
  int64_t bytes = 0;
  const auto add = [&](const raft::EntryMeta& meta) {
    bytes += meta.size;
    if (!entries.empty() &&
        (bytes > max_bytes || static_cast<int32_t>(entries.size()) >= max_count)) {
      return false;
    }
    entries.push_back(meta);
    return true;
  };
  if (impl.tail.Find(first) == nullptr) {
    // What is older than the tail, as far as one segment goes: fewer are allowed.
    SegmentIndex& segment = impl.SegmentOfEntry(first);
    RAFTMQ_RETURN_IF_ERROR(impl.EnsurePoints(segment));
    LogIndex stop = segment.last_index();
    if (!impl.tail.empty()) stop = std::min(stop, impl.tail.front().meta.index - 1);
    impl.reader.Seek(segment, first, impl.durable.position);
    for (LogIndex index; index < stop;) {
      RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, impl.reader.Next());
      index = header.index;
      if (index >= first && !add(MetaOf(header))) break;
    }
    return entries;
  }
  for (LogIndex index = first; const LogTail::Item* item = impl.tail.Find(index); ++index) {
    if (!add(item->meta)) break;
  }
  return entries;
}

// ---- Bytes ----

absl::Status SegmentedLog::Impl::ReadFile(std::span<const raft::EntryMeta> entries,
                                          std::vector<Bytes>* pieces) const {
  const LogPosition from = entries.front().position;
  const int64_t size = entries.back().end() - from;
  std::string bytes;
  RAFTMQ_RETURN_IF_ERROR(files->Read(from, static_cast<size_t>(size), &bytes));
  uint32_t chain = start.chain_crc;
  if (entries.front().index > start.index + 1) {
    RAFTMQ_ASSIGN_OR_RETURN(const LogTail::Item before, ItemAt(entries.front().index - 1));
    chain = before.chain_crc;
  }
  const FrameLimits limits = FrameLimits::OfSegments(options.segment_size);
  const absl::StatusOr<uint32_t> checked = CheckSlice(bytes, entries, chain, limits);
  if (!checked.ok()) return Annotate(checked.status(), "reading the log");
  pieces->emplace_back(std::move(bytes));
  return absl::OkStatus();
}

absl::Status SegmentedLog::ReadPieces(std::span<const raft::EntryMeta> entries,
                                      std::vector<Bytes>* pieces) const {
  const Impl& impl = *impl_;
  CHECK(!entries.empty());
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(entries.front().index, impl.start.index + 1));
  RAFTMQ_RETURN_IF_ERROR(impl.CheckIndex(entries.back().index, impl.start.index + 1));
  size_t older = 0;
  if (impl.tail.empty()) {
    older = entries.size();
  } else if (impl.tail.front().meta.index > entries.front().index) {
    older = std::min<size_t>(
        entries.size(), static_cast<size_t>(impl.tail.front().meta.index - entries.front().index));
  }
  if (older > 0) RAFTMQ_RETURN_IF_ERROR(impl.ReadFile(entries.first(older), pieces));
  if (older < entries.size()) {
    impl.tail.Pieces(entries[older].position, entries.back().end(), pieces);
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> SegmentedLog::ReadSlice(std::span<const raft::EntryMeta> entries) const {
  std::vector<Bytes> pieces;
  RAFTMQ_RETURN_IF_ERROR(ReadPieces(entries, &pieces));
  if (pieces.size() == 1) return std::move(pieces[0]);
  std::string joined;
  joined.reserve(static_cast<size_t>(entries.back().end() - entries.front().position));
  for (const Bytes& piece : pieces) joined.append(piece.view());
  return Bytes(std::move(joined));
}

absl::Status SegmentedLog::Read(LogPosition position, size_t size, std::string* out) const {
  return impl_->files->Read(position, size, out);
}

LogPosition SegmentedLog::WrittenEnd() const { return impl_->files->written_end(); }

std::vector<LogPosition> SegmentedLog::Segments() const { return impl_->files->Starts(); }

std::optional<SealedSegment> SegmentedLog::SealedFrom(LogPosition from) const {
  const Impl& impl = *impl_;
  for (const SegmentIndex& segment : impl.segments) {
    if (segment.start() < from || segment.empty()) continue;
    // An entry behind it is durable: so is its blank frame, which is written before that.
    if (segment.last_index() >= impl.durable.index) break;
    return SealedSegment{segment.start(), segment.before(), segment.last(),
                         impl.files->Find(segment.start()), impl.generation};
  }
  return std::nullopt;
}

bool SegmentedLog::IsUncut(const SealedSegment& segment) const {
  return segment.generation == impl_->generation && segment.start >= FirstPosition();
}

}  // namespace raftmq::dledger
