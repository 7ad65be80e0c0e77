#include "broker/handlers/messaging_handlers.h"
#include "broker/routes.h"

namespace raftmq::broker {

bool MessagingHandlers::IsOrderly(const std::string& group) const {
  const absl::StatusOr<store::GroupConfig> config = deps_.store->FindGroup(group);
  return config.ok() && config->orderly;
}

// Each consumer of a group gets the same list: sharing is done by leases, not by allocation.
void MessagingHandlers::QueryAssignment(QueryAssignmentCall* call) {
  if (!HasClientId(call)) return;
  const v2::QueryAssignmentRequest& request = call->request();
  absl::Status status = CheckTopic(request.topic());
  if (status.ok()) status = CheckGroup(request.group());
  if (!status.ok()) return FinishWithError(call, status);
  if (MustAskLeader(call, request.topic().name())) return deps_.router->Route(call);
  Execute(call);
}

void MessagingHandlers::Execute(QueryAssignmentCall* call) {
  const std::string& topic = call->request().topic().name();
  Route(topic, [this, call](const absl::StatusOr<std::vector<GroupRoute>>& groups) {
    if (!groups.ok()) return FinishWithError(call, groups.status());
    v2::QueryAssignmentResponse* response = call->response();
    const bool orderly = IsOrderly(call->request().group().name());
    const RouteShape shape = ShapeFor(call->context().language);
    for (const GroupRoute& group : *groups) {
      // What a client of lite topics gets does not depend on a queue, nor does their order.
      const bool by_queue = orderly && group.topic.type != store::TopicType::kLite;
      for (v2::MessageQueue& queue :
           AssignmentsOf(group.topic, by_queue, BrokersOf(group.view, shape))) {
        *response->add_assignments()->mutable_message_queue() = std::move(queue);
      }
    }
    if (response->assignments_size() == 0) {
      return FinishWithError(call, store::Refuse(store::Reason::kForbidden,
                                                 StrCat("topic \"", call->request().topic().name(),
                                                        "\" has no queue that may be read")));
    }
    SetOk(response->mutable_status());
    call->Finish();
  });
}

}  // namespace raftmq::broker
