// Majorities of a set of voters.
//
// Pure functions and a value; no thread rules.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"

namespace raftmq::raft {

// More than half.
inline constexpr size_t Majority(size_t voters) { return voters / 2 + 1; }

// The highest index that a majority reached, given one index per voter. REQUIRES: not empty.
LogIndex MajorityIndex(std::vector<LogIndex> reached);

enum class VoteResult { kPending, kWon, kLost };

// Counts the votes of one campaign. A voter's first answer stands; others' are ignored.
class VoteTally {
 public:
  void Start(std::vector<MemberId> voters);
  void Record(MemberId voter, bool granted);
  VoteResult Result() const;

 private:
  std::vector<MemberId> voters_;
  std::map<MemberId, bool> answers_;
};

}  // namespace raftmq::raft
