#include "broker/lite_notices.h"

#include <utility>

#include "broker/internal_call.h"
#include "broker/status_mapping.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kTellMemberMs = 2'000;

}  // namespace

bool LiteNotices::TellHere(const std::string& client_id, const std::string& lite_topic) {
  const auto client = clients_->Find(client_id);
  if (!client.has_value()) return false;
  const std::shared_ptr<TelemetryStream> stream = client->telemetry.lock();
  if (stream == nullptr) return false;
  v2::TelemetryCommand command;
  SetOk(command.mutable_status());
  command.mutable_notify_unsubscribe_lite_command()->set_lite_topic(lite_topic);
  return stream->Write(std::move(command));
}

// Every other member is told: some client libraries' streams end at several.
void LiteNotices::Tell(const std::string& client_id, const std::string& lite_topic) {
  if (TellHere(client_id, lite_topic) || peers_ == nullptr) return;
  const auto status = ledger_->Status();
  for (const dledger::Member& member : status->members) {
    if (member.id == status->self || member.client_address.empty()) continue;
    adm::UnsubscribeLiteRequest request;
    request.set_client_id(client_id);
    request.set_lite_topic(lite_topic);
    CallContext context;
    const int64_t deadline_ms = context.deadline_ms = clock_->MonotonicMillis() + kTellMemberMs;
    using Call = InternalUnary<adm::UnsubscribeLiteRequest, adm::UnsubscribeLiteResponse>;
    auto* const call = Call::Make(std::move(context), std::move(request),
                                  [](const absl::Status&, const adm::UnsubscribeLiteResponse&) {});
    peers_->Forward(member.client_address, deadline_ms, call, [call](const PeerResult& result) {
      if (result.kind == PeerResult::Kind::kAnswered) {
        call->Finish();
      } else {
        call->Fail(result.status);
      }
    });
  }
}

}  // namespace raftmq::broker
