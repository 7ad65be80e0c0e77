// Times on the command line.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace raftmq::mqadmin {

// Milliseconds since 1970 of "now" (which is `now_ms`), of milliseconds, or of RocketMQ's
// "2026-11-27#10:30:00:000", in UTC, as tables show times.
absl::StatusOr<int64_t> ParseTime(std::string_view text, int64_t now_ms);

}  // namespace raftmq::mqadmin
