#include "client/queue_choice.h"

#include <vector>

namespace raftmq::client {
namespace {

std::vector<const BrokerRoute*> Writable(const TopicRoute& route) {
  std::vector<const BrokerRoute*> brokers;
  for (const BrokerRoute& broker : route.brokers) {
    if (!broker.writable_queues.empty() && !broker.addresses.empty()) brokers.push_back(&broker);
  }
  return brokers;
}

// FNV-1a: the same in every process, as placement must be.
uint64_t StableHash(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::optional<QueueChoice::Chosen> QueueChoice::Next(const TopicRoute& route,
                                                     const std::string& avoid_broker) {
  const std::vector<const BrokerRoute*> brokers = Writable(route);
  uint32_t count = 0;
  for (const BrokerRoute* broker : brokers) count += broker->writable_queues.size();
  if (count == 0) return std::nullopt;

  absl::MutexLock lock(&mu_);
  uint32_t& turn = turns_.try_emplace(route.topic, first_turn_).first->second;
  const auto take = [&](auto&& acceptable) -> std::optional<Chosen> {
    for (uint32_t skipped = 0; skipped < count; ++skipped) {
      uint32_t place = (turn + skipped) % count;
      for (const BrokerRoute* broker : brokers) {
        const uint32_t here = broker->writable_queues.size();
        if (place >= here) {
          place -= here;
          continue;
        }
        if (!acceptable(*broker)) break;
        turn += skipped + 1;
        return Chosen{broker, broker->writable_queues[place]};
      }
    }
    return std::nullopt;
  };
  auto chosen = take([&](const BrokerRoute& broker) {
    return broker.name != avoid_broker && faults_->IsAvailable(broker.name);
  });
  if (!chosen) chosen = take([&](const BrokerRoute& b) { return b.name != avoid_broker; });
  if (!chosen) chosen = take([](const BrokerRoute&) { return true; });
  return chosen;
}

std::optional<QueueChoice::Chosen> QueueChoice::ForMessageGroup(const TopicRoute& route,
                                                                const std::string& message_group) {
  const std::vector<const BrokerRoute*> brokers = Writable(route);
  if (brokers.empty()) return std::nullopt;
  return Chosen{brokers[StableHash(message_group) % brokers.size()], std::nullopt};
}

}  // namespace raftmq::client
