// StoreGauges: how a store is now, as its applied state has it, for metrics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/applied_state.h"
#include "store/model.h"

namespace raftmq::store {

struct StoreGauges {
  struct Topic {
    std::string name;
    TopicType type = TopicType::kNormal;
    int64_t messages_in = 0;  // ever stored in it
  };
  struct Backlog {
    std::string group;
    std::string topic;
    int64_t lag = 0;       // stored and not acked
    int64_t inflight = 0;  // of those, leased to somebody
  };
  // By name, lite topics left out. The first `max_rows` of each kind; `rows_left_out` others.
  std::vector<Topic> topics;
  std::vector<Backlog> backlogs;
  int64_t rows_left_out = 0;

  int64_t topic_count = 0;  // without lite topics
  int64_t lite_topic_count = 0;
  int64_t group_count = 0;
  int64_t timers = 0;
  std::optional<int64_t> earliest_timer_ms;
  int64_t open_transactions = 0;
};

// Any thread. Takes the state's lock anew for each topic and group, so that the apply thread does
// not wait long: rows are of slightly different times.
StoreGauges ReadStoreGauges(const AppliedState& applied, size_t max_rows);

}  // namespace raftmq::store
