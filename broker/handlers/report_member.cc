// ReportMember: soft state on its way between the leader and the others: who serves, who lives.
#include <utility>

#include "broker/handlers/admin_handlers.h"

namespace raftmq::broker {

void AdminHandlers::ReportMember(ReportMemberCall* call) {
  const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
  if (!LeaderRouter::Leads(*status)) return call->Fail(LeaderRouter::NotLeaderHere(*status));
  const adm::ReportMemberRequest& request = call->request();
  deps_.group->OnReport(MemberId(request.member_id()), LogIndex(request.applied_index()), *status);
  for (const std::string& client : request.heard_clients()) {
    deps_.clients->HeardElsewhere(client, 0);
  }
  adm::ReportMemberResponse* response = call->response();
  for (const std::string& client : request.asked_clients()) {
    if (const std::optional<int64_t> ago_ms = deps_.clients->HeardAgoMillis(client)) {
      adm::LivingClient* living = response->add_living_clients();
      living->set_client_id(client);
      living->set_heard_ms_ago(*ago_ms);
    }
  }
  response->set_term(status->term.value());
  response->set_commit_index(status->commit_index.value());
  for (const MemberId member : deps_.group->Serving(*status)) {
    response->add_serving_members(member.value());
  }
  call->Finish();
}

}  // namespace raftmq::broker
