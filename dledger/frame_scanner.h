// FrameScanner: walks the frames of one segment file from a known entry on and checks everything:
// position, sizes, order of indexes and terms, body CRC, chain CRC.
//
// One thread; the file outlives it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "dledger/frame.h"
#include "dledger/log_files.h"

namespace raftmq::dledger {

class FrameScanner {
 public:
  // `before`: the entry before the frame at `from`.
  FrameScanner(const File& file, int64_t segment_size, LogPosition from, const LogStart& before);

  // The next intact frame. Nothing: there is none, and the following say why. An error: the file
  // could not be read, which says nothing about what is in it.
  absl::StatusOr<std::optional<FrameHeader>> Next();

  // The bytes of the frame that Next returned; valid until the next call.
  std::string_view frame() const { return frame_; }

  // The last intact entry and the position after it.
  const LogStart& last() const { return last_; }
  LogPosition last_position() const { return last_position_; }

  // After Next returned nothing: the frames end as a full segment's do, at its end or with a blank.
  bool at_segment_end() const { return at_segment_end_; }
  // What was found instead of a frame or a segment's end.
  const std::string& stopped_by() const { return stopped_by_; }

  int64_t scanned_bytes() const { return scanned_bytes_; }

 private:
  // Up to `size` bytes at `position` of the log; fewer at the segment's end.
  absl::StatusOr<std::string_view> Window(LogPosition position, int64_t size);
  std::optional<FrameHeader> Stop(std::string_view what);
  // Why `header` cannot follow last_; "" if it can.
  std::string Mismatch(const FrameHeader& header) const;

  const File& file_;
  const LogPosition segment_start_;
  const LogPosition segment_end_;
  const FrameLimits limits_;
  LogPosition next_;
  LogStart last_;
  LogPosition last_position_;
  std::string buffer_;
  LogPosition buffer_at_;
  std::string_view frame_;
  bool at_segment_end_ = false;
  std::string stopped_by_;
  int64_t scanned_bytes_ = 0;
};

}  // namespace raftmq::dledger
