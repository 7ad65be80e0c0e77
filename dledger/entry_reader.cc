#include "dledger/entry_reader.h"

#include <algorithm>

#include "base/strings.h"

namespace raftmq::dledger {
namespace {
// Holds many small frames' headers; for large frames little more than the header is wasted.
constexpr int64_t kWindow = 4 << 10;
}  // namespace

void EntryReader::Seek(const SegmentIndex& segment, LogIndex index, LogPosition durable_end) {
  const SegmentIndex::Point point = segment.Nearest(index);
  position_ = point.position;
  index_ = point.index;
  end_ = std::min(segment.start() + files_->segment_size(), durable_end);
}

absl::StatusOr<FrameHeader> EntryReader::Next() {
  const int64_t skip = position_ - window_at_;
  if (skip < 0 || skip + kFrameHeaderSize > static_cast<int64_t>(window_.size())) {
    const int64_t size = std::min(kWindow, end_ - position_);
    if (size < kFrameHeaderSize) {
      return absl::DataLossError(
          StrCat("entry ", index_, ": expected its frame at ", position_, ", the log ends there"));
    }
    RAFTMQ_RETURN_IF_ERROR(files_->Read(position_, static_cast<size_t>(size), &window_));
    window_at_ = position_;
  }
  const std::string_view bytes =
      std::string_view(window_).substr(static_cast<size_t>(position_ - window_at_));
  RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header,
                          ParseFrameHeader(bytes, FrameLimits::OfSegments(files_->segment_size())));
  if (header.index != index_ || header.position != position_) {
    return absl::DataLossError(StrCat("position ", position_, ": expected the frame of entry ",
                                      index_, ", found entry ", header.index, " at ",
                                      header.position));
  }
  position_ = header.end();
  ++index_;
  return header;
}

}  // namespace raftmq::dledger
