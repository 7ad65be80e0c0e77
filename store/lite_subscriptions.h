// LiteSubscriptions: which client receives from which lite topics, found by client and by lite
// topic. A client is here as long as it has one, in one group and on one parent topic.
//
// Part of BrokerState, whose owner rules who may use it. Copyable.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace raftmq::store {

struct LiteClient {
  std::string group;
  std::string topic;  // the parent
  std::set<std::string> lite_topics;
};

struct LiteSubscriber {
  std::string group;
  std::string client_id;
  auto operator<=>(const LiteSubscriber&) const = default;
};

// One of them: what a row of the database is about.
struct LiteSubscriptionKey {
  std::string client_id;
  std::string group;
  std::string topic;
  std::string lite_topic;
  auto operator<=>(const LiteSubscriptionKey&) const = default;
};

class LiteSubscriptions {
 public:
  // Null: the client has subscribed to nothing.
  const LiteClient* Find(std::string_view client_id) const;

  // By group and client.
  std::vector<LiteSubscriber> SubscribersOf(std::string_view topic,
                                            std::string_view lite_topic) const;

  // False: it was so already. REQUIRES (Add): the client is unknown, or of this group and topic.
  bool Add(const std::string& client_id, const std::string& group, const std::string& topic,
           const std::string& lite_topic);
  bool Remove(const std::string& client_id, const std::string& lite_topic);

  // By client id.
  const std::map<std::string, LiteClient, std::less<>>& clients() const { return clients_; }
  // Pairs of client and lite topic.
  size_t size() const { return size_; }

 private:
  std::map<std::string, LiteClient, std::less<>> clients_;
  absl::flat_hash_map<std::string, std::set<LiteSubscriber>> by_topic_;  // by LiteTopicName
  size_t size_ = 0;
};

}  // namespace raftmq::store
