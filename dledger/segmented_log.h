// SegmentedLog: the durable bytes of a member's log, as a row of fixed-size segment files.
//
// Entries come in Append (memory only), go to the disk on the log writer, and are reported durable
// by Callbacks::on_durable. Everything that crashes, tears, rots or fills up below this is handled
// here; docs/formats.md describes the files.
//
// Thread rules: "replica" methods are called on the one thread (or simulated task runner) that owns
// the replica, "any" methods on any. Callbacks are posted to Options::replica. Disk writes run on
// Options::writer, preparing of the next segment on Options::background.
// The log may be destroyed at any time on the replica thread: tasks that are still posted do
// nothing then. What was appended and not reported durable may be lost by that; call Stop first.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "dledger/frame.h"
#include "dledger/recovery_report.h"
#include "dledger/segment_scrub.h"
#include "raft/log_storage.h"
#include "raft/types.h"

namespace raftmq::dledger {

class SegmentedLog final : public raft::LogStorage {
 public:
  struct Options {
    FileSystem* fs = nullptr;
    std::string dir;  // the generation: DirectoryLayout::generation
    int64_t segment_size = kDefaultSegmentSize;
    TaskRunner* replica = nullptr;
    TaskRunner* writer = nullptr;
    TaskRunner* background = nullptr;
    DamageAction on_damage = DamageAction::kStop;
    // DirectoryLayout::damaged(): set by Open, before it changes anything, if it finds damage and
    // the flag is not set yet.
    std::string damaged_flag;

    // Recently appended bytes kept in memory for ReadSlice. What is not written yet is kept
    // besides.
    size_t tail_bytes = 8 << 20;
    // Recently written bytes kept in memory for Read, so that readers who keep up need no disk;
    // what ReadSlice keeps is part of it.
    size_t recent_bytes = 32 << 20;
    // Appended and not yet written; beyond it Append refuses.
    size_t max_pending_bytes = 64 << 20;
    // Left free on the disk for everything else (hard state, RocksDB) when a segment is prepared.
    int64_t reserve_bytes = 64 << 20;
    // After this long without a flush the durable mark is brought up to date.
    int64_t idle_mark_nanos = 200'000'000;
    // How long after a full disk the next segment is tried again.
    int64_t full_disk_retry_nanos = 1'000'000'000;
  };

  struct Callbacks {
    // Everything up to `index`, which has `term`, is on this disk. Monotone between truncations; a
    // flush that a truncation overtook is not reported.
    absl::AnyInvocable<void(LogIndex index, Term term)> on_durable;
    // A write or a flush failed: the state of the disk is unknown. Called once; nothing is written
    // or reported durable after it. The replica stops.
    absl::AnyInvocable<void(const absl::Status& failure)> on_failure;
    // HasRoomFor may have turned to OK.
    absl::AnyInvocable<void()> on_room;
    // DropBefore has moved the log's start: FirstIndex() is another one now. May be empty.
    absl::AnyInvocable<void()> on_dropped;
  };

  // Opens and recovers the log in Options::dir. Afterwards everything in it is durable. `report`
  // may be null. DataLoss: damaged, and on_damage is kStop; the report says what was found. Either
  // way the DamagedFlag is durably set, and cleared by the replica only.
  static absl::StatusOr<std::unique_ptr<SegmentedLog>> Open(Options options,
                                                            RecoveryReport* report);

  ~SegmentedLog() override;
  SegmentedLog(const SegmentedLog&) = delete;
  SegmentedLog& operator=(const SegmentedLog&) = delete;

  // Replica. Before the first Append.
  void SetCallbacks(Callbacks callbacks);

  // ---- Where the log is. Replica. ----

  // First entry kept; 1 unless the log's start was dropped. LastIndex() + 1 if the log is empty.
  LogIndex FirstIndex() const override;
  // FirstIndex() - 1 if the log is empty.
  LogIndex LastIndex() const override;
  Term LastTerm() const;
  // One past the last frame; the next frame starts here or in the next segment (PlaceFrame).
  LogPosition EndPosition() const;
  // Chain CRC of the last frame: `previous_chain_crc` of the next one.
  uint32_t LastChainCrc() const;
  // Last entry known to be on this disk.
  LogIndex DurableIndex() const;
  // The entry just before FirstIndex(): index 0, term 0, if nothing was dropped.
  LogIndex StartIndex() const;
  Term StartTerm() const;
  LogPosition StartPosition() const;
  // Where the bytes that are kept begin: the start of the first segment, or StartPosition() within
  // it.
  LogPosition FirstPosition() const;
  // Start of the segment that holds entry `index`; of the first or the last one for what is not in
  // the log.
  LogPosition SegmentStartOf(LogIndex index) const;
  int64_t segment_size() const;

