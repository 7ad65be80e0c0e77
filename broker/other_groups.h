// OtherGroups: which broker groups besides this one serve a topic, so that an official client,
// which knows the address of some broker only, hears of all its queues from any of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "broker/routes.h"
#include "store/model.h"

namespace raftmq::broker {

// A broker group and the topic as it has it.
struct GroupRoute {
  RouteView view;
  store::TopicConfig topic;
};

class OtherGroups {
 public:
  using Groups = std::shared_ptr<const std::vector<GroupRoute>>;  // never null
  using Found = absl::AnyInvocable<void(Groups)>;

  virtual ~OtherGroups() = default;

  // Calls `found` once, at once or within a bounded time on some thread, where it must not block.
  virtual void Find(const std::string& topic, Found found) = 0;
};

}  // namespace raftmq::broker
