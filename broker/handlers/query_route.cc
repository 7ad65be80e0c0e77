#include <algorithm>

#include "broker/handlers/messaging_handlers.h"
#include "broker/routes.h"

namespace raftmq::broker {

void MessagingHandlers::Route(const std::string& topic, Routed routed) {
  auto join = [this, topic, routed = std::move(routed)](OtherGroups::Groups others) mutable {
    std::vector<GroupRoute> routes;
    if (others != nullptr) routes = *others;
    absl::StatusOr<store::TopicConfig> own = deps_.store->FindTopic(topic);
    if (own.ok()) {
      const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
      routes.push_back(
          {deps_.addresses->View(*status, deps_.group->Serving(*status)), *std::move(own)});
    }
    if (routes.empty()) return routed(own.status());
    // Whichever broker is asked, the answer is the same.
    std::sort(routes.begin(), routes.end(), [](const GroupRoute& a, const GroupRoute& b) {
      return a.view.broker_name < b.view.broker_name;
    });
    routed(std::move(routes));
  };
  if (deps_.others == nullptr) return join(nullptr);
  deps_.others->Find(topic, std::move(join));
}

// A read of this member's own applied state, if that is recent and has the topic, else the
// leader's; and of what the NameServers know of other groups. Never creates a topic.
void MessagingHandlers::QueryRoute(QueryRouteCall* call) {
  if (!HasClientId(call)) return;
  if (const absl::Status status = CheckTopic(call->request().topic()); !status.ok()) {
    return FinishWithError(call, status);
  }
  if (MustAskLeader(call, call->request().topic().name())) return deps_.router->Route(call);
  Execute(call);
}

void MessagingHandlers::Execute(QueryRouteCall* call) {
  const std::string& topic = call->request().topic().name();
  Route(topic, [call](const absl::StatusOr<std::vector<GroupRoute>>& groups) {
    if (!groups.ok()) return FinishWithError(call, groups.status());
    v2::QueryRouteResponse* response = call->response();
    const RouteShape shape = ShapeFor(call->context().language);
    for (const GroupRoute& group : *groups) {
      for (v2::MessageQueue& queue : QueuesOf(group.topic, BrokersOf(group.view, shape))) {
        *response->add_message_queues() = std::move(queue);
      }
    }
    if (response->message_queues_size() == 0) {
      const store::TopicConfig& first = groups->front().topic;
      return FinishWithError(
          call, store::Refuse(store::Reason::kForbidden,
                              StrCat("topic \"", first.name,
                                     "\" has no queue that may be read or written (perm ",
                                     static_cast<int>(first.perm), ")")));
    }
    SetOk(response->mutable_status());
    call->Finish();
  });
}

}  // namespace raftmq::broker