  // ---- Growing and cutting. Replica. ----

  // Appends whole frames, back to back in one segment, whose bytes were checked (CheckSlice) or
  // made (SealFrame) by the caller. REQUIRES: they follow the last entry in index, place and chain.
  // Does nothing else than refuse if HasRoomFor refuses, or FailedPrecondition after a failure.
  absl::Status Append(std::span<const raft::EntryMeta> entries, Bytes frames);
  absl::Status Append(const raft::EntryMeta& entry, Bytes frame) {
    return Append(std::span(&entry, 1), std::move(frame));
  }

  // Whether frames of `bytes` in sum can be appended now. Ask before accepting a proposal.
  // ResourceExhausted: the disk is full, or its writes lag behind by max_pending_bytes;
  // Unavailable: the next segment is being prepared (on_room tells when it is).
  absl::Status HasRoomFor(int64_t bytes) const;

  // Drops the entries from `from` on. REQUIRES: FirstIndex() <= from <= LastIndex() + 1. An error
  // (reading the entry before it) changes nothing.
  absl::Status TruncateSuffix(LogIndex from);

  // Lets go of the log's beginning: of segments that end at or before `position`, as far as the
  // first entry that stays is durable and at most `applied`. Returns at once: first the new start
  // is made durable (log-start), then FirstIndex() changes and on_dropped is called, then the files
  // go. A crash in between leaves one of the two starts. REQUIRES: all that it drops is applied for
  // good and nobody will ask for it; positions and `applied` may be repeated and may come early.
  void DropBefore(LogPosition position, LogIndex applied);

  // ---- Metadata, also of old entries (raft::LogStorage). Replica. May read the disk. ----

  // From memory. OutOfRange below the log's start or above its end, here and in the following.
  absl::StatusOr<Term> TermAt(LogIndex index) const override;
  absl::StatusOr<LogPosition> EndAt(LogIndex index) const override;
  absl::StatusOr<raft::EntryMeta> EntryAt(LogIndex index) const override;
  absl::StatusOr<std::vector<raft::EntryMeta>> EntriesFrom(LogIndex first, int64_t max_bytes,
                                                           int32_t max_count) const override;
  // Chain CRC of the frame of an entry; for StartIndex() the chain value at the log's start.
  absl::StatusOr<uint32_t> ChainCrcAt(LogIndex index) const;

  // ---- Bytes. ----

  // Replica. The frames of consecutive entries that lie in one segment, from memory without a copy
  // where possible (one piece, or the pieces they were appended in), else from the file, checked.
  absl::StatusOr<Bytes> ReadSlice(std::span<const raft::EntryMeta> entries) const;
  absl::Status ReadPieces(std::span<const raft::EntryMeta> entries,
                          std::vector<Bytes>* pieces) const;

  // Any thread. Exactly `size` bytes at `position`, within one segment and written to the file
  // already (everything durable is): OutOfRange otherwise. Bytes are not checked.
  absl::Status Read(LogPosition position, size_t size, std::string* out) const;

  // Any thread. One past what Read can read.
  LogPosition WrittenEnd() const;

  // Replica. The first segment from `from` on that is sealed and durable as a whole, to be read by
  // a SegmentScrub; nothing: there is none.
  std::optional<SealedSegment> SealedFrom(LogPosition from) const;
  // Replica. Whether nothing was cut from the log since SealedFrom and the segment still belongs to
  // it: only then bad bytes are rot.
  bool IsUncut(const SealedSegment& segment) const;
  // Any thread. Start positions of all segments.
  std::vector<LogPosition> Segments() const;

  // Replica. Flushes what was appended, writes the durable mark, then calls `done` on the writer
  // runner; nothing may be appended any more.
  void Stop(absl::AnyInvocable<void(absl::Status)> done);

 private:
  struct Impl;
  explicit SegmentedLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace raftmq::dledger
