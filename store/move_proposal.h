// MoveOffsetsProposal: an operator moves a group's offsets on a topic (offset_move.h). Where to is
// decided against the leader's view, for all queues at once, so that nothing comes between.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dledger/ledger.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class MoveOffsetsProposal final : public dledger::Proposal {
 public:
  // Looks up what needs the disk, then proposes. Answered once it is applied on this member.
  static void Start(StoreContext* context, OffsetMoveRequest request,
                    MessageStore::MoveCallback done);

  MoveOffsetsProposal(StoreContext* context, OffsetMoveRequest request,
                      MessageStore::MoveCallback done)
      : context_(context), request_(std::move(request)), done_(std::move(done)) {}

  absl::Status Decide(dledger::ProposalWriter& writer) override;
  void Done(const dledger::ProposalOutcome& outcome) override;
  size_t ByteSize() const override { return 4096; }

 private:
  // What to log, by what the state says; nothing is changed.
  absl::StatusOr<MoveOffsets> Plan(const BrokerState& state) const;
  absl::StatusOr<MoveOffsets> PlanUndo(const BrokerState& state, uint64_t number) const;
  absl::StatusOr<QueueOffset> Target(const BrokerState& state, QueueId queue,
                                     const QueueEnds& ends) const;
  std::string What() const;

  StoreContext* const context_;
  OffsetMoveRequest request_;
  MessageStore::MoveCallback done_;
  // By queue, read before: with ToTime, and where the group starts if that is at a time.
  std::vector<QueueOffset> target_by_time_;
  std::optional<std::vector<QueueOffset>> start_by_time_;
  OffsetMove moved_;
  bool needs_times_ = false;
  bool cut_short_ = false;
};

}  // namespace raftmq::store
