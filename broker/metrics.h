// Metrics: what a member tells Prometheus, as text in its exposition format. Names are RocketMQ's
// where it has the same; docs/metrics.md lists all.
//
// Text may be called on any thread, by one at a time; it reads the store's applied state, and the
// half messages that it has not seen before from the disk. All that it is given outlives it.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "broker/client_registry.h"
#include "dledger/ledger.h"
#include "store/retention.h"
#include "store/store_counters.h"
#include "store/store_gauges.h"
#include "store/waiting_messages.h"

namespace raftmq::broker {

struct MetricsDeps {
  const store::StoreCounters* counters = nullptr;
  std::function<store::StoreGauges(size_t max_rows)> read_gauges;
  const store::WaitingMessages* waiting = nullptr;
  const store::Retention* retention = nullptr;
  const dledger::Ledger* ledger = nullptr;
  std::function<std::map<ClientRegistry::Kind, int64_t>()> count_clients;
  std::function<size_t()> connections;  // of the client port
  Clock* clock = nullptr;
};

class Metrics {
 public:
  struct Options {
    std::string cluster;
    std::string node_id;
    // Topics, pairs of group and topic, and groups of connected consumers that have rows of their
    // own.
    size_t max_rows = 1'000;
    // Half messages whose topics are looked up.
    size_t max_half_messages = 1'000;
  };

  Metrics(Options options, MetricsDeps deps);

  std::string Text();

 private:
  std::map<std::string, int64_t> HalfMessagesByTopic(int64_t open);

  const Options options_;
  const MetricsDeps deps_;
  std::map<LogPosition, std::string> half_topics_;  // of the last Text
};

}  // namespace raftmq::broker
