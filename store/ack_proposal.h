// AckProposal: messages that a group is done with.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dledger/ledger.h"
#include "store/commands.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class AckProposal final : public dledger::Proposal {
 public:
  // By receipt handle, for a client; one status for each. A message that is acked already is acked:
  // OK, so that an ack may be repeated.
  static void Start(StoreContext* context, std::string group, std::string topic,
                    std::vector<std::string> handles, MessageStore::AckCallback done);

  // For the store itself: messages that were leased because their tag has the hash of one that was
  // asked for. What does not succeed comes again when the lease is over.
  static void StartFiltered(StoreContext* context, std::string group, std::string topic,
                            std::vector<Ack::Item> items);

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  size_t ByteSize() const override { return 256 + 64 * handles_.size() + 24 * leased_.size(); }

 private:
  AckProposal(StoreContext* context, std::string group, std::string topic)
      : context_(context), group_(std::move(group)), topic_(std::move(topic)) {}

  void CheckHandles(const BrokerState& state, std::vector<Ack::Item>* items);
  bool AlreadyAcked(const BrokerState& state, const std::string& handle) const;

  StoreContext* const context_;
  const std::string group_;
  const std::string topic_;
  std::vector<std::string> handles_;
  std::vector<Ack::Item> leased_;  // of StartFiltered
  std::vector<absl::Status> statuses_;
  MessageStore::AckCallback done_;  // null: nobody waits
};

}  // namespace raftmq::store
