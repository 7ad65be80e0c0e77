// TransactionTable: the half messages that are neither committed nor rolled back.
//
// Part of BrokerState, whose owner rules who may call it. Copies of a state (LeaderView's) have
// none of it: a transaction is ended only once its half message is applied, since that must be
// read.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "base/ids.h"
#include "store/settlement.h"

namespace raftmq::store {

struct HalfMessage {
  int32_t record_size = 0;
  int64_t stored_ms = 0;      // log time
  int64_t next_check_ms = 0;  // log time at which its producers are asked next
  int32_t checks = 0;         // how often they were

  bool operator==(const HalfMessage&) const = default;
};

class TransactionTable {
 public:
  // Adds it or changes it.
  void Put(LogPosition position, const HalfMessage& half) {
    Erase(position);
    halves_.emplace(position, half);
    by_check_.emplace(half.next_check_ms, position);
  }

  // False: there is no such transaction.
  bool Erase(LogPosition position) {
    auto it = halves_.find(position);
    if (it == halves_.end()) return false;
    by_check_.erase({it->second.next_check_ms, position});
    halves_.erase(it);
    return true;
  }

  // Null if it is not open.
  const HalfMessage* Find(LogPosition position) const {
    auto it = halves_.find(position);
    return it == halves_.end() ? nullptr : &it->second;
  }

  // Those to be checked at `now_ms`, longest due first, at most `max`.
  std::vector<std::pair<LogPosition, HalfMessage>> DueForCheck(int64_t now_ms, size_t max) const {
    std::vector<std::pair<LogPosition, HalfMessage>> due;
    for (const auto& [check_ms, position] : by_check_) {
      if (check_ms > now_ms || due.size() >= max) break;
      due.emplace_back(position, *Find(position));
    }
    return due;
  }

  // The first of DueForCheck's times; none without an open transaction.
  std::optional<int64_t> NextCheckMs() const {
    if (by_check_.empty()) return std::nullopt;
    return by_check_.begin()->first;
  }

  // From `from` on, in log order, at most `max`.
  std::vector<std::pair<LogPosition, HalfMessage>> List(LogPosition from, size_t max) const {
    std::vector<std::pair<LogPosition, HalfMessage>> list;
    for (auto it = halves_.lower_bound(from); it != halves_.end() && list.size() < max; ++it) {
      list.emplace_back(it->first, it->second);
    }
    return list;
  }

  size_t size() const { return halves_.size(); }

  // In log order.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    for (const auto& [position, half] : halves_) visit(position, half);
  }

 private:
  absl::btree_map<LogPosition, HalfMessage> halves_;
  absl::btree_set<std::pair<int64_t, LogPosition>> by_check_;
};

}  // namespace raftmq::store
