// ChangeInvisibleProposal: a lease gets another end: renewal, or nack.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

enum class LeaseChange {
  kByHolder,
  kRenewal,  // for the holder, who may have changed the lease meanwhile: it is refused then
  // The holder failed: the message comes again by the group's retry policy if no time is given, or
  // was tried for the last time: then its lease is over.
  kNack,
};

class ChangeInvisibleProposal final : public dledger::Proposal {
 public:
  static void Start(StoreContext* context, LeaseChange kind, std::string group, std::string topic,
                    std::string handle, std::optional<int64_t> invisible_ms,
                    MessageStore::ChangeCallback done);

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;

 private:
  ChangeInvisibleProposal(StoreContext* context, LeaseChange kind, std::string group,
                          std::string topic, std::string handle,
                          std::optional<int64_t> invisible_ms, MessageStore::ChangeCallback done)
      : context_(context),
        kind_(kind),
        group_(std::move(group)),
        topic_(std::move(topic)),
        handle_(std::move(handle)),
        invisible_ms_(invisible_ms),
        done_(std::move(done)) {}

  int64_t InvisibleMs(const Lease& lease, const GroupConfig& group) const;

  StoreContext* const context_;
  const LeaseChange kind_;
  const std::string group_;
  const std::string topic_;
  std::string handle_;
  const std::optional<int64_t> invisible_ms_;  // none: a nack's
  MessageStore::ChangeCallback done_;
};

}  // namespace raftmq::store
