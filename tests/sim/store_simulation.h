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
  size_t acknowledged = 0;
  size_t unknown = 0;
  size_t waited = 0;   // delayed and half messages that were acknowledged
  size_t repeats = 0;  // sends that were answered as repetitions of one before
  size_t consumed = 0;
  size_t redelivered = 0;
  size_t dead_lettered = 0;
  size_t redriven = 0;
  size_t bystanders_consumed = 0;     // by another group of the topic
  size_t bystanders_spared = 0;       // sent back, there at the end, and not for it
  size_t expired = 0;                 // offsets that retention took
  size_t kept_delivered = 0;          // deliveries of messages that had expired
  size_t classic_consumed = 0;        // by the group of the classic queue model
  size_t classic_consumed_again = 0;  // which it consumed before
  size_t hand_overs = 0;              // of queues, from owner to owner
  size_t moves = 0;                   // of offsets, by an operator
  size_t undos = 0;                   // of those
  size_t fenced = 0;                  // commits from before a move that were refused
  size_t lite_consumed = 0;           // messages of lite topics
  size_t lite_subscriptions = 0;      // changes of them
  size_t over_lite_quota = 0;         // those that were refused
  size_t lite_deleted = 0;            // lite topics that expired
  size_t renewed = 0;                 // leases, by the members that gave them out
  size_t outlasted = 0;               // messages acked after the end of their first lease
  size_t not_renewed = 0;             // renewals refused after an ack or a nack
  size_t priority_consumed = 0;       // messages with a priority
  size_t overtaken = 0;               // times that one came before what was sent earlier
  int faults = 0;
  int64_t terms = 0;
  uint64_t tasks = 0;
  uint64_t fingerprint = 0;  // equal for equal seeds
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace raftmq::sim
