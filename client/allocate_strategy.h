// How the queues of a topic are shared by the members of a group (RocketMQ:
// AllocateMessageQueueStrategy and its implementations). Every member runs the same strategy over
// the same queues and members, and so finds its own share.
//
// Immutable; any thread.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/message.h"

namespace raftmq::client {

class AllocateMessageQueueStrategy {
 public:
  virtual ~AllocateMessageQueueStrategy() = default;

  // RocketMQ's name for it: "AVG", "AVG_BY_CIRCLE", …
  virtual std::string name() const = 0;

  // What `current`, one of `members`, gets of `queues`. Both are sorted, the members by client id,
  // and nothing is in them twice.
  virtual std::vector<MessageQueue> Allocate(const std::string& current,
                                             const std::vector<MessageQueue>& queues,
                                             const std::vector<std::string>& members) const = 0;
};

using AllocateStrategy = std::shared_ptr<const AllocateMessageQueueStrategy>;

// Neighbouring queues, as many for each; the first members get one more. The default.
AllocateStrategy AllocateMessageQueueAveragely();

// In turn, one after the other.
AllocateStrategy AllocateMessageQueueAveragelyByCircle();

// By hash: when a member comes or goes, few queues change their owner.
AllocateStrategy AllocateMessageQueueConsistentHash(int virtual_nodes = 10);

// These, whoever else is there. Whoever configures it sees to it that every queue has one owner.
AllocateStrategy AllocateMessageQueueByConfig(std::vector<MessageQueue> queues);

// Those in one of these rooms, averagely. The room of a queue is what comes before '@' in the name
// of its broker.
AllocateStrategy AllocateMessageQueueByMachineRoom(std::set<std::string> consumer_rooms);

// In each room its queues are shared by the members in the same room, by the inner strategy; queues
// in a room without a member by all.
struct MachineRoomResolver {
  std::function<std::string(const MessageQueue&)> broker_deploy_in;
  std::function<std::string(const std::string& client_id)> consumer_deploy_in;
};
AllocateStrategy AllocateMachineRoomNearby(AllocateStrategy inner, MachineRoomResolver resolver);

}  // namespace raftmq::client
