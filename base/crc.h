// The two checksums of the formats, by ISA-L (19 times faster than zlib's).
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace raftmq {

// CRC-32C (Castagnoli), as in iSCSI: initial value and final xor are all ones. `crc` continues an
// earlier result: Crc32c(b, Crc32c(a)) == Crc32c(a + b). Frames and small state files use it.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

// CRC-32 (IEEE, zlib's), continued the same way. RocketMQ masks it to 31 bits for a record's
// body; see RocketBodyCrc.
uint32_t Crc32(std::string_view bytes, uint32_t crc = 0);

// RocketMQ's UtilAll.crc32: IEEE CRC-32 & 0x7FFFFFFF.
inline uint32_t RocketBodyCrc(std::string_view body) { return Crc32(body) & 0x7FFFFFFFu; }

}  // namespace raftmq
