#include "broker/orphan_recovery.h"

#include <utility>

#include "broker/internal_call.h"
#include "broker/message_conversion.h"
#include "broker/status_mapping.h"
#include "glog/logging.h"
#include "store/message_record.h"
#include "store/waiting_handles.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kAskMemberMs = 2'000;

}  // namespace

bool OrphanRecovery::AskHere(const std::string& record) {
  const absl::StatusOr<store::RecordView> half = store::ParseRecord(record);
  v2::TelemetryCommand command;
  SetOk(command.mutable_status());
  v2::RecoverOrphanedTransactionCommand* recover =
      command.mutable_recover_orphaned_transaction_command();
  absl::Status status = half.status();
  if (status.ok()) status = ToMessage(record, recover->mutable_message());
  if (!status.ok()) {
    LOG(ERROR) << "a half message cannot be shown to its producers: " << status;
    return false;
  }
  const std::string& topic = recover->message().topic().name();
  recover->set_transaction_id(
      store::EncodeTransactionId(topic, half->unique_key(), store::HalfRef{half->physical_offset}));
  const std::vector<std::shared_ptr<TelemetryStream>> producers = clients_->ProducersOf(topic);
  const uint32_t turn = turn_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < producers.size(); ++i) {
    if (producers[(turn + i) % producers.size()]->Write(command)) return true;
  }
  return false;
}

void OrphanRecovery::Ask(std::string record) {
  if (AskHere(record) || peers_ == nullptr) return;
  std::vector<std::string> addresses;
  const auto status = ledger_->Status();
  for (const dledger::Member& member : status->members) {
    if (member.id != status->self && !member.client_address.empty()) {
      addresses.push_back(member.client_address);
    }
  }
  AskMembers(std::move(addresses), std::move(record));
}

void OrphanRecovery::AskMembers(std::vector<std::string> addresses, std::string record) {
  if (addresses.empty()) return;  // nobody is there: asked again at the next check
  const std::string address = std::move(addresses.back());
  addresses.pop_back();
  adm::RecoverTransactionRequest request;
  request.set_record(record);
  CallContext context;
  context.deadline_ms = clock_->MonotonicMillis() + kAskMemberMs;
  const int64_t deadline_ms = context.deadline_ms;
  using Call = InternalUnary<adm::RecoverTransactionRequest, adm::RecoverTransactionResponse>;
  auto* const call = Call::Make(
      std::move(context), std::move(request),
      [this, addresses = std::move(addresses), record = std::move(record)](
          const absl::Status& status, const adm::RecoverTransactionResponse& response) mutable {
        if (!status.ok() || !response.asked()) AskMembers(std::move(addresses), std::move(record));
      });
  peers_->Forward(address, deadline_ms, call, [call](const PeerResult& result) {
    if (result.kind == PeerResult::Kind::kAnswered) {
      call->Finish();
    } else {
      call->Fail(result.status);
    }
  });
}

}  // namespace raftmq::broker
