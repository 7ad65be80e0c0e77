// SubscriptionMismatchLog: tells in the log of consumer groups whose members subscribe to different
// things (RocketMQ lets the last one win, and says so). A pair is told when it is first seen and
// every ten minutes while it lasts; at most kMaxTold groups each time.
//
// Owned by the broker; on its timer loop.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/client_registry.h"

namespace raftmq::broker {

class SubscriptionMismatchLog {
 public:
  static constexpr size_t kMaxTold = 20;
  static constexpr int64_t kAgainMs = 600'000;

  // Logs the news among `mismatches`, all that there are now, and returns what it logged.
  std::vector<std::string> Tell(const std::vector<SubscriptionMismatch>& mismatches,
                                int64_t now_ms);

 private:
  struct Told {
    SubscriptionMismatch::Side one;
    SubscriptionMismatch::Side other;
    int64_t at_ms = 0;
  };
  std::map<std::string, Told> told_;  // by group; those that agree now are forgotten
};

}  // namespace raftmq::broker
