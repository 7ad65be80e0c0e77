#include "broker/group_members.h"

#include <set>
#include <utility>

namespace raftmq::broker {
namespace {

absl::Status NotLeader() {
  return absl::UnavailableError("this member does not lead: ask the next");
}

}  // namespace

void GroupMembers::SetLeading(bool leading) {
  absl::MutexLock lock(&mutex_);
  if (leading == leading_) return;
  leading_ = leading;
  leads_since_ms_ = clock_->MonotonicMillis();
  if (leading) return;
  for (auto& [name, group] : groups_) {
    for (auto& [id, watch] : group.watches) watch.watcher->End(NotLeader());
  }
  groups_.clear();
  group_of_.clear();
}

GroupMembers::WatchId GroupMembers::Watch(const std::string& name, const std::string& client_id,
                                          std::unique_ptr<Watcher> watcher) {
  absl::MutexLock lock(&mutex_);
  if (!leading_) {
    watcher->End(NotLeader());
    return 0;
  }
  Group& group = groups_[name];
  group.left_ms.erase(client_id);
  for (auto it = group.watches.begin(); it != group.watches.end(); ++it) {
    if (it->second.client_id != client_id) continue;
    it->second.watcher->End(absl::CancelledError("the client watches anew"));
    group_of_.erase(it->first);
    group.watches.erase(it);
    break;
  }
  const WatchId id = next_id_++;
  Watching& watch = group.watches[id];
  watch.client_id = client_id;
  watch.watcher = std::move(watcher);
  group_of_.emplace(id, name);
  TellAll(name, &group);
  return id;
}

bool GroupMembers::Unwatch(WatchId id) {
  absl::MutexLock lock(&mutex_);
  const auto name = group_of_.find(id);
  if (name == group_of_.end()) return false;
  Group& group = groups_[name->second];
  const auto watch = group.watches.find(id);
  group.left_ms[watch->second.client_id] = clock_->MonotonicMillis();
  group.watches.erase(watch);
  group_of_.erase(name);
  return true;
}

void GroupMembers::Tick() {
  absl::MutexLock lock(&mutex_);
  const int64_t now_ms = clock_->MonotonicMillis();
  for (auto it = groups_.begin(); it != groups_.end();) {
    Group& group = it->second;
    std::erase_if(group.left_ms, [&](const auto& left) {
      return now_ms - left.second >= options_.grace_ms || !clients_->IsAlive(left.first);
    });
    TellAll(it->first, &group);
    it = group.watches.empty() && group.left_ms.empty() ? groups_.erase(it) : std::next(it);
  }
}

std::vector<std::string> GroupMembers::MembersOf(const std::string& name,
                                                 const Group& group) const {
  std::set<std::string> members;
  for (const auto& [id, watch] : group.watches) {
    if (clients_->IsAlive(watch.client_id)) members.insert(watch.client_id);
  }
  for (const auto& [client_id, since_ms] : group.left_ms) members.insert(client_id);
  if (clock_->MonotonicMillis() - leads_since_ms_ < options_.settle_ms) {
    for (const ClientRecord& client : clients_->List(name)) {
      if (client.language == ClientLanguage::kRaftMq && client.type == v2::PUSH_CONSUMER) {
        members.insert(client.client_id);
      }
    }
  }
  return {members.begin(), members.end()};
}

void GroupMembers::TellAll(const std::string& name, Group* group) {
  const std::vector<std::string> members = MembersOf(name, *group);
  for (auto& [id, watch] : group->watches) {
    if (watch.told_any && watch.told == members) continue;
    watch.told_any = true;
    watch.told = members;
    watch.watcher->Tell(members);
  }
}

std::vector<std::string> GroupMembers::Members(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto it = groups_.find(name);
  return it == groups_.end() ? std::vector<std::string>() : MembersOf(name, it->second);
}

}  // namespace raftmq::broker
