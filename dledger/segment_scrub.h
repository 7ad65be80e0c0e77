// SegmentScrub: reads one sealed segment and checks all its frames, in steps.
//
// A sealed segment is trusted from its index at start, so nothing else would look at frames that
// nobody asks for. One thread at a time, any thread; holds the file open.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "dledger/frame_scanner.h"
#include "dledger/log_files.h"

namespace raftmq::dledger {

// What SegmentedLog::SealedFrom tells of a segment.
struct SealedSegment {
  LogPosition start;
  LogStart before;  // the entry before its first one
  LogStart last;    // its last entry
  std::shared_ptr<const File> file;
  uint64_t generation = 0;  // of truncations
};

class SegmentScrub {
 public:
  SegmentScrub(SealedSegment segment, int64_t segment_size);

  // Reads on for about `bytes`. True: the segment was read to its end and is intact. DataLoss: it
  // is not, or was cut meanwhile (SegmentedLog::IsUncut). Any other error: it could not be read.
  absl::StatusOr<bool> Step(int64_t bytes);

  const SealedSegment& segment() const { return segment_; }

 private:
  const SealedSegment segment_;
  FrameScanner scanner_;
};

}  // namespace raftmq::dledger
