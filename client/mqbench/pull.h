// Pull: reads a topic's queues by offset, from their beginnings to their ends and again, as fast as
// it can, and tells which members answered.
//
// Run blocks; called once, from main.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "client/read_options.h"

namespace raftmq::mqbench {

struct PullOptions {
  std::string namesrv_addr;
  std::string topic;
  std::string group;  // only named: nothing is committed
  client::ReadOptions read;
  int threads = 1;      // that pull, each its own queues in turn
  int64_t count = 0;    // messages in all, about; 0: no limit
  int64_t seconds = 0;  // 0: no limit
  bool json = false;
};

struct PullResult {
  int64_t pulled = 0;
  int64_t pulls = 0;
  int64_t failed = 0;
  absl::Status first_failure;
  std::map<std::string, int64_t> by_member;  // messages, by who answered
};

// Prints what it saw at the end. Fails if it cannot start or there is nothing to read; pulls that
// fail are counted, and tried again.
absl::Status RunPull(const PullOptions& options, PullResult* result);

}  // namespace raftmq::mqbench
