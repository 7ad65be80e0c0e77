// BrokerState: lite topics under their parents, and who has subscribed to them.

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/names.h"
#include "store/state_rows.h"

namespace raftmq::store {

void BrokerState::NoteLiteTopic(const std::string& topic) {
  if (!IsLiteTopic(topic)) return;
  if (lite_topics_[std::string(ParentOfLite(topic))].insert(topic).second) ++lite_topic_count_;
}

void BrokerState::ForgetLiteTopic(const std::string& topic) {
  if (!IsLiteTopic(topic)) return;
  const auto siblings = lite_topics_.find(ToAbsl(ParentOfLite(topic)));
  if (siblings == lite_topics_.end() || siblings->second.erase(topic) == 0) return;
  --lite_topic_count_;
  if (siblings->second.empty()) lite_topics_.erase(siblings);
}

std::vector<std::string> BrokerState::LiteParents() const {
  std::vector<std::string> parents;
  for (const auto& [parent, topics] : lite_topics_) parents.push_back(parent);
  return parents;
}

std::vector<std::string> BrokerState::LiteTopicsOf(std::string_view parent, std::string_view after,
                                                   size_t max) const {
  std::vector<std::string> topics;
  const auto of_parent = lite_topics_.find(ToAbsl(parent));
  if (of_parent == lite_topics_.end()) return topics;
  for (auto it = of_parent->second.upper_bound(after);
       it != of_parent->second.end() && topics.size() < max; ++it) {
    topics.push_back(*it);
  }
  return topics;
}

size_t BrokerState::LiteTopicCount(std::string_view parent) const {
  const auto of_parent = lite_topics_.find(ToAbsl(parent));
  return of_parent == lite_topics_.end() ? 0 : of_parent->second.size();
}

absl::Status BrokerState::ApplyBody(const SubscribeLite& subscribe, LogIndex) {
  if (FindGroup(subscribe.group) == nullptr) {
    return absl::InternalError(StrCat("group ", subscribe.group, " of lite subscriber ",
                                      subscribe.client_id, " does not exist"));
  }
  const LiteClient* client = lite_subscriptions_.Find(subscribe.client_id);
  if (client != nullptr && (client->group != subscribe.group || client->topic != subscribe.topic)) {
    return absl::InternalError(StrCat("client ", subscribe.client_id, " subscribes to topic ",
                                      subscribe.topic, " in group ", subscribe.group,
                                      ", but has subscribed to topic ", client->topic, " in group ",
                                      client->group));
  }
  for (const std::string& lite_topic : subscribe.removed) {
    if (lite_subscriptions_.Remove(subscribe.client_id, lite_topic)) {
      MarkLite({subscribe.client_id, subscribe.group, subscribe.topic, lite_topic});
    }
  }
  for (const std::string& lite_topic : subscribe.added) {
    if (lite_subscriptions_.Add(subscribe.client_id, subscribe.group, subscribe.topic,
                                lite_topic)) {
      MarkLite({subscribe.client_id, subscribe.group, subscribe.topic, lite_topic});
    }
  }
  return absl::OkStatus();
}

void BrokerState::EraseLiteClientsIf(absl::FunctionRef<bool(const LiteClient&)> gone) {
  std::vector<LiteSubscriptionKey> erased;
  for (const auto& [client_id, client] : lite_subscriptions_.clients()) {
    if (!gone(client)) continue;
    for (const std::string& lite_topic : client.lite_topics) {
      erased.push_back({client_id, client.group, client.topic, lite_topic});
    }
  }
  for (LiteSubscriptionKey& key : erased) {
    lite_subscriptions_.Remove(key.client_id, key.lite_topic);
    MarkLite(std::move(key));
  }
}

void BrokerState::MarkLite(LiteSubscriptionKey key) {
  if (changes_ == nullptr) return;
  if (dirty_lite_.insert(std::move(key)).second) ++pending_rows_;
}

void BrokerState::PutLiteRows() {
  for (const LiteSubscriptionKey& key : dirty_lite_) {
    const LiteClient* client = lite_subscriptions_.Find(key.client_id);
    const bool there = client != nullptr && client->group == key.group &&
                       client->topic == key.topic && client->lite_topics.contains(key.lite_topic);
    if (there) {
      changes_->Put(StateColumn::kLiteSubscriptions, LiteSubscriptionKeyOf(key),
                    LiteSubscriptionValue());
    } else {
      changes_->Delete(StateColumn::kLiteSubscriptions, LiteSubscriptionKeyOf(key));
    }
  }
  dirty_lite_.clear();
}

absl::Status BrokerState::LoadLite(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(const LiteSubscriptionKey name, ParseLiteSubscriptionKey(key));
  RAFTMQ_RETURN_IF_ERROR(CheckLiteSubscriptionValue(value));
  const LiteClient* client = lite_subscriptions_.Find(name.client_id);
  if (FindGroup(name.group) == nullptr ||
      (client != nullptr && (client->group != name.group || client->topic != name.topic))) {
    return absl::DataLossError(StrCat("the state database holds a lite subscription of client ",
                                      name.client_id, " in group ", name.group,
                                      " that does not fit its others or has no group"));
  }
  lite_subscriptions_.Add(name.client_id, name.group, name.topic, name.lite_topic);
  return absl::OkStatus();
}

}  // namespace raftmq::store
