// The framing and the greeting of the peer transport. Bytes are big-endian:
//
//   magic "RMQP" u32 | kind u16 | reserved u16 = 0 | meta size u32 | body size u32 | CRC-32C u32
//   meta | body
//
// The CRC covers the 16 bytes before it and the meta. The body is slices of the log, whose frames
// carry CRCs of their own. The first frame in each direction of a connection is a greeting or a
// refusal; see tcp_transport.h for who sends what.
//
// Pure functions over bytes; any thread. Nothing here trusts its input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace raftmq::dledger {

inline constexpr uint32_t kPeerMagic = 0x524D5150;  // "RMQP"
inline constexpr size_t kPeerHeaderSize = 20;

// Raised when a message changes in a way that an older process would misread. A peer with another
// version is refused at the door.
inline constexpr uint32_t kPeerProtocolVersion = 1;

enum class PeerFrameKind : uint16_t {
  kGreeting = 1,  // meta: a Greeting
  kRefusal = 2,   // meta: why the greeting was refused, as text; the connection closes
  kMessage = 3,   // meta: a Raft message, peer_message.h; body: slices of the log
};

struct PeerWireLimits {
  uint32_t max_meta = 4u << 20;
  uint32_t max_body = 64u << 20;
};

struct PeerFrameHeader {
  PeerFrameKind kind = PeerFrameKind::kMessage;
  uint32_t meta_size = 0;
  uint32_t body_size = 0;
  uint32_t crc = 0;
};

// Header and meta of a frame, ready to be sent in front of its `body_size` bytes.
std::string EncodePeerFrame(PeerFrameKind kind, std::string_view meta, uint32_t body_size);

// Reads the 20 bytes at the start of `bytes`. InvalidArgument: not such a header, or a size above
// its limit. REQUIRES: bytes.size() >= kPeerHeaderSize.
absl::StatusOr<PeerFrameHeader> ParsePeerFrameHeader(std::string_view bytes,
                                                     const PeerWireLimits& limits);

// Whether `header_and_meta` (20 bytes and the meta) has the CRC it claims.
bool PeerFrameCrcHolds(std::string_view header_and_meta);

// Who speaks, and to whom it means to.
struct Greeting {
  uint32_t protocol_version = kPeerProtocolVersion;
  std::string cluster;
  std::string group;
  MemberId sender;
  Incarnation incarnation;           // of the sender's data directory
  MemberId receiver;                 // whom the sender takes the other end for
  Incarnation receiver_incarnation;  // 0: the sender does not know it
  uint64_t boot_id = 0;              // drawn at each start of the sender's process
  std::string client_address;        // where the sender serves clients, host:port

  bool operator==(const Greeting&) const = default;
};

std::string EncodeGreeting(const Greeting& greeting);

// The version is read first: fields of another version are not looked at.
absl::StatusOr<Greeting> ParseGreeting(std::string_view meta);

}  // namespace raftmq::dledger
