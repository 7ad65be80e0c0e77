#include "dledger/frame_scanner.h"

#include <algorithm>

#include "base/strings.h"

namespace raftmq::dledger {
namespace {
constexpr int64_t kReadStep = 1 << 20;
}  // namespace

FrameScanner::FrameScanner(const File& file, int64_t segment_size, LogPosition from,
                           const LogStart& before)
    : file_(file),
      segment_start_(SegmentOf(from, segment_size)),
      segment_end_(segment_start_ + segment_size),
      limits_(FrameLimits::OfSegments(segment_size)),
      next_(from),
      last_(before),
      last_position_(before.position),
      buffer_at_(from) {}

absl::StatusOr<std::string_view> FrameScanner::Window(LogPosition position, int64_t size) {
  size = std::min(size, segment_end_ - position);
  const int64_t skip = position - buffer_at_;
  if (skip + size > static_cast<int64_t>(buffer_.size())) {
    const int64_t want = std::min(std::max(size, kReadStep), segment_end_ - position);
    RAFTMQ_RETURN_IF_ERROR(
        file_.PRead(position - segment_start_, static_cast<size_t>(want), &buffer_));
    buffer_at_ = position;
    return std::string_view(buffer_).substr(0, static_cast<size_t>(size));
  }
  return std::string_view(buffer_).substr(static_cast<size_t>(skip), static_cast<size_t>(size));
}

std::optional<FrameHeader> FrameScanner::Stop(std::string_view what) {
  stopped_by_ = StrCat("segment ", SegmentName(segment_start_), ", position ", next_,
                       ": expected entry ", last_.index + 1, ", found: ", what);
  return std::nullopt;
}

std::string FrameScanner::Mismatch(const FrameHeader& header) const {
  if (header.position != next_) return StrCat("a frame that belongs at ", header.position);
  if (header.index != last_.index + 1) return StrCat("entry ", header.index);
  if (header.term < last_.term) return StrCat("term ", header.term, " after term ", last_.term);
  if (header.end() > segment_end_) return "a frame that leaves the segment";
  if (ChainCrc(last_.chain_crc, header) != header.chain_crc) return "wrong chain CRC";
  return "";
}

absl::StatusOr<std::optional<FrameHeader>> FrameScanner::Next() {
  frame_ = {};
  if (next_ >= segment_end_) {
    at_segment_end_ = true;
    return Stop("the segment's end");
  }
  RAFTMQ_ASSIGN_OR_RETURN(std::string_view bytes, Window(next_, kFrameHeaderSize));
  if (const auto blank = ParseBlankFrame(bytes, next_); blank.ok()) {
    at_segment_end_ = next_ + *blank == segment_end_;
    return Stop("a blank frame");
  }
  const absl::StatusOr<FrameHeader> parsed = ParseFrameHeader(bytes, limits_);
  if (!parsed.ok()) return Stop(Message(parsed.status()));
  // Before the body is read: garbage must not make us read far.
  if (std::string mismatch = Mismatch(*parsed); !mismatch.empty()) return Stop(mismatch);
  RAFTMQ_ASSIGN_OR_RETURN(bytes, Window(next_, parsed->size));
  const absl::StatusOr<FrameHeader> header = ParseFrame(bytes, limits_);
  if (!header.ok()) return Stop(Message(header.status()));

  frame_ = bytes;
  scanned_bytes_ += header->size;
  last_ = {header->index, header->term, header->end(), header->chain_crc};
  last_position_ = header->position;
  next_ = header->end();
  return std::optional(*header);
}

}  // namespace raftmq::dledger
