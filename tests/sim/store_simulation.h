// StoreSimulation: one run of a whole group (real raft, dledger and store) with producers,
// consumers and faults, all drawn from one seed.
//
// First the faults: kills, power losses, partitions, bad links, stopped processes and disks, while
// clients send, receive, ack and nack. Then they stop; everything is restarted, must elect a
// leader, and a last consumer drains the topic. The oracle judges throughout and at the end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/log_message_store.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/store_oracle.h"

namespace raftmq::sim {

struct SimulationOptions {
  uint64_t seed = 1;
  int members = 3;
  int64_t fault_nanos = 30 * kSecond;  // simulated
  int producers = 3;
  int consumers = 3;
  bool power_loss = true;
  bool trace = false;  // tells every fault and change of leader on stderr
};

struct SimulationResult {
  std::vector<std::string> violations;  // empty: all promises were kept
  // What happened, and how often; kSimulationCounts says what each is.
  size_t acknowledged = 0;
  size_t unknown = 0;
  size_t waited = 0;
  size_t recalled = 0;
  size_t batches = 0;
  size_t repeats = 0;
  size_t consumed = 0;
  size_t redelivered = 0;
  size_t dead_lettered = 0;
  size_t redriven = 0;
  size_t bystanders_consumed = 0;
  size_t bystanders_spared = 0;
  size_t bystanders_filtered = 0;
  size_t expired = 0;
  size_t kept_delivered = 0;
  size_t classic_consumed = 0;
  size_t classic_consumed_again = 0;
  size_t hand_overs = 0;
  size_t moves = 0;
  size_t undos = 0;
  size_t fenced = 0;
  size_t lite_consumed = 0;
  size_t lite_subscriptions = 0;
  size_t over_lite_quota = 0;
  size_t lite_deleted = 0;
  size_t renewed = 0;
  size_t outlasted = 0;
  size_t not_renewed = 0;
  size_t priority_consumed = 0;
  size_t overtaken = 0;
  size_t topics_deleted = 0;
  size_t gone_unread = 0;
  size_t mortal_consumed = 0;
  size_t faults = 0;
  size_t terms = 0;
  uint64_t tasks = 0;
  uint64_t fingerprint = 0;  // equal for equal seeds
};

struct SimulationCount {
  size_t SimulationResult::*of;
  const char* what;
  // More than so many in 25 runs of 20 s, or the runs show nothing: one in which nothing ever
  // succeeds would keep every promise too.
  size_t expected = 0;
};

inline constexpr SimulationCount kSimulationCounts[] = {
    {&SimulationResult::acknowledged, "messages acknowledged", 1'000},
    {&SimulationResult::unknown, "sends of unknown outcome"},
    {&SimulationResult::batches, "batches acknowledged", 200},
    {&SimulationResult::repeats, "sends answered as repetitions", 100},
    {&SimulationResult::waited, "delayed and half messages", 1'000},
    {&SimulationResult::recalled, "of these, recalled", 100},
    {&SimulationResult::consumed, "messages consumed"},
    {&SimulationResult::redelivered, "deliveries repeated", 100},
    {&SimulationResult::dead_lettered, "dead letters", 100},
    {&SimulationResult::redriven, "dead letters sent back", 100},
    {&SimulationResult::bystanders_consumed, "given to another group of the topic", 1'000},
    {&SimulationResult::bystanders_spared, "sent back, and not for that group", 10},
    {&SimulationResult::bystanders_filtered, "left out by that group's filter", 300},
    {&SimulationResult::expired, "offsets that retention took", 1'000},
    {&SimulationResult::kept_delivered, "deliveries of messages that had expired"},
    {&SimulationResult::classic_consumed, "consumed by queue", 1'000},
    {&SimulationResult::classic_consumed_again, "of these, again"},
    {&SimulationResult::hand_overs, "queues handed over", 130},
    {&SimulationResult::moves, "moves of offsets", 35},
    {&SimulationResult::undos, "of these, undos", 6},
    {&SimulationResult::fenced, "commits from before a move, refused"},
    {&SimulationResult::lite_consumed, "consumed of lite topics", 160},
    {&SimulationResult::lite_subscriptions, "lite subscriptions", 90},
    {&SimulationResult::over_lite_quota, "of these, over the quota", 10},
    {&SimulationResult::lite_deleted, "lite topics expired", 25},
    {&SimulationResult::renewed, "leases renewed", 200},
    {&SimulationResult::outlasted, "messages acked after their first lease", 150},
    {&SimulationResult::not_renewed, "renewals refused after an ack or a nack", 80},
    {&SimulationResult::priority_consumed, "consumed by priority", 600},
    {&SimulationResult::overtaken, "of these, before an earlier one", 80},
    {&SimulationResult::topics_deleted, "topics deleted and made anew", 60},
    {&SimulationResult::gone_unread, "messages that went with their topic", 60},
    {&SimulationResult::mortal_consumed, "consumed of such a topic", 250},
    {&SimulationResult::faults, "faults"},
    {&SimulationResult::terms, "terms"},
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace raftmq::sim
