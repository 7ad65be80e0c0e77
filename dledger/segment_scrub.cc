#include "dledger/segment_scrub.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace raftmq::dledger {

SegmentScrub::SegmentScrub(SealedSegment segment, int64_t segment_size)
    : segment_(std::move(segment)),
      scanner_(*segment_.file, segment_size, std::max(segment_.start, segment_.before.position),
               segment_.before) {}

absl::StatusOr<bool> SegmentScrub::Step(int64_t bytes) {
  const int64_t until = scanner_.scanned_bytes() + bytes;
  while (scanner_.scanned_bytes() < until) {
    RAFTMQ_ASSIGN_OR_RETURN(const std::optional<FrameHeader> header, scanner_.Next());
    if (header.has_value()) continue;
    if (scanner_.at_segment_end() && scanner_.last() == segment_.last) return true;
    return absl::DataLossError(
        StrCat("sealed segment ", SegmentName(segment_.start), ": expected entries up to ",
               segment_.last.index, " and the segment's end, found ",
               scanner_.at_segment_end() ? StrCat("the last entry ", scanner_.last().index)
                                         : scanner_.stopped_by()));
  }
  return false;
}

}  // namespace raftmq::dledger
