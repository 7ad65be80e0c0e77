#include "raft/quorum.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "glog/logging.h"

namespace raftmq::raft {

LogIndex MajorityIndex(std::vector<LogIndex> reached) {
  CHECK(!reached.empty());
  const size_t at = Majority(reached.size()) - 1;
  std::nth_element(reached.begin(), reached.begin() + at, reached.end(), std::greater<>());
  return reached[at];
}

void VoteTally::Start(std::vector<MemberId> voters) {
  voters_ = std::move(voters);
  answers_.clear();
}

void VoteTally::Record(MemberId voter, bool granted) {
  if (std::find(voters_.begin(), voters_.end(), voter) == voters_.end()) return;
  answers_.emplace(voter, granted);
}

VoteResult VoteTally::Result() const {
  const size_t granted =
      std::count_if(answers_.begin(), answers_.end(), [](const auto& a) { return a.second; });
  const size_t refused = answers_.size() - granted;
  const size_t needed = Majority(voters_.size());
  if (granted >= needed) return VoteResult::kWon;
  if (refused > voters_.size() - needed) return VoteResult::kLost;
  return VoteResult::kPending;
}

}  // namespace raftmq::raft
