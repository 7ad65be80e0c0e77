// Frame: how one Raft entry lies in the log. The bytes are described in docs/formats.md.
//
// A frame is a 48-byte big-endian header with the fields of RocketMQ's DLedger entry, in its order,
// and a body. Its two CRC-32C are really computed and are checked whenever bytes arrive: from a
// peer, at recovery, by the scrub. The chain CRC covers the header and the previous frame's chain
// CRC, so a frame that is intact but belongs to another history is found too.
//
// A blank frame fills the rest of a segment in which the next frame does not fit. It is no entry
// and not part of the chain; every member writes the same one.
//
// Pure functions over bytes; any thread. Nothing here trusts its input.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/state_machine.h"
#include "raft/types.h"

namespace raftmq::dledger {

inline constexpr int32_t kFrameMagic = 0x524D5146;       // "RMQF"
inline constexpr int32_t kBlankFrameMagic = 0x524D5142;  // "RMQB"
using raft::kFrameHeaderSize;                            // 48
using raft::MaxFrameSize;  // of a segment size: header and body together

// Bounds on a group's segment size, fixed when its members are formatted.
inline constexpr int64_t kMinSegmentSize = 4 << 10;
inline constexpr int64_t kMaxSegmentSize = 1 << 30;
inline constexpr int64_t kDefaultSegmentSize = 1 << 30;

// Largest body of a frame in a log with such segments.
constexpr int32_t MaxBodySize(int64_t segment_size) {
  return static_cast<int32_t>(MaxFrameSize(segment_size)) - kFrameHeaderSize;
}

struct FrameHeader {
  int32_t size = 0;  // whole frame, header included
  LogIndex index;
  Term term;
  LogPosition position;  // of the header's first byte
  FrameType type = FrameType::kNoOp;
  uint32_t chain_crc = 0;
  uint32_t body_crc = 0;
  int32_t body_size = 0;

  LogPosition end() const { return position + size; }
  bool operator==(const FrameHeader&) const = default;
};

// What Raft is told of a frame.
raft::EntryMeta MetaOf(const FrameHeader& header);
raft::EntryType EntryTypeOf(FrameType type);

// CRC-32C over the previous frame's chain CRC (4 bytes, big-endian; 0 before the first frame of a
// log) and the header with its chain CRC set to zero; the header carries the body's CRC.
uint32_t ChainCrc(uint32_t previous_chain_crc, const FrameHeader& header);

// Writes the header's 48 bytes as they are in `header`.
void EncodeFrameHeader(const FrameHeader& header, char* out);

// Completes a frame whose body is in place: `frame` is 48 bytes to be overwritten, then the body.
// Returns the header it wrote; its chain_crc is the `previous_chain_crc` of the next.
FrameHeader SealFrame(LogIndex index, Term term, LogPosition position, FrameType type,
                      uint32_t previous_chain_crc, std::span<char> frame);

// Writes the 48 bytes of a blank frame; the rest of its `size` bytes are zeros.
// REQUIRES: size >= 48.
void EncodeBlankFrame(LogPosition position, int32_t size, char* out);

// What a reader accepts at most.
struct FrameLimits {
  int32_t max_frame_size = static_cast<int32_t>(MaxFrameSize(kMaxSegmentSize));

  static FrameLimits OfSegments(int64_t segment_size) {
    return {static_cast<int32_t>(MaxFrameSize(segment_size))};
  }
};

// Reads a header and checks what can be checked without its body: magic, sizes, signs, type.
// OutOfRange: fewer than 48 bytes; DataLoss: anything else that is wrong.
absl::StatusOr<FrameHeader> ParseFrameHeader(std::string_view bytes, const FrameLimits& limits);

// Reads the frame at the start of `bytes` and checks its body CRC too. The chain CRC is the
// caller's to check, who knows the previous one. OutOfRange: `bytes` ends before the frame does.
absl::StatusOr<FrameHeader> ParseFrame(std::string_view bytes, const FrameLimits& limits);

// Size of the blank frame at the start of `bytes`, which lies at `position`; DataLoss if there is
// none. At least its 48 bytes must be there.
absl::StatusOr<int32_t> ParseBlankFrame(std::string_view bytes, LogPosition position);

// The chain CRC in the header of the frame that starts at `frame`, unchecked.
uint32_t ChainCrcField(const char* frame);

// Checks a slice of whole frames, back to back, as a peer sends it: `expected` says what Raft was
// told of each. All of index, term, position, size, type, body CRC and chain CRC must hold.
// Returns the chain CRC of the last frame.
absl::StatusOr<uint32_t> CheckSlice(std::string_view slice,
                                    std::span<const raft::EntryMeta> expected,
                                    uint32_t previous_chain_crc, const FrameLimits& limits);

}  // namespace raftmq::dledger
