// Bodies as the public protocol's encoding GZIP has them (RFC 1952). Every official client reads
// what GzipCompress makes; GzipDecompress also reads zlib's own format (RFC 1950), which RocketMQ's
// classic clients and the official C++ client send under that name.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace raftmq {

// `level`: 1, fast, to 9, small. The same bytes for the same input.
std::string GzipCompress(std::string_view body, int level);

// InvalidArgument: not compressed in either format, cut short, or more than `max_bytes` come out.
absl::StatusOr<std::string> GzipDecompress(std::string_view compressed, int64_t max_bytes);

}  // namespace raftmq
