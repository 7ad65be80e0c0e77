// SegmentIndex: where the entries of one segment are. Kept in memory for all segments (terms) and
// for the recent ones (points); written as a derived file when a segment is sealed.
//
// Values; the owner orders calls. Bytes of the file in docs/formats.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "dledger/log_files.h"
#include "raft/types.h"

namespace raftmq::dledger {

class SegmentIndex {
 public:
  struct Point {
    LogIndex index;
    LogPosition position;
    bool operator==(const Point&) const = default;
  };
  struct TermRun {
    LogIndex first;
    Term term;
    bool operator==(const TermRun&) const = default;
  };

  // At least this far apart, in bytes.
  static constexpr int64_t kPointDistance = 64 << 10;

  // An empty segment at `start` after the entry `before`, whose first frame will be at
  // max(start, before.position).
  SegmentIndex(LogPosition start, const LogStart& before);

  LogPosition start() const { return start_; }
  // The entry before the first one here.
  const LogStart& before() const { return before_; }
  LogIndex first_index() const { return before_.index + 1; }
  // before().index if there is no entry.
  LogIndex last_index() const { return last_.index; }
  // The last entry and the position after it; before() if there is no entry.
  const LogStart& last() const { return last_; }
  // Position of the last entry's frame. REQUIRES: there is an entry.
  LogPosition last_position() const { return last_position_; }
  bool empty() const { return last_.index == before_.index; }
  LogPosition first_position() const { return std::max(start_, before_.position); }

  // REQUIRES: `entry` follows the last one and has all points loaded.
  void Add(const raft::EntryMeta& entry, uint32_t chain_crc);

  // Removes what follows `last`, an entry of this segment at `last_position`, or before().
  void TruncateTo(const LogStart& last, LogPosition last_position);

  // REQUIRES: before().index <= index <= last_index().
  Term TermAt(LogIndex index) const;

  // The known frame nearest to `index` from below. Without points, the first frame.
  // REQUIRES: the segment has the entry.
  Point Nearest(LogIndex index) const;

  bool has_points() const { return has_points_; }
  void DropPoints();

  std::string Encode() const;

  // Without its points. DataLoss if the file is no intact index of the segment at `start`.
  static absl::StatusOr<SegmentIndex> ReadSummary(const File& file, LogPosition start);
  // The points too.
  static absl::StatusOr<SegmentIndex> Parse(std::string_view bytes, LogPosition start);

  bool operator==(const SegmentIndex&) const = default;

 private:
  absl::Status ParseSummary(std::string_view bytes, int32_t runs);

  LogPosition start_;
  LogStart before_;
  LogStart last_;
  LogPosition last_position_;
  std::vector<TermRun> runs_;
  std::vector<Point> points_;  // none for the first frame
  bool has_points_ = true;
};

}  // namespace raftmq::dledger
