#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "broker/handlers/admin_handlers.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/waiting_handles.h"

namespace raftmq::broker {
namespace {

constexpr int32_t kMaxTransactions = 1'024;

// The names that an id needs.
struct HalfNames {
  std::string topic;
  std::string message_id;
};

absl::StatusOr<HalfNames> NamesOf(const store::WaitingMessages& waiting, LogPosition position) {
  RAFTMQ_ASSIGN_OR_RETURN(const std::string bytes, waiting.ReadHalf(position));
  RAFTMQ_ASSIGN_OR_RETURN(const store::RecordView record, store::ParseRecord(bytes));
  return HalfNames{std::string(record.properties.Get(store::property::kRealTopic)),
                   std::string(record.unique_key())};
}

}  // namespace

void AdminHandlers::ListTransactions(ListTransactionsCall* call) { deps_.router->Route(call); }

void AdminHandlers::Execute(ListTransactionsCall* call) {
  deps_.reads->Post([this, call] {
    const adm::ListTransactionsRequest& request = call->request();
    const int32_t max = request.max() == 0 ? 32 : std::clamp(request.max(), 1, kMaxTransactions);
    adm::ListTransactionsResponse* response = call->response();
    LogPosition from(request.from_position());
    // Read a page at a time: most of the records may be of other topics.
    for (;;) {
      const std::vector<store::OpenTransaction> page =
          deps_.waiting->ListTransactions(from, kMaxTransactions);
      for (const store::OpenTransaction& open : page) {
        from = LogPosition(open.position.value() + 1);
        const absl::StatusOr<HalfNames> names = NamesOf(*deps_.waiting, open.position);
        if (!names.ok()) return EndOrReroute(call, names.status());
        if (!request.topic().empty() && names->topic != request.topic()) continue;
        adm::OpenTransaction* row = response->add_transactions();
        row->set_transaction_id(store::EncodeTransactionId(names->topic, names->message_id,
                                                           store::HalfRef{open.position}));
        row->set_topic(names->topic);
        row->set_message_id(names->message_id);
        row->set_position(open.position.value());
        row->set_stored_ms(open.half.stored_ms);
        row->set_checks(open.half.checks);
        row->set_next_check_ms(open.half.next_check_ms);
        if (response->transactions_size() >= max) break;
      }
      if (page.size() < kMaxTransactions || response->transactions_size() >= max) break;
    }
    response->set_open(static_cast<int64_t>(deps_.waiting->OpenTransactions()));
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
