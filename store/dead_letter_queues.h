// DeadLetterQueues: what becomes of messages that a group failed to consume. Each goes to the topic
// %DLQ%<group>, in one entry that appends it there and ends its lease, so that it is acked or
// dead-lettered, never both, whatever leader does it.
//
// A part of MessageStore, with its rules: any thread; callbacks run on a thread of the store or on
// the replica thread and must not block; works on the leader only and ends with Reason::kNotLeader
// elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/final_leases.h"
#include "store/redrive.h"

namespace raftmq::store {

class DeadLetterQueues {
 public:
  virtual ~DeadLetterQueues() = default;

  struct Due {
    // Of messages whose last attempt is over, earliest first.
    std::vector<FinalLease> leases;
    // When the next last attempt is over, if nobody acks or prolongs it; none: there is none.
    std::optional<int64_t> next_in_ms;
  };
  // At most `max` that are due now, by the lease clock.
  using DueCallback = absl::AnyInvocable<void(absl::StatusOr<Due>)>;
  virtual void FindDue(size_t max, DueCallback done) = 0;

  // Dead-letters them. `done` gets a status for each, in order, once all are applied or refused.
  // kMessageNotFound: it is not due any more, it was acked or its lease was prolonged.
  using MoveCallback = absl::AnyInvocable<void(std::vector<absl::Status>)>;
  virtual void MoveDue(std::vector<FinalLease> due, MoveCallback done) = 0;

  // Dead-letters a message at its receiver's wish, whatever attempt this is. Repeating it is OK.
  // kInvalidReceiptHandle: it was acked, or given out again.
  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;
  virtual void Forward(std::string group, std::string topic, std::string handle,
                       DoneCallback done) = 0;

  // Sends dead letters back, those that the request wants and that were not sent back before
  // (redrive.h). Answered once that is applied on this member.
  virtual void Redrive(RedriveRequest request, RedriveCallback done) = 0;
};

}  // namespace raftmq::store
