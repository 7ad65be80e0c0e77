// FinalLeases: the leases of last attempts, ordered by their ends: once one is over, its message is
// not given out again but dead-lettered.
//
// Part of BrokerState, whose owner rules who may call it. Follows from the leases and the groups'
// retry_max_times; it has no rows of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "store/settlement.h"

namespace raftmq::store {

struct FinalLease {
  LeaseRef lease;
  int32_t attempt = 0;
};

class FinalLeases {
 public:
  void Put(int64_t until_ms, FinalLease lease) {
    const uint64_t id = lease.lease.lease_id;
    by_end_.insert_or_assign({until_ms, id}, std::move(lease));
  }
  // Nothing happens if it is not among them.
  void Erase(int64_t until_ms, uint64_t lease_id) {
    if (!by_end_.empty()) by_end_.erase({until_ms, lease_id});
  }

  // Those that are over at `lease_now_ms`, earliest first, at most `max`.
  std::vector<FinalLease> Over(int64_t lease_now_ms, size_t max) const {
    std::vector<FinalLease> over;
    for (const auto& [end, lease] : by_end_) {
      if (end.first > lease_now_ms || over.size() >= max) break;
      over.push_back(lease);
    }
    return over;
  }

  // None: there is no lease.
  std::optional<int64_t> EarliestEnd() const {
    if (by_end_.empty()) return std::nullopt;
    return by_end_.begin()->first.first;
  }
  // Of those that are not over at `lease_now_ms`.
  std::optional<int64_t> EarliestEndAfter(int64_t lease_now_ms) const {
    const auto it = by_end_.lower_bound({lease_now_ms + 1, 0});
    if (it == by_end_.end()) return std::nullopt;
    return it->first.first;
  }

  size_t size() const { return by_end_.size(); }
  bool empty() const { return by_end_.empty(); }

 private:
  absl::btree_map<std::pair<int64_t, uint64_t>, FinalLease> by_end_;  // by end and lease id
};

}  // namespace raftmq::store
