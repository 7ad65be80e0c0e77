// EndedTransactions: how the last transactions ended, so that a repeated answer of a producer is
// known for one and a contradicting one is refused. The oldest is forgotten first.
//
// Part of BrokerState, whose owner rules who may call it. Replicated: the bound is part of the
// format of the log, all members must forget the same. About 64 bytes each in memory.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace raftmq::store {

// On disk: never re-used.
enum class TransactionEnd : uint8_t {
  kCommitted = 1,
  kRolledBack = 2,
  kExpired = 3,  // its producers were asked too often; the message is in kCheckMaxTimeTopic
};

class EndedTransactions {
 public:
  static constexpr size_t kMax = 100'000;

  struct Entry {
    uint64_t number = 0;  // 1, 2, 3, … in the order in which they ended
    LogPosition position;
    TransactionEnd end = TransactionEnd::kCommitted;
  };

  // Returns the new entry; `*forgotten` is the number of the one that went for it, or 0.
  const Entry& Add(LogPosition position, TransactionEnd end, uint64_t* forgotten) {
    return Append({next_number_, position, end}, forgotten);
  }

  // One that was stored. Entries come in the order of their numbers.
  void Load(const Entry& entry) {
    uint64_t forgotten = 0;
    Append(entry, &forgotten);
  }

  std::optional<TransactionEnd> Find(LogPosition position) const {
    const auto it = ends_.find(position);
    if (it == ends_.end()) return std::nullopt;
    return it->second;
  }

  const std::deque<Entry>& entries() const { return entries_; }  // oldest first

 private:
  const Entry& Append(const Entry& entry, uint64_t* forgotten) {
    *forgotten = 0;
    if (entries_.size() >= kMax) {
      *forgotten = entries_.front().number;
      ends_.erase(entries_.front().position);
      entries_.pop_front();
    }
    entries_.push_back(entry);
    ends_[entry.position] = entry.end;
    next_number_ = entry.number + 1;
    return entries_.back();
  }

  std::deque<Entry> entries_;
  absl::flat_hash_map<LogPosition, TransactionEnd> ends_;
  uint64_t next_number_ = 1;
};

}  // namespace raftmq::store
