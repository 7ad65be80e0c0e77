// Processor time of the calling process. Any thread.
#pragma once

#include <cstdint>

namespace raftmq::bench {

// User and system time of all its threads since it began.
int64_t OwnCpuNanos();

}  // namespace raftmq::bench
