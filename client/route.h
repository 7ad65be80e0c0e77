// Where a topic is. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace raftmq::client {

struct BrokerRoute {
  std::string name;
  std::vector<std::string> addresses;  // the leader's first, or all members' while there is none
  std::vector<int32_t> readable_queues;
  std::vector<int32_t> writable_queues;
};

struct TopicRoute {
  std::string topic;
  std::vector<BrokerRoute> brokers;  // by name

  // Null if the topic is not there.
  const BrokerRoute* Find(const std::string& broker_name) const {
    for (const BrokerRoute& broker : brokers) {
      if (broker.name == broker_name) return &broker;
    }
    return nullptr;
  }
};

}  // namespace raftmq::client
