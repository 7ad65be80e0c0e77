#include "broker/handlers/messaging_handlers.h"

namespace raftmq::broker {
namespace {

absl::Status TooManyClients() {
  return store::Refuse(store::Reason::kBusy,
                       "this member knows as many clients as its bound allows: try again later");
}

bool IsConsumer(v2::ClientType type) {
  return type != v2::CLIENT_TYPE_UNSPECIFIED && type != v2::PRODUCER;
}

}  // namespace

void MessagingHandlers::Heartbeat(HeartbeatCall* call) {
  if (!HasClientId(call)) return;
  const v2::HeartbeatRequest& request = call->request();
  const std::string& group = request.group().name();
  if (!group.empty() || IsConsumer(request.client_type())) {
    if (const absl::Status status = CheckGroup(request.group()); !status.ok()) {
      return FinishWithError(call, status);
    }
  }
  if (!deps_.clients->Heard(call->context(), request.client_type(), group)) {
    return FinishWithError(call, TooManyClients());
  }
  SetOk(call->response()->mutable_status());
  call->Finish();
}

void MessagingHandlers::NotifyClientTermination(NotifyClientTerminationCall* call) {
  // Always OK: a client that leaves must not be held up. What it had leased is not renewed.
  const std::string& client_id = call->context().client_id;
  if (!client_id.empty()) {
    if (const auto client = deps_.clients->Find(client_id); client.has_value()) {
      LeaveLiteTopics(call->context(), *client);
    }
    deps_.clients->Remove(client_id);
    deps_.renewals->RemoveClient(client_id);
  }
  SetOk(call->response()->mutable_status());
  call->Finish();
}

}  // namespace raftmq::broker
