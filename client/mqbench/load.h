// Load: keeps sends under way against a topic and measures each, from the call to the answer. What
// `mqbench producer` and `mqbench echo` have in common, so that the floor is measured with the same
// client code as the broker.
//
// Run blocks; called once, from main.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "client/mqbench/histogram.h"

namespace raftmq::mqbench {

inline constexpr char kDueProperty[] = "dueMs";

struct LoadOptions {
  std::string namesrv_addr;
  std::string topic;
  // Each sends, waits for the answer, sends again: threads of their own that use the synchronous
  // calls, or with `async` the same number of sends kept under way by callbacks.
  int threads = 64;
  bool async = false;
  int size = 128;       // bytes of a body
  int64_t count = 0;    // messages in all; 0: until `seconds` are over
  int64_t seconds = 0;  // 0: until `count` are sent
  int batch = 1;        // messages in one call
  int64_t report_seconds = 10;
  int64_t timeout_ms = 3'000;
  // Delayed messages, all due within the one second that begins so long after the start; 0: none is
  // delayed. Each says when it is due in its property kDueProperty.
  int64_t due_in_seconds = 0;
  std::string ack_level;  // one of client::kAckLevelNames; "": the topic's
  bool json = false;
  std::string title;
};

struct LoadResult {
  int64_t sent = 0;
  int64_t failed = 0;
  double seconds = 0;
  Histogram micros;  // one value for each call
  absl::Status first_failure;
};

// Waits up to 10 s until the topic's route can be had. Fails only if it cannot start; failed sends
// are counted.
absl::Status RunLoad(const LoadOptions& options, LoadResult* result);

// One line of figures under a heading, or a JSON object.
void PrintResult(const LoadOptions& options, const LoadResult& result);

}  // namespace raftmq::mqbench
