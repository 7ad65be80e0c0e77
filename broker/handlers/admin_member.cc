#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "broker/handlers/admin_handlers.h"
#include "broker/member_status.h"

namespace raftmq::broker {

void AdminHandlers::GetMemberStatus(GetMemberStatusCall* call) {
  const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
  *call->response() = ToMemberStatus(options_.identity, *status, deps_.clock->MonotonicMillis());
  const store::WaitingMessages::TimerCounts timers = deps_.waiting->Timers();
  call->response()->set_pending_timers(static_cast<int64_t>(timers.pending));
  call->response()->set_earliest_due_ms(timers.earliest_due_ms.value_or(0));
  call->response()->set_open_transactions(static_cast<int64_t>(deps_.waiting->OpenTransactions()));
  const store::Retention::Counters kept = deps_.retention->counters();
  call->response()->set_min_position(kept.min_position.value());
  call->response()->set_kept_records(kept.kept_records);
  call->response()->set_kept_bytes(kept.kept_bytes);
  call->response()->set_missed_messages(kept.missed_messages);
  call->Finish();
}

// A member that runs its replica has its first entry; see bootstrap_wait.h for one that waits.
void AdminHandlers::Bootstrap(BootstrapCall* call) {
  const absl::Status same =
      CheckAlreadyBootstrapped(call->request(), options_.identity, *deps_.ledger->Status());
  if (!same.ok()) return call->Fail(same);
  call->response()->set_already_bootstrapped(true);
  call->Finish();
}

void AdminHandlers::TransferLeadership(TransferLeadershipCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(TransferLeadershipCall* call) {
  const MemberId target(call->request().target_id());
  const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
  const bool known =
      target == kNoMember ||
      std::any_of(status->members.begin(), status->members.end(),
                  [&](const dledger::Member& member) { return member.id == target; });
  if (!known) {
    return call->Fail(
        absl::InvalidArgumentError(StrCat("member ", target, " does not belong to the group")));
  }
  deps_.ledger->TransferLeadership(target, [call](const absl::Status& done) {
    if (done.ok()) {
      call->Finish();
    } else {
      call->Fail(done);
    }
  });
}

void AdminHandlers::ReadIndex(ReadIndexCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(ReadIndexCall* call) {
  deps_.read_index->ReadIndex([this, call](const absl::StatusOr<LogIndex>& index) {
    if (!index.ok()) return EndOrReroute(call, index.status());
    call->response()->set_index(index->value());
    call->Finish();
  });
}

void AdminHandlers::ExpireMessages(ExpireMessagesCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(ExpireMessagesCall* call) {
  using Outcome = store::Retention::Outcome;
  deps_.retention->Expire(options_.retention, [this, call](const absl::StatusOr<Outcome>& outcome) {
    if (!outcome.ok()) return EndOrReroute(call, outcome.status());
    adm::ExpireMessagesResponse* response = call->response();
    response->set_min_position(outcome->min_position.value());
    response->set_previous_min_position(outcome->previous.value());
    response->set_queues_moved(outcome->queues_moved);
    response->set_more(outcome->more);
    response->set_held_up_by(outcome->held_up_by.value());
    response->set_reserved_ms(options_.retention.reserved_ms);
    response->set_max_bytes(options_.retention.max_bytes);
    call->Finish();
  });
}

void AdminHandlers::DumpState(DumpStateCall* call) {
  deps_.reads->Post([this, call] {
    const absl::StatusOr<std::string> dump = deps_.store->DumpState();
    if (!dump.ok()) return call->Fail(dump.status());
    constexpr size_t kPiece = 1 << 20;
    for (size_t at = 0; at < dump->size(); at += kPiece) {
      adm::DumpStateResponse piece;
      piece.set_text(dump->substr(at, kPiece));
      call->Write(std::move(piece));
    }
    call->Finish();
  });
}

void AdminHandlers::ListClients(ListClientsCall* call) {
  const int64_t now_ms = deps_.clock->MonotonicMillis();
  std::map<std::string, std::vector<std::string>> members;  // by group
  for (const ClientRecord& client : deps_.clients->List(call->request().group())) {
    adm::Client* row = call->response()->add_clients();
    row->set_client_id(client.client_id);
    row->set_language(std::string(ClientLanguageName(client.language)));
    row->set_version(client.version);
    row->set_peer(client.peer);
    row->set_client_type(v2::ClientType_Name(client.type));
    row->set_group(client.group);
    for (const std::string& topic : client.topics) row->add_topics(topic);
    row->set_last_heard_ms_ago(now_ms - client.last_heard_ms);
    row->set_telemetry_open(!client.telemetry.expired());
    if (!client.group.empty()) {
      const auto [it, fresh] = members.try_emplace(client.group);
      if (fresh) it->second = deps_.members->Members(client.group);  // sorted
      row->set_group_member(
          std::binary_search(it->second.begin(), it->second.end(), client.client_id));
    }
    for (const ClientRecord::Subscription& subscription : client.subscriptions) {
      adm::ClientSubscription* told = row->add_subscriptions();
      told->set_topic(subscription.topic);
      told->set_expression(subscription.expression);
      told->set_expression_type(subscription.type);
    }
  }
  call->Finish();
}

}  // namespace raftmq::broker
