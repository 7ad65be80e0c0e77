// Consume: receives and acks a topic's messages as fast as it can, and measures how long each was
// on its way, from the producer's clock to this one's: from its birth, or a delayed message of
// `mqbench producer --due-in` from when it was due.
//
// Run blocks; called once, from main.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace raftmq::mqbench {

struct ConsumeOptions {
  std::string namesrv_addr;
  std::string topic;
  std::string group;
  int threads = 1;      // receivers
  int64_t work_us = 0;  // what the work on one message takes, before it is acked
  int64_t count = 0;    // messages in all; 0: no limit
  int64_t seconds = 0;  // 0: no limit
  int64_t idle_seconds = 10;
  int64_t report_seconds = 10;
  bool json = false;
};

struct ConsumeResult {
  int64_t consumed = 0;
  int64_t failed = 0;  // receives and acks that failed
  int64_t early = 0;   // came before they were due
  absl::Status first_failure;
};

// Prints a line each report_seconds and at the end. Fails if it cannot start or there is no such
// topic; other failures are counted, and tried again.
absl::Status RunConsume(const ConsumeOptions& options, ConsumeResult* result);

}  // namespace raftmq::mqbench
