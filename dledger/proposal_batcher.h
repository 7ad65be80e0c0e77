// ProposalBatcher: turns what proposals write into frames.
//
// Consecutive records share a frame of records, consecutive commands one of commands, up to a soft
// limit; a frame that would no longer fit into its segment is closed and the next one opened at the
// next segment's start, by the same rule that raft::PlaceFrame states. So each record's position is
// known while it is being written. Frames leave in TakeFrames with their headers still to be
// sealed.
//
// A proposal that is refused leaves no trace: what it wrote is rolled back.
//
// Replica thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "dledger/state_machine.h"

namespace raftmq::dledger {

class ProposalBatcher final : public ProposalWriter {
 public:
  struct Options {
    int64_t segment_size = 0;
    // A frame that has reached this is closed; one record or command may be larger.
    size_t soft_frame_bytes = 64 << 10;
    // Says whether frames of `bytes` in sum can be appended to the log now.
    absl::AnyInvocable<absl::Status(int64_t bytes)> has_room;
  };

  // A frame whose body is complete; the 48 bytes in front of it are not.
  struct Frame {
    FrameType type = FrameType::kRecords;
    LogPosition position;
    RawBytes bytes;
    bool ack_in_memory = false;  // somebody waits for a majority's memory
  };

  explicit ProposalBatcher(Options options);

  // The next frame goes after `end`. REQUIRES: no frames are held.
  void StartAt(LogPosition end);

  // What is written from here on belongs to one proposal.
  void BeginProposal(AckLevel level);
  // It stands. Returns the number, from 0, of the frame (of those held) with its last write;
  // nothing if it wrote nothing.
  std::optional<size_t> KeepProposal();
  // It never was.
  void DropProposal();

  // Bytes of all frames held, headers included.
  int64_t held_bytes() const { return closed_bytes_ + static_cast<int64_t>(open_.bytes.size()); }

  size_t held_frames() const { return closed_.size() + (has_open() ? 1 : 0); }

  // All frames, in order; the open one is closed.
  std::vector<Frame> TakeFrames();

  absl::StatusOr<Reservation> ReserveRecord(size_t size) override;
  absl::StatusOr<std::vector<Reservation>> ReserveRecords(
      const std::vector<size_t>& sizes) override;
  absl::Status AppendCommand(std::string_view command) override;

 private:
  bool has_open() const { return !open_.bytes.empty(); }
  // Makes room for `size` body bytes in a frame of `type`; returns where they start in open_.bytes.
  absl::StatusOr<size_t> Extend(FrameType type, size_t size);
  bool FitsOpenFrame(FrameType type, size_t size) const;
  void OpenFrame(FrameType type, size_t size);
  void CloseFrame();

  Options options_;
  LogPosition end_;  // of the last closed frame
  std::vector<Frame> closed_;
  int64_t closed_bytes_ = 0;
  Frame open_;
  size_t open_capacity_ = 0;  // its bytes are never moved while it grows
  RawBytes spare_;            // a buffer to build the next frame in

  // The present proposal, and what to go back to.
  AckLevel level_ = AckLevel::kMajorityDisk;
  bool wrote_ = false;
  size_t saved_closed_ = 0;
  size_t saved_open_size_ = 0;
  size_t saved_open_capacity_ = 0;
  bool saved_open_ack_ = false;
  LogPosition saved_end_;
};

}  // namespace raftmq::dledger
