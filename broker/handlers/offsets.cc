#include "broker/handlers/messaging_handlers.h"
#include "broker/proto_time.h"
#include "broker/topic_created.h"

namespace raftmq::broker {
namespace {

constexpr char kAppliedIndex[] = "x-raftmq-applied-index";

absl::Status CheckGroupAndQueue(const v2::Resource& group, const v2::MessageQueue& queue) {
  RAFTMQ_RETURN_IF_ERROR(CheckGroup(group));
  return CheckTopic(queue.topic());
}

// `applied` was read after what is answered: whoever asks for it sees no less.
void FinishOffset(QueryOffsetCall* call, QueueOffset offset, LogIndex applied) {
  call->AddHeader(kAppliedIndex, StrCat(applied));
  SetOk(call->response()->mutable_status());
  call->response()->set_offset(offset.value());
  call->Finish();
}

}  // namespace

void MessagingHandlers::UpdateOffset(UpdateOffsetCall* call) {
  if (HasClientId(call)) deps_.router->Route(call);
}

void MessagingHandlers::Execute(UpdateOffsetCall* call) {
  const v2::UpdateOffsetRequest& request = call->request();
  absl::Status status = CheckGroupAndQueue(request.group(), request.message_queue());
  if (status.ok() && request.offset() < 0) {
    status = store::Refuse(store::Reason::kIllegalOffset,
                           StrCat("offset ", request.offset(), " is negative"));
  }
  if (status.ok()) {
    status =
        CheckTopicCreated(call->context(), *deps_.store, request.message_queue().topic().name());
  }
  if (!status.ok()) return FinishWithError(call, status);
  deps_.store->UpdateOffset(request.group().name(), request.message_queue().topic().name(),
                            QueueId(request.message_queue().id()), QueueOffset(request.offset()),
                            call->context().client_id, [this, call](const absl::Status& done) {
                              if (!done.ok()) return EndOrReroute(call, done);
                              SetOk(call->response()->mutable_status());
                              call->Finish();
                            });
}

// Most calls don't ask, and wait for nothing.
void MessagingHandlers::WhenFresh(const CallContext& context, ReadBarrier::Done then,
                                  int64_t then_ms) const {
  if (!ReadBarrier::IsAskedFor(context)) return then(absl::OkStatus());
  deps_.barrier->Await(
      context, then_ms, [this, then = std::move(then)](const absl::Status& fresh) mutable {
        deps_.reads->Post([then = std::move(then), fresh]() mutable { then(fresh); });
      });
}

// The leader's answer, or this member's if the caller says how fresh that must be.
void MessagingHandlers::GetOffset(GetOffsetCall* call) {
  if (!HasClientId(call)) return;
  if (!ReadBarrier::IsAskedFor(call->context())) return deps_.router->Route(call);
  WhenFresh(call->context(), [this, call](const absl::Status& fresh) {
    if (!fresh.ok()) return FinishWithError(call, fresh);
    Execute(call);
  });
}

void MessagingHandlers::Execute(GetOffsetCall* call) {
  const v2::GetOffsetRequest& request = call->request();
  if (const absl::Status status = CheckGroupAndQueue(request.group(), request.message_queue());
      !status.ok()) {
    return FinishWithError(call, status);
  }
  const absl::StatusOr<QueueOffset> offset =
      deps_.store->CommitOffset(request.group().name(), request.message_queue().topic().name(),
                                QueueId(request.message_queue().id()));
  if (!offset.ok()) return FinishWithError(call, offset.status());
  call->AddHeader(kAppliedIndex, StrCat(deps_.store->AppliedIndex()));
  SetOk(call->response()->mutable_status());
  call->response()->set_offset(offset->value());
  call->Finish();
}

void MessagingHandlers::QueryOffset(QueryOffsetCall* call) {
  if (!HasClientId(call)) return;
  if (const absl::Status status = CheckTopic(call->request().message_queue().topic());
      !status.ok()) {
    return FinishWithError(call, status);
  }
  WhenFresh(call->context(), [this, call](const absl::Status& fresh) {
    if (!fresh.ok()) return FinishWithError(call, fresh);
    QueryOffsetHere(call);
  });
}

void MessagingHandlers::QueryOffsetHere(QueryOffsetCall* call) {
  const v2::QueryOffsetRequest& request = call->request();
  if (request.query_offset_policy() == v2::TIMESTAMP) {
    // Reads messages' store times from the disk.
    deps_.reads->Post([this, call] { QueryOffsetByTime(call); });
    return;
  }
  const auto range = deps_.store->Range(request.message_queue().topic().name(),
                                        QueueId(request.message_queue().id()));
  if (!range.ok()) return FinishWithError(call, range.status());
  FinishOffset(call, request.query_offset_policy() == v2::BEGINNING ? range->min : range->max,
               deps_.store->AppliedIndex());
}

void MessagingHandlers::QueryOffsetByTime(QueryOffsetCall* call) {
  const v2::QueryOffsetRequest& request = call->request();
  const absl::StatusOr<QueueOffset> found = deps_.store->OffsetByTime(
      request.message_queue().topic().name(), QueueId(request.message_queue().id()),
      ToMillis(request.timestamp()));
  if (!found.ok()) return FinishWithError(call, found.status());
  FinishOffset(call, *found, deps_.store->AppliedIndex());
}

}  // namespace raftmq::broker
