#include "dledger/frame.h"

#include <cstring>

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::dledger {
namespace {

// Offsets of the header's fields.
constexpr int kMagicAt = 0;
constexpr int kSizeAt = 4;
constexpr int kIndexAt = 8;
constexpr int kTermAt = 16;
constexpr int kPositionAt = 24;
constexpr int kChannelAt = 32;
constexpr int kChainCrcAt = 36;
constexpr int kBodyCrcAt = 40;
constexpr int kBodySizeAt = 44;
static_assert(kBodySizeAt + 4 == kFrameHeaderSize);

absl::Status Bad(LogPosition position, std::string_view what, int64_t expected, int64_t found) {
  return absl::DataLossError(StrCat("frame that claims position ", position, ": ", what,
                                    ": expected ", expected, ", found ", found));
}

bool KnownType(int32_t channel) {
  return channel >= 0 && channel <= static_cast<int32_t>(FrameType::kConfiguration);
}

}  // namespace

raft::EntryType EntryTypeOf(FrameType type) {
  switch (type) {
    case FrameType::kNoOp:
      return raft::EntryType::kNoOp;
    case FrameType::kRecords:
    case FrameType::kCommands:
      return raft::EntryType::kNormal;
    case FrameType::kConfiguration:
      return raft::EntryType::kConfiguration;
  }
  return raft::EntryType::kNormal;
}

raft::EntryMeta MetaOf(const FrameHeader& header) {
  return {.index = header.index,
          .term = header.term,
          .type = EntryTypeOf(header.type),
          .position = header.position,
          .size = header.size};
}

void EncodeFrameHeader(const FrameHeader& header, char* out) {
  StoreBe<int32_t>(out + kMagicAt, kFrameMagic);
  StoreBe<int32_t>(out + kSizeAt, header.size);
  StoreBe<int64_t>(out + kIndexAt, header.index.value());
  StoreBe<int64_t>(out + kTermAt, header.term.value());
  StoreBe<int64_t>(out + kPositionAt, header.position.value());
  StoreBe<int32_t>(out + kChannelAt, static_cast<int32_t>(header.type));
  StoreBe<uint32_t>(out + kChainCrcAt, header.chain_crc);
  StoreBe<uint32_t>(out + kBodyCrcAt, header.body_crc);
  StoreBe<int32_t>(out + kBodySizeAt, header.body_size);
}

uint32_t ChainCrc(uint32_t previous_chain_crc, const FrameHeader& header) {
  char bytes[4 + kFrameHeaderSize];
  StoreBe<uint32_t>(bytes, previous_chain_crc);
  EncodeFrameHeader(header, bytes + 4);
  StoreBe<uint32_t>(bytes + 4 + kChainCrcAt, 0);
  return Crc32c({bytes, sizeof(bytes)});
}

FrameHeader SealFrame(LogIndex index, Term term, LogPosition position, FrameType type,
                      uint32_t previous_chain_crc, std::span<char> frame) {
  FrameHeader header;
  header.size = static_cast<int32_t>(frame.size());
  header.index = index;
  header.term = term;
  header.position = position;
  header.type = type;
  header.body_size = header.size - kFrameHeaderSize;
  header.body_crc =
      Crc32c({frame.data() + kFrameHeaderSize, static_cast<size_t>(header.body_size)});
  header.chain_crc = ChainCrc(previous_chain_crc, header);
  EncodeFrameHeader(header, frame.data());
  return header;
}

void EncodeBlankFrame(LogPosition position, int32_t size, char* out) {
  std::memset(out, 0, kFrameHeaderSize);
  StoreBe<int32_t>(out + kMagicAt, kBlankFrameMagic);
  StoreBe<int32_t>(out + kSizeAt, size);
  StoreBe<int64_t>(out + kPositionAt, position.value());
  StoreBe<uint32_t>(out + kChainCrcAt, Crc32c({out, kFrameHeaderSize}));
}

absl::StatusOr<int32_t> ParseBlankFrame(std::string_view bytes, LogPosition position) {
  if (bytes.size() < kFrameHeaderSize) {
    return absl::OutOfRangeError(
        StrCat("blank frame at ", position, ": only ", bytes.size(), " bytes are there"));
  }
  const int32_t size = LoadBe<int32_t>(bytes.data() + kSizeAt);
  if (size < kFrameHeaderSize) return Bad(position, "size of a blank", kFrameHeaderSize, size);
  char expected[kFrameHeaderSize];
  EncodeBlankFrame(position, size, expected);
  if (std::memcmp(bytes.data(), expected, kFrameHeaderSize) != 0) {
    return absl::DataLossError(StrCat("position ", position, ": no blank frame"));
  }
  return size;
}

absl::StatusOr<FrameHeader> ParseFrameHeader(std::string_view bytes, const FrameLimits& limits) {
  if (bytes.size() < kFrameHeaderSize) {
    return absl::OutOfRangeError(StrCat("frame header: expected 48 bytes, found ", bytes.size()));
  }
  const char* p = bytes.data();
  FrameHeader header;
  header.size = LoadBe<int32_t>(p + kSizeAt);
  header.index = LogIndex(LoadBe<int64_t>(p + kIndexAt));
  header.term = Term(LoadBe<int64_t>(p + kTermAt));
  header.position = LogPosition(LoadBe<int64_t>(p + kPositionAt));
  const int32_t channel = LoadBe<int32_t>(p + kChannelAt);
  header.chain_crc = LoadBe<uint32_t>(p + kChainCrcAt);
  header.body_crc = LoadBe<uint32_t>(p + kBodyCrcAt);
  header.body_size = LoadBe<int32_t>(p + kBodySizeAt);

  const int32_t magic = LoadBe<int32_t>(p + kMagicAt);
  if (magic != kFrameMagic) return Bad(header.position, "magic", kFrameMagic, magic);
  if (header.size < kFrameHeaderSize || header.size > limits.max_frame_size) {
    return Bad(header.position, "size within limits", limits.max_frame_size, header.size);
  }
  if (header.body_size != header.size - kFrameHeaderSize) {
    return Bad(header.position, "body size", header.size - kFrameHeaderSize, header.body_size);
  }
  if (header.index < LogIndex(1)) return Bad(header.position, "index", 1, header.index.value());
  if (header.term < Term(1) || header.term > raft::kMaxTerm) {
    return Bad(header.position, "term", 1, header.term.value());
  }
  // The upper bound keeps position + size from overflowing.
  if (header.position < LogPosition(0) || header.position > LogPosition(INT64_MAX / 2)) {
    return Bad(header.position, "position", 0, header.position.value());
  }
  if (!KnownType(channel)) return Bad(header.position, "channel 0..3", 0, channel);
  header.type = static_cast<FrameType>(channel);
  return header;
}

absl::StatusOr<FrameHeader> ParseFrame(std::string_view bytes, const FrameLimits& limits) {
  RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, ParseFrameHeader(bytes, limits));
  if (bytes.size() < static_cast<size_t>(header.size)) {
    return absl::OutOfRangeError(StrCat("frame ", header.index, " at ", header.position,
                                        ": expected ", header.size, " bytes, found ",
                                        bytes.size()));
  }
  const uint32_t crc = Crc32c(bytes.substr(kFrameHeaderSize, header.body_size));
  if (crc != header.body_crc) return Bad(header.position, "body CRC", header.body_crc, crc);
  return header;
}

uint32_t ChainCrcField(const char* frame) { return LoadBe<uint32_t>(frame + kChainCrcAt); }

absl::StatusOr<uint32_t> CheckSlice(std::string_view slice,
                                    std::span<const raft::EntryMeta> expected,
                                    uint32_t previous_chain_crc, const FrameLimits& limits) {
  uint32_t chain = previous_chain_crc;
  for (const raft::EntryMeta& meta : expected) {
    RAFTMQ_ASSIGN_OR_RETURN(const FrameHeader header, ParseFrame(slice, limits));
    if (MetaOf(header) != meta) {
      return absl::DataLossError(StrCat("slice: expected entry ", raft::ToString(meta), ", found ",
                                        raft::ToString(MetaOf(header))));
    }
    chain = ChainCrc(chain, header);
    if (chain != header.chain_crc) {
      return Bad(header.position, "chain CRC", chain, header.chain_crc);
    }
    slice.remove_prefix(header.size);
  }
  if (!slice.empty()) {
    return absl::DataLossError(
        StrCat("slice of ", expected.size(), " entries: ", slice.size(), " bytes too many"));
  }
  return chain;
}

}  // namespace raftmq::dledger
