// The files of a log and the small ones beside its segments. Bytes in docs/formats.md.
//
//   <dir>/commitlog/<20 digits>      a segment: its bytes, then a trailer page with the durable mark
//   <dir>/commitlog/<20 digits>.idx  derived index of a sealed segment (segment_index.h)
//   <dir>/commitlog/next             a segment of zeros, ready to be used
//   <dir>/log-start                  what came before the first entry kept
//   <dir>/roll                       the latest segment that may hold data
//
// Pure functions over a FileSystem; the caller orders writes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"

namespace raftmq::dledger {

// Two blocks of a disk, one for each slot of the durable mark.
inline constexpr int64_t kTrailerSize = 8192;

// Start of the segment that holds `position`.
constexpr LogPosition SegmentOf(LogPosition position, int64_t segment_size) {
  return LogPosition(position.value() / segment_size * segment_size);
}

// Of the file: the segment's bytes and its trailer.
constexpr int64_t SegmentFileSize(int64_t segment_size) { return segment_size + kTrailerSize; }

std::string CommitlogDir(const std::string& dir);
std::string SegmentName(LogPosition start);
std::string SegmentPath(const std::string& dir, LogPosition start);
std::string SegmentIndexPath(const std::string& dir, LogPosition start);
// Nothing if `name` is not 20 digits.
std::optional<LogPosition> ParseSegmentName(std::string_view name);

// What came before the first entry of a log: all zero for a new one.
struct LogStart {
  LogIndex index;          // of the entry before the first
  Term term;               // of that entry
  LogPosition position;    // where the first frame is, or would be placed from (PlaceFrame)
  uint32_t chain_crc = 0;  // of that entry's frame

  bool operator==(const LogStart&) const = default;
};

absl::StatusOr<LogStart> ReadLogStart(FileSystem* fs, const std::string& dir);
absl::Status WriteLogStart(FileSystem* fs, const std::string& dir, const LogStart& start);

// The latest segment that may hold data; nothing if none does yet. Written after everything before
// that segment is synced, and before anything is written into it.
absl::StatusOr<std::optional<LogPosition>> ReadRoll(FileSystem* fs, const std::string& dir);
absl::Status WriteRoll(FileSystem* fs, const std::string& dir, std::optional<LogPosition> latest);

// Makes an empty log in `dir` (created if missing), durably: what FormatDirectory and the
// installation of a snapshot begin with. The entry of `dir` in its parent is the caller's to sync.
absl::Status CreateLog(FileSystem* fs, const std::string& dir, const LogStart& start);

// A position below which everything was known durable when it was written, kept in a segment's
// trailer in two slots that are written in turn. Written together with the next flush, so that one
// fdatasync covers both; a crash in it leaves one of the two intact. Each slot has a disk block of
// its own, so that one bad block leaves the other.
struct DurableMark {
  uint64_t sequence = 0;  // the larger one counts
  LogPosition position;
  uint32_t chain_crc = 0;  // of the frame that ends at `position`
  bool clean = false;      // the process stopped in order: all bytes from `position` on are zero

  bool operator==(const DurableMark&) const = default;
};

absl::Status WriteMark(File* segment, int64_t segment_size, const DurableMark& mark);
// The mark that counts; nothing if none was ever written durably. DataLoss: both slots hold
// something and neither is intact, which no crash does, since one slot is written at a time.
absl::StatusOr<std::optional<DurableMark>> ReadMark(const File& segment, int64_t segment_size);

// Overwrites a range with zeros, in steps of 1 MiB. Does not sync.
absl::Status WriteZeros(File* file, int64_t offset, int64_t size);
// The same for whole blocks of a new file, at most 1 MiB, past the page cache: nobody reads them.
absl::Status WriteZeroBlocks(File* file, int64_t offset, int64_t size);

// Overwrites with zeros whatever is not zero in a range. Does not sync. Adds up what it wrote.
absl::Status ClearRange(File* file, int64_t offset, int64_t size, int64_t* cleared);

}  // namespace raftmq::dledger
