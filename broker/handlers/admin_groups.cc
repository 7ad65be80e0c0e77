#include <string>
#include <utility>

#include "broker/handlers/admin_handlers.h"
#include "broker/retry_policy_proto.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

void FillGroup(const store::GroupConfig& config, adm::Group* group) {
  group->set_name(config.name);
  group->set_consume_enable(config.consume_enable);
  group->set_orderly(config.orderly);
  group->set_retry_max_times(config.retry_max_times);
  group->set_consume_from(static_cast<adm::ConsumeFrom>(config.consume_from));
  group->set_consume_timestamp_ms(config.consume_timestamp_ms);
  group->set_created_ms(config.created_ms);
  group->set_created_index(config.created_index.value());
  FillRetryPolicy(config.retry_policy, group->mutable_retry_policy());
  group->set_lite_exclusive(config.lite_exclusive);
  group->set_lite_client_quota(config.lite_client_quota);
}

// What the request sets; the rest stays.
absl::Status ApplyRequest(const adm::UpdateGroupRequest& request, store::GroupConfig* config) {
  if (request.has_consume_enable()) config->consume_enable = request.consume_enable();
  if (request.has_orderly()) config->orderly = request.orderly();
  if (request.has_retry_max_times()) {
    if (request.retry_max_times() < 0) {
      return absl::InvalidArgumentError(
          StrCat("retry_max_times is ", request.retry_max_times(), ", expected 0 or more"));
    }
    config->retry_max_times = request.retry_max_times();
  }
  if (request.consume_from() != adm::CONSUME_FROM_UNSPECIFIED) {
    if (!adm::ConsumeFrom_IsValid(request.consume_from())) {
      return absl::InvalidArgumentError(
          StrCat("consume_from ", static_cast<int>(request.consume_from()), " is not known"));
    }
    config->consume_from = static_cast<store::ConsumeFrom>(request.consume_from());
  }
  if (request.has_retry_policy()) config->retry_policy = ToRetryPolicy(request.retry_policy());
  if (request.has_lite_exclusive()) config->lite_exclusive = request.lite_exclusive();
  if (request.has_lite_client_quota()) config->lite_client_quota = request.lite_client_quota();
  if (request.has_consume_timestamp_ms()) {
    config->consume_timestamp_ms = request.consume_timestamp_ms();
  }
  return absl::OkStatus();
}

}  // namespace

void AdminHandlers::UpdateGroup(UpdateGroupCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(UpdateGroupCall* call) {
  const adm::UpdateGroupRequest& request = call->request();
  if (const absl::Status status = store::CheckGroupName(request.name()); !status.ok()) {
    return call->Fail(status);
  }
  // The call lives until it is answered, which is after the edit.
  deps_.store->EditGroup(
      request.name(),
      [&request](bool, store::GroupConfig* group) { return ApplyRequest(request, group); },
      [this, call](const absl::Status& done) {
        if (!done.ok()) return EndOrReroute(call, done);
        const absl::StatusOr<store::GroupConfig> stored =
            deps_.store->FindGroup(call->request().name());
        if (!stored.ok()) return call->Fail(stored.status());  // deleted since
        FillGroup(*stored, call->response()->mutable_group());
        call->Finish();
      });
}

void AdminHandlers::DeleteGroup(DeleteGroupCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(DeleteGroupCall* call) {
  deps_.store->DeleteGroup(call->request().name(), [this, call](const absl::Status& done) {
    if (!done.ok()) return EndOrReroute(call, done);
    call->Finish();
  });
}

// From this member's applied state; a forwarded one wants the leader's.
void AdminHandlers::GetGroup(GetGroupCall* call) {
  if (call->context().forwarded) {
    deps_.router->Route(call);
  } else {
    Execute(call);
  }
}

void AdminHandlers::Execute(GetGroupCall* call) {
  const absl::StatusOr<store::GroupConfig> group = deps_.store->FindGroup(call->request().name());
  if (!group.ok()) return call->Fail(group.status());
  FillGroup(*group, call->response()->mutable_group());
  call->Finish();
}

void AdminHandlers::ListGroups(ListGroupsCall* call) {
  Read(call, [this, call] {
    for (const store::GroupConfig& group : deps_.store->ListGroups()) {
      FillGroup(group, call->response()->add_groups());
    }
    call->Finish();
  });
}

void AdminHandlers::GroupProgress(GroupProgressCall* call) {
  Read(call, [this, call] {
    const auto rows = deps_.store->GroupProgress(call->request().name());
    if (!rows.ok()) return call->Fail(rows.status());
    for (const store::QueueProgress& progress : *rows) {
      adm::QueueProgress* row = call->response()->add_rows();
      row->set_topic(progress.topic);
      row->set_queue(progress.queue.value());
      row->set_min_offset(progress.min_offset.value());
      row->set_max_offset(progress.max_offset.value());
      row->set_commit_offset(progress.commit_offset.value());
      row->set_next_offset(progress.next_offset.value());
      row->set_inflight(progress.inflight);
      row->set_last_store_ms(progress.last_store_ms);
    }
    call->Finish();
  });
}

}  // namespace raftmq::broker
