// QueueChoice: which queue a message is sent to: round robin over all writable queues of all broker
// groups, away from the broker that has just failed and from those that FaultStrategy leaves alone
// (RocketMQ: TopicPublishInfo.selectOneMessageQueue). A message group always maps to one broker.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/fault_strategy.h"
#include "client/route.h"

namespace raftmq::client {

class QueueChoice {
 public:
  struct Chosen {
    const BrokerRoute* broker = nullptr;  // in the route that was given
    std::optional<int32_t> queue;         // none: the broker picks
  };

  // `first_turn`: where a topic's round robin begins; by chance, so that many producers that start
  // together do not march in step. `faults` outlives this.
  QueueChoice(const FaultStrategy* faults, uint32_t first_turn)
      : faults_(faults), first_turn_(first_turn) {}

  // `avoid_broker`: the one that the try before this went to, or "". It is taken again only if
  // there is no other. Nothing if no queue may be written.
  std::optional<Chosen> Next(const TopicRoute& route, const std::string& avoid_broker);

  // The same broker for the same group as long as the same brokers serve the topic; the broker maps
  // the group to a queue.
  static std::optional<Chosen> ForMessageGroup(const TopicRoute& route,
                                               const std::string& message_group);

 private:
  const FaultStrategy* const faults_;
  const uint32_t first_turn_;
  absl::Mutex mu_;
  std::map<std::string, uint32_t> turns_ ABSL_GUARDED_BY(mu_);  // by topic
};

}  // namespace raftmq::client
