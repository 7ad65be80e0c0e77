// ReceiveCall: one Receive on its way through the threads.
//
//   Start          caller         checks the request
//   Scan           read runner    for an orderly group: reads the messages' groups;
//                                 with a filter, or where some messages are for one group alone:
//                                 looks up tag hashes in the consume queues, or reads the records
//                                 for an expression over their properties
//   Decide         replica        picks what to lease against the LeaderView and logs the Grant
//   Continue       replica        the grant is committed
//   Deliver        read runner    reads the records, asks the filter about each, answers
//
// Scan to Deliver may go round a few times (filter_rounds) while a filter finds nothing. The call
// belongs to whichever of these runs or waits to; one that is dropped on the way (the process
// stops) is answered as stopped.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/entry_tag.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class ReceiveCall {
 public:
  static void Start(StoreContext* context, ReceiveRequest request,
                    MessageStore::ReceiveCallback done);
  ~ReceiveCall();

  ReceiveCall(const ReceiveCall&) = delete;
  ReceiveCall& operator=(const ReceiveCall&) = delete;

 private:
  class GrantProposal;
  using Ptr = std::unique_ptr<ReceiveCall>;

  // A queue to look at, and what Scan found there.
  struct QueueScan {
    std::optional<QueueOffset> from;  // none: where the applied position says
    FilterWindow window;
    // Message groups with something in flight, when the scan began: what more there is of them
    // probably has to wait.
    absl::flat_hash_set<uint64_t> busy_groups;
    // Messages from it on are for all groups. As of the last decision.
    QueueOffset for_one_end;
  };

  ReceiveCall(StoreContext* context, ReceiveRequest request, MessageStore::ReceiveCallback done);

  absl::Status CheckRequest() const;
  // Whether something has to be read before it can be decided.
  bool scans() const { return in_order_ || filtered() || some_for_one_; }
  bool filtered() const { return !request_.filter.PassesAll(); }

  static void PostScan(Ptr call);
  static void PostTimes(Ptr call);
  static void PostDeliver(Ptr call);
  static void Propose(Ptr call);
  static void Continue(Ptr call, const dledger::ProposalOutcome& outcome);
  static void Deliver(Ptr call);

  void Scan();
  // What one Scan has looked at in all queues together.
  struct ScanCount {
    int64_t entries = 0;
    int64_t record_bytes = 0;
    int64_t passed = 0;  // probably to be given out
  };
  absl::Status ScanQueue(QueueId queue, QueueScan* scan, ScanCount* count) const;
  // How many entries of one queue a scan looks at.
  size_t WindowSize() const;
  bool PassesScan(const ConsumeQueueEntry& entry, const ConsumeQueue& queue, QueueOffset offset,
                  uint64_t* message_group, ScanCount* count) const;
  void StartScan(const BrokerState& state, QueueId queue);
  absl::Status Decide(dledger::ProposalWriter& writer);
  absl::Status CheckTopic(const TopicConfig* topic) const;
  // The queues to look at: from this call's turn on, or by priority.
  std::vector<QueueId> QueuesInTurn(int32_t count) const;
  absl::Status LogGrant(LeaderView& view, dledger::ProposalWriter& writer);
  void PlanGrant(LeaderView& view);
  void SetScanStarts(const BrokerState& state);
  absl::Status ReadGranted(std::vector<Delivery>* deliveries, std::vector<Ack::Item>* filtered_out);
  // Whether it can have passed a window that it must not pass.
  bool IsSuspect(const GrantItem& item) const;
  bool Passes(const std::string& record) const;
  bool MayScanAgain() const { return scans() && rounds_ < context_->options.filter_rounds; }
  void Answer(absl::StatusOr<ReceiveResult> result);
  void AnswerEmpty();

  StoreContext* const context_;
  ReceiveRequest request_;
  MessageStore::ReceiveCallback done_;  // null once answered
  const EntryTagFilter entry_filter_;
  const uint32_t turn_;
  bool in_order_ = false;      // the group is orderly
  bool by_priority_ = false;   // the topic's queues are priorities
  bool some_for_one_ = false;  // among the next messages, which therefore have to be looked at
  int32_t rounds_ = 0;

  std::vector<QueueScan> scans_;  // by queue
  std::optional<std::vector<QueueOffset>> offsets_by_time_;

  // What the last Decide did.
  bool needs_times_ = false;
  bool cut_short_ = false;
  GrantPlan plan_;
  int64_t lease_until_ms_ = 0;
  std::optional<int64_t> next_visible_in_ms_;
};

}  // namespace raftmq::store
