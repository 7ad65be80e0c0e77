// What a member process of the log bench does: it keeps a replica running, and while it leads it
// loads it as it is told.
//
// The parent talks to each member over a pair of sockets, one packet for each order and answer.
#pragma once

#include <cstdint>
#include <string>

namespace raftmq::bench {

struct LogOrder {
  enum class Kind : int32_t {
    kStatus,  // is this member serving?
    kUsage,   // how much processor time has it had?
    kLoad,    // propose as described; answered at the end
  };
  Kind kind = Kind::kStatus;
  int32_t outstanding = 1;  // proposals under way at once
  int32_t records = 1;      // in each proposal
  int32_t record_size = 1024;
  int64_t millis = 1'000;  // for how long
};

struct LogAnswer {
  bool serving = false;
  int64_t cpu_nanos = 0;  // user and system, all threads, since the process began
  int64_t log_end = 0;    // position
  // Of kLoad.
  int64_t records = 0;  // acknowledged from a majority's disks
  int64_t failed = 0;
  int64_t nanos = 0;  // that it really took
  int64_t p50_us = 0;
  int64_t p99_us = 0;
  int64_t max_us = 0;
};

// Runs until the other end of `socket` closes; the process's exit code. `dir`: formatted and
// bootstrapped.
int RunLogMember(const std::string& dir, const std::string& peer_address, int socket);

}  // namespace raftmq::bench
