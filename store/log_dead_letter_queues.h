// LogDeadLetterQueues: DeadLetterQueues over the log; a part of LogMessageStore.
#pragma once

#include <string>
#include <vector>

#include "store/dead_letter_queues.h"
#include "store/store_context.h"

namespace raftmq::store {

class LogDeadLetterQueues final : public DeadLetterQueues {
 public:
  // `context` outlives it.
  explicit LogDeadLetterQueues(StoreContext* context) : context_(context) {}

  void FindDue(size_t max, DueCallback done) override;
  void MoveDue(std::vector<FinalLease> due, MoveCallback done) override;
  void Forward(std::string group, std::string topic, std::string handle,
               DoneCallback done) override;
  void Redrive(RedriveRequest request, RedriveCallback done) override;

 private:
  StoreContext* const context_;
};

}  // namespace raftmq::store
