// FakeLiteTopics: LiteTopics whose answers a test sets.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "store/lite_topics.h"

namespace raftmq::broker {

class FakeLiteTopics final : public store::LiteTopics {
 public:
  std::map<std::string, std::vector<std::string>> subscribers;  // by stored name
  std::vector<store::LiteSubscribeRequest> clients;
  std::vector<store::LiteSubscribeRequest> subscribed;  // what was asked for
  int64_t idle = 0;                                     // deleted by the next ExpireIdle
  int looks = 0;

  void Subscribe(store::LiteSubscribeRequest request, SubscribeCallback done) override {
    subscribed.push_back(std::move(request));
    done(store::LiteSubscribeResult());
  }
  void ExpireIdle(ExpireCallback done) override {
    ++looks;
    done(std::exchange(idle, 0));
  }
  std::vector<std::string> SubscribersOf(const std::string& topic,
                                         const std::string&) const override {
    const auto it = subscribers.find(topic);
    return it == subscribers.end() ? std::vector<std::string>() : it->second;
  }
  std::vector<store::LiteSubscribeRequest> Clients() const override { return clients; }
  int64_t Count(const std::string&) const override { return 0; }
  std::vector<store::LiteTopicStatus> List(const std::string&, const std::string&,
                                           size_t) const override {
    return {};
  }
};

}  // namespace raftmq::broker
