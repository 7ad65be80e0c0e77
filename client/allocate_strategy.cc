#include "client/allocate_strategy.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace raftmq::client {
namespace {

using Queues = std::vector<MessageQueue>;
using Members = std::vector<std::string>;

std::optional<size_t> IndexOf(const std::string& current, const Members& members) {
  const auto it = std::find(members.begin(), members.end(), current);
  if (it == members.end()) return std::nullopt;
  return static_cast<size_t>(it - members.begin());
}

class Averagely final : public AllocateMessageQueueStrategy {
 public:
  std::string name() const override { return "AVG"; }
  Queues Allocate(const std::string& current, const Queues& queues,
                  const Members& members) const override {
    const auto index = IndexOf(current, members);
    if (!index.has_value()) return {};
    const size_t each = queues.size() / members.size();
    const size_t more = queues.size() % members.size();  // so many members have one more
    const size_t begin = *index * each + std::min(*index, more);
    const size_t end = begin + each + (*index < more ? 1 : 0);
    return {queues.begin() + static_cast<int64_t>(begin),
            queues.begin() + static_cast<int64_t>(end)};
  }
};

class ByCircle final : public AllocateMessageQueueStrategy {
 public:
  std::string name() const override { return "AVG_BY_CIRCLE"; }
  Queues Allocate(const std::string& current, const Queues& queues,
                  const Members& members) const override {
    const auto index = IndexOf(current, members);
    Queues mine;
    if (!index.has_value()) return mine;
    for (size_t i = *index; i < queues.size(); i += members.size()) mine.push_back(queues[i]);
    return mine;
  }
};

// FNV-1a 64, mixed: the same in every process.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

class ConsistentHash final : public AllocateMessageQueueStrategy {
 public:
  explicit ConsistentHash(int virtual_nodes) : virtual_nodes_(std::max(virtual_nodes, 1)) {}
  std::string name() const override { return "CONSISTENT_HASH"; }
  Queues Allocate(const std::string& current, const Queues& queues,
                  const Members& members) const override {
    Queues mine;
    if (!IndexOf(current, members).has_value()) return mine;
    std::map<uint64_t, const std::string*> ring;
    for (const std::string& member : members) {
      // Of two at one place the first stays, everywhere: members are sorted.
      for (int i = 0; i < virtual_nodes_; ++i)
        ring.emplace(HashOf(StrCat(member, "-", i)), &member);
    }
    for (const MessageQueue& queue : queues) {
      auto owner =
          ring.lower_bound(HashOf(StrCat(queue.topic, "#", queue.broker_name, "#", queue.queue)));
      if (owner == ring.end()) owner = ring.begin();
      if (*owner->second == current) mine.push_back(queue);
    }
    return mine;
  }

 private:
  const int virtual_nodes_;
};

class ByConfig final : public AllocateMessageQueueStrategy {
 public:
  explicit ByConfig(Queues queues) : configured_(std::move(queues)) {}
  std::string name() const override { return "CONFIG"; }
  Queues Allocate(const std::string&, const Queues& queues, const Members&) const override {
    Queues mine;
    for (const MessageQueue& queue : queues) {
      if (std::find(configured_.begin(), configured_.end(), queue) != configured_.end()) {
        mine.push_back(queue);
      }
    }
    return mine;
  }

 private:
  const Queues configured_;
};

class ByMachineRoom final : public AllocateMessageQueueStrategy {
 public:
  explicit ByMachineRoom(std::set<std::string> rooms) : rooms_(std::move(rooms)) {}
  std::string name() const override { return "MACHINE_ROOM"; }
  Queues Allocate(const std::string& current, const Queues& queues,
                  const Members& members) const override {
    Queues here;
    for (const MessageQueue& queue : queues) {
      const size_t at = queue.broker_name.find('@');
      if (at != std::string::npos && rooms_.count(queue.broker_name.substr(0, at)) != 0) {
        here.push_back(queue);
      }
    }
    return Averagely().Allocate(current, here, members);
  }

 private:
  const std::set<std::string> rooms_;
};

class MachineRoomNearby final : public AllocateMessageQueueStrategy {
 public:
  MachineRoomNearby(AllocateStrategy inner, MachineRoomResolver resolver)
      : inner_(std::move(inner)), resolver_(std::move(resolver)) {}
  std::string name() const override { return StrCat("MACHINE_ROOM_NEARBY-", inner_->name()); }
  Queues Allocate(const std::string& current, const Queues& queues,
                  const Members& members) const override {
    if (!IndexOf(current, members).has_value()) return {};
    std::map<std::string, Members> members_in;
    for (const std::string& member : members) {
      members_in[resolver_.consumer_deploy_in(member)].push_back(member);
    }
    std::map<std::string, Queues> queues_in;
    for (const MessageQueue& queue : queues) {
      queues_in[resolver_.broker_deploy_in(queue)].push_back(queue);
    }
    const std::string here = resolver_.consumer_deploy_in(current);
    Queues mine;
    for (const auto& [room, there] : queues_in) {
      const auto neighbours = members_in.find(room);
      if (neighbours != members_in.end() && room != here) continue;
      const Queues some = inner_->Allocate(
          current, there, neighbours == members_in.end() ? members : neighbours->second);
      mine.insert(mine.end(), some.begin(), some.end());
    }
    return mine;
  }

 private:
  const AllocateStrategy inner_;
  const MachineRoomResolver resolver_;
};

}  // namespace

AllocateStrategy AllocateMessageQueueAveragely() { return std::make_shared<Averagely>(); }

AllocateStrategy AllocateMessageQueueAveragelyByCircle() { return std::make_shared<ByCircle>(); }

AllocateStrategy AllocateMessageQueueConsistentHash(int virtual_nodes) {
  return std::make_shared<ConsistentHash>(virtual_nodes);
}

AllocateStrategy AllocateMessageQueueByConfig(std::vector<MessageQueue> queues) {
  return std::make_shared<ByConfig>(std::move(queues));
}

AllocateStrategy AllocateMessageQueueByMachineRoom(std::set<std::string> consumer_rooms) {
  return std::make_shared<ByMachineRoom>(std::move(consumer_rooms));
}

AllocateStrategy AllocateMachineRoomNearby(AllocateStrategy inner, MachineRoomResolver resolver) {
  return std::make_shared<MachineRoomNearby>(std::move(inner), std::move(resolver));
}

}  // namespace raftmq::client
