#include "dledger/peer_wire.h"

#include "base/byte_reader.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::dledger {
namespace {

constexpr size_t kCrcOffset = 16;
constexpr size_t kMaxText = 4096;

uint32_t FrameCrc(std::string_view header_and_meta) {
  const uint32_t crc = Crc32c(header_and_meta.substr(0, kCrcOffset));
  return Crc32c(header_and_meta.substr(kPeerHeaderSize), crc);
}

void AppendText(std::string* out, std::string_view text) {
  AppendBe<uint16_t>(out, static_cast<uint16_t>(text.size()));
  out->append(text);
}

absl::Status BadGreeting(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("malformed greeting: ", what));
}

}  // namespace

std::string EncodePeerFrame(PeerFrameKind kind, std::string_view meta, uint32_t body_size) {
  std::string out;
  out.reserve(kPeerHeaderSize + meta.size());
  AppendBe<uint32_t>(&out, kPeerMagic);
  AppendBe<uint16_t>(&out, static_cast<uint16_t>(kind));
  AppendBe<uint16_t>(&out, 0);
  AppendBe<uint32_t>(&out, static_cast<uint32_t>(meta.size()));
  AppendBe<uint32_t>(&out, body_size);
  AppendBe<uint32_t>(&out, 0);
  out.append(meta);
  StoreBe<uint32_t>(out.data() + kCrcOffset, FrameCrc(out));
  return out;
}

absl::StatusOr<PeerFrameHeader> ParsePeerFrameHeader(std::string_view bytes,
                                                     const PeerWireLimits& limits) {
  const char* p = bytes.data();
  if (LoadBe<uint32_t>(p) != kPeerMagic) {
    return absl::InvalidArgumentError(
        "not the RaftMQ peer protocol (wrong magic number): only members of the group may connect "
        "to the peer port");
  }
  const uint16_t kind = LoadBe<uint16_t>(p + 4);
  if (kind < static_cast<uint16_t>(PeerFrameKind::kGreeting) ||
      kind > static_cast<uint16_t>(PeerFrameKind::kMessage) || LoadBe<uint16_t>(p + 6) != 0) {
    return absl::InvalidArgumentError(StrCat("unknown kind of peer frame: ", kind));
  }
  PeerFrameHeader header;
  header.kind = static_cast<PeerFrameKind>(kind);
  header.meta_size = LoadBe<uint32_t>(p + 8);
  header.body_size = LoadBe<uint32_t>(p + 12);
  header.crc = LoadBe<uint32_t>(p + kCrcOffset);
  if (header.meta_size > limits.max_meta || header.body_size > limits.max_body) {
    return absl::InvalidArgumentError(StrCat("peer frame of ", header.meta_size, " + ",
                                             header.body_size, " bytes; at most ", limits.max_meta,
                                             " + ", limits.max_body, " are accepted"));
  }
  return header;
}

bool PeerFrameCrcHolds(std::string_view header_and_meta) {
  return LoadBe<uint32_t>(header_and_meta.data() + kCrcOffset) == FrameCrc(header_and_meta);
}

std::string EncodeGreeting(const Greeting& greeting) {
  std::string out;
  AppendBe<uint32_t>(&out, greeting.protocol_version);
  AppendText(&out, greeting.cluster);
  AppendText(&out, greeting.group);
  AppendBe<int32_t>(&out, greeting.sender.value());
  AppendBe<uint64_t>(&out, greeting.incarnation.value());
  AppendBe<int32_t>(&out, greeting.receiver.value());
  AppendBe<uint64_t>(&out, greeting.receiver_incarnation.value());
  AppendBe<uint64_t>(&out, greeting.boot_id);
  AppendText(&out, greeting.client_address);
  return out;
}

absl::StatusOr<Greeting> ParseGreeting(std::string_view meta) {
  ByteReader reader(meta);
  Greeting greeting;
  greeting.protocol_version = reader.Read<uint32_t>();
  if (!reader.ok()) return BadGreeting("it ends within the protocol version");
  if (greeting.protocol_version != kPeerProtocolVersion) {
    return absl::InvalidArgumentError(StrCat("the peer speaks version ", greeting.protocol_version,
                                             " of the peer protocol, this process version ",
                                             kPeerProtocolVersion));
  }
  greeting.cluster = reader.ReadText<uint16_t>(kMaxText);
  greeting.group = reader.ReadText<uint16_t>(kMaxText);
  greeting.sender = MemberId(reader.Read<int32_t>());
  greeting.incarnation = Incarnation(reader.Read<uint64_t>());
  greeting.receiver = MemberId(reader.Read<int32_t>());
  greeting.receiver_incarnation = Incarnation(reader.Read<uint64_t>());
  greeting.boot_id = reader.Read<uint64_t>();
  greeting.client_address = reader.ReadText<uint16_t>(kMaxText);
  if (!reader.ok()) return BadGreeting("it ends early, or a text is too long");
  if (!reader.at_end()) return BadGreeting("bytes follow it");
  return greeting;
}

}  // namespace raftmq::dledger
