// EntryReader: walks the frame headers of a segment in its file, without their bodies.
//
// Replica thread only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/frame.h"
#include "dledger/segment_files.h"
#include "dledger/segment_index.h"

namespace raftmq::dledger {

class EntryReader {
 public:
  explicit EntryReader(std::shared_ptr<SegmentFiles> files) : files_(std::move(files)) {}

  // Goes to the nearest known frame at or before `index` in `segment`. Nothing at or beyond
  // `durable_end` is read.
  void Seek(const SegmentIndex& segment, LogIndex index, LogPosition durable_end);

  // The header at the present place; goes on to the next. DataLoss if there is no frame of the
  // expected position and index.
  absl::StatusOr<FrameHeader> Next();

  // The log was cut: what was read may change.
  void Forget() { window_.clear(); }

 private:
  const std::shared_ptr<SegmentFiles> files_;
  LogPosition position_;
  LogIndex index_;
  LogPosition end_;  // of what may be read: segment and durable end
  std::string window_;
  LogPosition window_at_;
};

}  // namespace raftmq::dledger
