#include "dledger/proposal_batcher.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/endian.h"
#include "base/strings.h"
#include "dledger/frame.h"
#include "glog/logging.h"
#include "raft/types.h"

namespace raftmq::dledger {

ProposalBatcher::ProposalBatcher(Options options) : options_(std::move(options)) {}

void ProposalBatcher::StartAt(LogPosition end) {
  CHECK(closed_.empty() && !has_open()) << "frames are still held";
  end_ = end;
}

// ---- One proposal ----

void ProposalBatcher::BeginProposal(AckLevel level) {
  level_ = level;
  wrote_ = false;
  saved_closed_ = closed_.size();
  saved_open_size_ = open_.bytes.size();
  saved_open_capacity_ = open_capacity_;
  saved_open_ack_ = open_.ack_in_memory;
  saved_end_ = end_;
}

std::optional<size_t> ProposalBatcher::KeepProposal() {
  if (!wrote_) return std::nullopt;
  return closed_.size();  // the open frame's number
}

void ProposalBatcher::DropProposal() {
  if (!wrote_) return;
  if (closed_.size() > saved_closed_) {
    // The frame that was open then has been closed since; if none was, all of these are new.
    open_ = saved_open_size_ > 0 ? std::move(closed_[saved_closed_]) : Frame();
    closed_.resize(saved_closed_);
    closed_bytes_ = 0;
    for (const Frame& frame : closed_) closed_bytes_ += static_cast<int64_t>(frame.bytes.size());
  }
  open_.bytes.resize(saved_open_size_);
  open_.ack_in_memory = saved_open_ack_;
  open_capacity_ = saved_open_capacity_;
  end_ = saved_end_;
  wrote_ = false;
}

// ---- Writing ----

absl::StatusOr<ProposalWriter::Reservation> ProposalBatcher::ReserveRecord(size_t size) {
  RAFTMQ_ASSIGN_OR_RETURN(const size_t offset, Extend(FrameType::kRecords, size));
  return Reservation{open_.bytes.data() + offset, open_.position + static_cast<int64_t>(offset)};
}

absl::StatusOr<std::vector<ProposalWriter::Reservation>> ProposalBatcher::ReserveRecords(
    const std::vector<size_t>& sizes) {
  const size_t sum = std::accumulate(sizes.begin(), sizes.end(), size_t{0});
  RAFTMQ_ASSIGN_OR_RETURN(size_t offset, Extend(FrameType::kRecords, sum));
  std::vector<Reservation> reservations;
  reservations.reserve(sizes.size());
  for (const size_t size : sizes) {
    reservations.push_back(
        {open_.bytes.data() + offset, open_.position + static_cast<int64_t>(offset)});
    offset += size;
  }
  return reservations;
}

absl::Status ProposalBatcher::AppendCommand(std::string_view command) {
  RAFTMQ_ASSIGN_OR_RETURN(const size_t offset,
                          Extend(FrameType::kCommands, sizeof(uint32_t) + command.size()));
  char* const to = open_.bytes.data() + offset;
  StoreBe<uint32_t>(to, static_cast<uint32_t>(command.size()));
  std::memcpy(to + sizeof(uint32_t), command.data(), command.size());
  return absl::OkStatus();
}

absl::StatusOr<size_t> ProposalBatcher::Extend(FrameType type, size_t size) {
  const size_t max = static_cast<size_t>(MaxBodySize(options_.segment_size));
  if (size == 0 || size > max) {
    return absl::InvalidArgumentError(
        StrCat("one entry of the log holds 1 to ", max, " bytes (a quarter of a segment of ",
               options_.segment_size, " bytes), but ", size, " were asked for"));
  }
  RAFTMQ_RETURN_IF_ERROR(
      options_.has_room(held_bytes() + static_cast<int64_t>(size) + 2 * kFrameHeaderSize));
  if (!FitsOpenFrame(type, size)) {
    CloseFrame();
    OpenFrame(type, size);
  }
  const size_t offset = open_.bytes.size();
  open_.bytes.resize(offset + size);
  if (level_ == AckLevel::kMajorityMemory) open_.ack_in_memory = true;
  wrote_ = true;
  return offset;
}

bool ProposalBatcher::FitsOpenFrame(FrameType type, size_t size) const {
  if (!has_open() || open_.type != type) return false;
  const size_t grown = open_.bytes.size() + size;
  if (grown > open_capacity_) return false;
  return raft::PlaceFrame(end_, static_cast<int64_t>(grown), options_.segment_size) ==
         open_.position;
}

void ProposalBatcher::OpenFrame(FrameType type, size_t size) {
  const size_t first = kFrameHeaderSize + size;
  const size_t limit = static_cast<size_t>(MaxFrameSize(options_.segment_size));
  open_.type = type;
  open_.position = raft::PlaceFrame(end_, static_cast<int64_t>(first), options_.segment_size);
  open_.ack_in_memory = false;
  open_.bytes = std::move(spare_);
  open_capacity_ = std::max(first, std::min(options_.soft_frame_bytes, limit));
  open_.bytes.reserve(open_capacity_);
  open_.bytes.resize(kFrameHeaderSize);
}

void ProposalBatcher::CloseFrame() {
  if (!has_open()) return;
  end_ = open_.position + static_cast<int64_t>(open_.bytes.size());
  closed_bytes_ += static_cast<int64_t>(open_.bytes.size());
  // Memory that a proposal reserved in it stays where it is.
  closed_.push_back(std::move(open_));
  open_ = Frame();
}

std::vector<ProposalBatcher::Frame> ProposalBatcher::TakeFrames() {
  CloseFrame();
  for (Frame& frame : closed_) {
    // The log keeps frames for a while: a small one must not hold a large buffer.
    if (frame.bytes.size() * 4 >= frame.bytes.capacity() * 3) continue;
    RawBytes exact(frame.bytes.size());
    std::memcpy(exact.data(), frame.bytes.data(), exact.size());
    std::swap(exact, frame.bytes);
    exact.resize(0);
    if (exact.capacity() <= options_.soft_frame_bytes + kFrameHeaderSize) spare_ = std::move(exact);
  }
  closed_bytes_ = 0;
  return std::exchange(closed_, {});
}

}  // namespace raftmq::dledger
