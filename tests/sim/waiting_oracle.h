// WaitingOracle: what became of delayed messages and transactions. At the end every member has
// applied
//   - a delayed message of its topic once, and not before it was due; one that was recalled not at
//     all;
//   - a half message whose producer means to commit once, one whose producer means to roll back
//     never.
// What was sent with an unknown outcome may be missing.
//
// Single-threaded, like the simulation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/strings.h"

namespace raftmq::sim {

class WaitingOracle {
 public:
  // A message that waits is sent; each body once. `commit`: what its producer means to do.
  void OnDelayedBegun(const std::string& body, int64_t due_ms) { sent_[body].due_ms = due_ms; }
  void OnHalfBegun(const std::string& body, bool commit) { sent_[body].never = !commit; }
  void OnAcknowledged(const std::string& body) {
    sent_[body].acknowledged = true;
    ++acknowledged_;
  }

  void OnRecallBegun(const std::string& body) { sent_[body].recall_begun = true; }
  void OnRecalled(const std::string& body) {
    sent_[body].never = true;
    ++recalled_;
  }
  // It certainly did nothing.
  void OnRecallRefused(const std::string& body) { sent_[body].recall_begun = false; }

  // A member applied a message of a topic, stored at `store_ms`; each once.
  void OnApplied(int member, const std::string& body, int64_t store_ms) {
    Sent& sent = sent_[body];
    ++sent.seen[member];
    if (store_ms < sent.due_ms) {
      Complain(StrCat(body, " was due at ", sent.due_ms, " and delivered at ", store_ms));
    }
  }

  // When all members have told all of theirs.
  void CheckEnd(const std::vector<int>& members) {
    for (const auto& [body, sent] : sent_) {
      for (const int member : members) {
        const auto it = sent.seen.find(member);
        const int times = it == sent.seen.end() ? 0 : it->second;
        if (sent.never && times > 0) {
          Complain(StrCat(body, " was recalled or rolled back, and is on member ", member));
        }
        const bool may_be_missing = !sent.acknowledged || sent.never || sent.recall_begun;
        if (times > 1 || (times == 0 && !may_be_missing)) {
          Complain(StrCat(body, " is ", times, " times on member ", member));
        }
      }
    }
  }

  const std::vector<std::string>& violations() const { return violations_; }
  size_t acknowledged() const { return acknowledged_; }
  size_t recalled() const { return recalled_; }

 private:
  struct Sent {
    int64_t due_ms = 0;
    bool acknowledged = false;
    bool recall_begun = false;
    bool never = false;       // it must not be seen
    std::map<int, int> seen;  // how often, by member
  };

  void Complain(std::string what) { violations_.push_back(std::move(what)); }

  std::map<std::string, Sent> sent_;
  std::vector<std::string> violations_;
  size_t acknowledged_ = 0;
  size_t recalled_ = 0;
};

}  // namespace raftmq::sim
