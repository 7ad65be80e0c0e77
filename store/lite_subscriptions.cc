#include "store/lite_subscriptions.h"

#include "glog/logging.h"
#include "store/names.h"

namespace raftmq::store {

const LiteClient* LiteSubscriptions::Find(std::string_view client_id) const {
  const auto it = clients_.find(client_id);
  return it == clients_.end() ? nullptr : &it->second;
}

std::vector<LiteSubscriber> LiteSubscriptions::SubscribersOf(std::string_view topic,
                                                             std::string_view lite_topic) const {
  const auto it = by_topic_.find(LiteTopicName(topic, lite_topic));
  if (it == by_topic_.end()) return {};
  return {it->second.begin(), it->second.end()};
}

bool LiteSubscriptions::Add(const std::string& client_id, const std::string& group,
                            const std::string& topic, const std::string& lite_topic) {
  LiteClient& client = clients_[client_id];
  if (client.lite_topics.empty()) {
    client.group = group;
    client.topic = topic;
  }
  CHECK(client.group == group && client.topic == topic) << client_id;
  if (!client.lite_topics.insert(lite_topic).second) return false;
  by_topic_[LiteTopicName(topic, lite_topic)].insert({group, client_id});
  ++size_;
  return true;
}

bool LiteSubscriptions::Remove(const std::string& client_id, const std::string& lite_topic) {
  const auto it = clients_.find(client_id);
  if (it == clients_.end() || it->second.lite_topics.erase(lite_topic) == 0) return false;
  const auto subscribers = by_topic_.find(LiteTopicName(it->second.topic, lite_topic));
  subscribers->second.erase({it->second.group, client_id});
  if (subscribers->second.empty()) by_topic_.erase(subscribers);
  if (it->second.lite_topics.empty()) clients_.erase(it);
  --size_;
  return true;
}

}  // namespace raftmq::store
