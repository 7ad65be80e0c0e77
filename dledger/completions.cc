#include "dledger/completions.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace raftmq::dledger {

void Completions::AddLogged(LogIndex index, std::unique_ptr<Proposal> proposal,
                            int64_t deadline_nanos) {
  Waiting waiting{index, true, 0, std::move(proposal)};
  switch (waiting.proposal->ack_level()) {
    case AckLevel::kLeaderMemory:
      appended_.push_back(std::move(waiting));
      return;
    case AckLevel::kMajorityMemory:
      memory_.push_back(std::move(waiting));
      return;
    case AckLevel::kMajorityDisk:
      disk_.push_back(std::move(waiting));
      return;
    case AckLevel::kAllDisks:
      waiting.deadline_nanos = deadline_nanos;
      all_disks_.push_back(std::move(waiting));
      return;
  }
}

void Completions::AddUnlogged(LogIndex index, std::unique_ptr<Proposal> proposal,
                              int64_t deadline_nanos) {
  Waiting waiting{index, false, deadline_nanos, std::move(proposal)};
  if (waiting.proposal->ack_level() == AckLevel::kAllDisks) {
    all_disks_.push_back(std::move(waiting));
  } else if (index <= committed_) {
    Answer(std::move(waiting), absl::OkStatus(), true);
  } else {
    disk_.push_back(std::move(waiting));
  }
}

void Completions::OnAppended() {
  if (!appended_.empty()) AnswerUpTo(&appended_, appended_.back().index, false);
}

void Completions::OnCommitted(LogIndex index) {
  committed_ = std::max(committed_, index);
  AnswerUpTo(&disk_, committed_, true);
  AnswerUpTo(&memory_, committed_, true);
}

void Completions::OnReplicated(LogIndex index) { AnswerUpTo(&memory_, index, false); }

void Completions::OnAllDurable(LogIndex index, int64_t now_nanos) {
  AnswerUpTo(&all_disks_, std::min(index, committed_), true);
  while (!all_disks_.empty() && all_disks_.front().index <= committed_ &&
         all_disks_.front().deadline_nanos <= now_nanos) {
    Waiting waiting = std::move(all_disks_.front());
    all_disks_.pop_front();
    Answer(std::move(waiting),
           absl::UnknownError("a majority's disks have it, but not those of all voters in time"),
           true);
  }
}

void Completions::FailAll(const absl::Status& why) {
  FailLine(&appended_, why);
  FailLine(&disk_, why);
  FailLine(&memory_, why);
  FailLine(&all_disks_, why);
}

void Completions::FailLine(Line* line, const absl::Status& why) {
  Line failed;
  failed.swap(*line);
  for (Waiting& waiting : failed) {
    const bool committed = waiting.index <= committed_;
    Answer(std::move(waiting),
           waiting.logged ? absl::UnknownError(
                                StrCat("logged, but ", Message(why), ": it may or may not survive"))
                          : absl::FailedPreconditionError(why.message()),
           committed);
  }
}

void Completions::AnswerUpTo(Line* line, LogIndex index, bool committed) {
  while (!line->empty() && line->front().index <= index) {
    Waiting waiting = std::move(line->front());
    line->pop_front();
    Answer(std::move(waiting), absl::OkStatus(), committed);
  }
}

void Completions::Answer(Waiting waiting, absl::Status status, bool committed) {
  ProposalOutcome outcome;
  outcome.status = std::move(status);
  outcome.term = term_;
  if (waiting.logged) outcome.index = waiting.index;
  outcome.committed = committed;
  waiting.proposal->Done(outcome);
}

}  // namespace raftmq::dledger
