#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/messaging_handlers.h"

namespace raftmq::broker {
namespace {

void FillAnswer(AckMessageCall* call, const std::vector<absl::Status>& results) {
  const v2::AckMessageRequest& request = call->request();
  v2::AckMessageResponse* response = call->response();
  v2::Code common = v2::CODE_UNSPECIFIED;
  bool mixed = false;
  for (int i = 0; i < request.entries_size(); ++i) {
    v2::AckMessageResultEntry* entry = response->add_entries();
    entry->set_message_id(request.entries(i).message_id());
    entry->set_receipt_handle(request.entries(i).receipt_handle());
    *entry->mutable_status() = ToV2Status(results[i]);
    mixed = mixed || (i > 0 && entry->status().code() != common);
    common = entry->status().code();
  }
  if (mixed) {
    response->mutable_status()->set_code(v2::MULTIPLE_RESULTS);
    response->mutable_status()->set_message("the entries ended differently: see each");
  } else {
    *response->mutable_status() = response->entries(0).status();
  }
}

}  // namespace

void MessagingHandlers::AckMessage(AckMessageCall* call) {
  if (!HasClientId(call)) return;
  if (!call->context().forwarded) {
    // Not before: an ack that fails leaves the client working on the message.
    call->OnFinish([this](const v2::AckMessageResponse& response) {
      for (const v2::AckMessageResultEntry& entry : response.entries()) {
        if (entry.status().code() == v2::OK) deps_.renewals->Remove(entry.receipt_handle());
      }
    });
  }
  deps_.router->Route(call);
}

void MessagingHandlers::Execute(AckMessageCall* call) {
  const v2::AckMessageRequest& request = call->request();
  absl::Status status = CheckGroup(request.group());
  if (status.ok()) status = CheckTopic(request.topic());
  if (status.ok() &&
      (request.entries().empty() || request.entries_size() > options_.limits.max_acks_per_call)) {
    status = absl::InvalidArgumentError(StrCat("the request has ", request.entries_size(),
                                               " entries, expected 1 to ",
                                               options_.limits.max_acks_per_call));
  }
  if (!status.ok()) return FinishWithError(call, status);
  std::vector<std::string> handles;
  handles.reserve(request.entries_size());
  for (const v2::AckMessageEntry& entry : request.entries()) {
    handles.push_back(entry.receipt_handle());
  }
  deps_.store->Ack(
      request.group().name(), request.topic().name(), std::move(handles),
      [this, call](std::vector<absl::Status> results) {
        for (const absl::Status& result : results) {
          if (LeaderRouter::IsForAnotherMember(result)) {
            return deps_.router->NotLeader(call);  // one proposal: then it is so for all
          }
        }
        // An ack lets the next message of its message group through.
        const std::string& group = call->request().group().name();
        if (IsOrderly(group)) {
          deps_.waiters->OnReleased(group, call->request().topic().name(), 0);
        }
        FillAnswer(call, results);
        call->Finish();
      });
}

}  // namespace raftmq::broker
