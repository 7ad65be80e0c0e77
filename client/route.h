// Where a topic is. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/strings.h"

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

// What a client says that finds no queue of a topic which `kind`, "readable" or "writable".
inline absl::Status NoQueue(const std::string& topic, const char* kind) {
  return absl::UnavailableError(StrCat(
      "topic ", topic, " has no ", kind,
      " queue now: its brokers are down, or its permission forbids it (mqadmin topicRoute -t ",
      topic, " tells)"));
}

}  // namespace raftmq::client
