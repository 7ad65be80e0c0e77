#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/admin_handlers.h"
#include "broker/handlers/open_transactions.h"
#include "store/reason.h"
#include "store/waiting_handles.h"

namespace raftmq::broker {

void AdminHandlers::ListTransactions(ListTransactionsCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(ListTransactionsCall* call) {
  deps_.reads->Post([this, call] {
    *call->response() = ListOpenTransactions(*deps_.waiting, call->request());
    call->Finish();
  });
}

void AdminHandlers::ResolveTransaction(ResolveTransactionCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(ResolveTransactionCall* call) {
  const absl::StatusOr<store::HalfRef> half =
      store::ParseTransactionId(call->request().transaction_id());
  if (!half.ok()) return call->Fail(half.status());
  deps_.reads->Post([this, call, position = half->position] {
    const absl::StatusOr<HalfNames> names = NamesOf(*deps_.waiting, position);
    if (!names.ok()) return EndOrReroute(call, names.status());
    deps_.waiting->EndTransaction(names->topic, names->message_id, call->request().transaction_id(),
                                  call->request().commit(),
                                  [this, call](const absl::Status& ended) {
                                    if (!ended.ok()) return EndOrReroute(call, ended);
                                    call->Finish();
                                  });
  });
}

void AdminHandlers::CheckTransaction(CheckTransactionCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(CheckTransactionCall* call) {
  const absl::StatusOr<store::HalfRef> half =
      store::ParseTransactionId(call->request().transaction_id());
  if (!half.ok()) return call->Fail(half.status());
  store::OpenTransaction anew;
  anew.position = half->position;
  anew.half.next_check_ms = deps_.clock->WallMillis();
  deps_.waiting->SetChecks(
      {anew}, [this, call](const absl::StatusOr<std::vector<LogPosition>>& positions) {
        if (!positions.ok()) return EndOrReroute(call, positions.status());
        if (positions->empty()) {
          return call->Fail(store::Refuse(store::Reason::kMessageNotFound,
                                          "the transaction is not open: it ended already"));
        }
        call->Finish();
      });
}

void AdminHandlers::UnsubscribeLite(UnsubscribeLiteCall* call) {
  call->response()->set_told(
      deps_.lite_notices->TellHere(call->request().client_id(), call->request().lite_topic()));
  call->Finish();
}

void AdminHandlers::RecoverTransaction(RecoverTransactionCall* call) {
  call->response()->set_asked(deps_.recovery->AskHere(call->request().record()));
  call->Finish();
}

}  // namespace raftmq::broker
