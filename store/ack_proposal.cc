#include "store/ack_proposal.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/strings.h"
#include "store/outcome.h"
#include "store/reason.h"
#include "store/receipt_handle.h"

namespace raftmq::store {

void AckProposal::Start(StoreContext* context, std::string group, std::string topic,
                        std::vector<std::string> handles, MessageStore::AckCallback done) {
  if (handles.empty()) {
    done({});
    return;
  }
  if (handles.size() > static_cast<size_t>(context->options.max_handles_per_ack)) {
    done(std::vector<absl::Status>(
        handles.size(),
        Refuse(Reason::kBusy, StrCat("one ack has ", handles.size(), " handles, at most ",
                                     context->options.max_handles_per_ack, " are taken at once"))));
    return;
  }
  std::unique_ptr<AckProposal> ack(new AckProposal(context, std::move(group), std::move(topic)));
  ack->statuses_.resize(handles.size());
  ack->handles_ = std::move(handles);
  ack->done_ = std::move(done);
  context->ledger->Propose(std::move(ack));
}

void AckProposal::StartFiltered(StoreContext* context, std::string group, std::string topic,
                                std::vector<Ack::Item> items) {
  std::unique_ptr<AckProposal> ack(new AckProposal(context, std::move(group), std::move(topic)));
  ack->leased_ = std::move(items);
  context->ledger->Propose(std::move(ack));
}

bool AckProposal::AlreadyAcked(const BrokerState& state, const std::string& text) const {
  const auto handle = ParseReceiptHandle(text);
  if (!handle.ok() || handle->names_crc != ReceiptNamesCrc(group_, topic_)) return false;
  const auto progress = state.FindProgress(group_, topic_, handle->queue);
  return progress.has_value() && handle->offset < progress->next_offset &&
         handle->lease_id < state.next_lease_id() &&
         state.FindLease(group_, topic_, handle->queue, handle->offset) == nullptr &&
         !state.dead_lettered().Contains({handle->names_crc, handle->queue, handle->offset},
                                         handle->lease_id);
}

void AckProposal::CheckHandles(const BrokerState& state, std::vector<Ack::Item>* items) {
  absl::flat_hash_set<uint64_t> seen;
  for (size_t i = 0; i < handles_.size(); ++i) {
    const auto leased = state.CheckHandle(group_, topic_, handles_[i]);
    if (leased.ok()) {
      if (handles_.size() > 1 && !seen.insert(leased->lease.lease_id).second) continue;
      items->push_back({leased->queue, leased->offset, leased->lease.lease_id});
    } else if (!AlreadyAcked(state, handles_[i])) {
      statuses_[i] = leased.status();
    }
  }
}

absl::Status AckProposal::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  std::vector<Ack::Item> items;
  CheckHandles(view.state(), &items);
  for (const Ack::Item& item : leased_) {
    const Lease* lease = view.state().FindLease(group_, topic_, item.queue, item.offset);
    if (lease != nullptr && lease->lease_id == item.lease_id) items.push_back(item);
  }
  if (items.empty()) return absl::OkStatus();  // answered when the earlier acks are committed
  return view.Log(Ack{group_, topic_, std::move(items)}, writer);
}

void AckProposal::Done(const dledger::ProposalOutcome& outcome) {
  if (done_ == nullptr) {
    LOG_IF(INFO, !outcome.status.ok())
        << "messages of topic " << topic_ << " that group " << group_
        << "'s filter left out stay leased for now: " << outcome.status;
    return;
  }
  if (!outcome.status.ok()) {
    const absl::Status failure =
        StatusOf(outcome, StrCat("ack of group ", group_, " on topic ", topic_));
    for (absl::Status& status : statuses_) {
      if (status.ok()) status = failure;
    }
  }
  done_(std::move(statuses_));
}

}  // namespace raftmq::store
