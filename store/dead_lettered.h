// DeadLettered: the messages that were dead-lettered last, so that a late ack of one is refused
// instead of being taken for the repetition of an earlier one. The oldest is forgotten first.
//
// Part of BrokerState, whose owner rules who may call it. Replicated: the bound is part of the
// format of the log, all members must forget the same. About 80 bytes each in memory.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"

namespace raftmq::store {

class DeadLettered {
 public:
  static constexpr size_t kMax = 100'000;

  // A message of a group: ReceiptNamesCrc of group and topic, queue, offset.
  using Place = std::tuple<uint32_t, QueueId, QueueOffset>;

  struct Entry {
    uint64_t number = 0;  // 1, 2, 3, … in the order in which they were dead-lettered
    Place place;
    uint64_t lease_id = 0;  // of the lease that ended so
  };

  // Returns the new entry; `*forgotten` is the number of the one that went for it, or 0.
  const Entry& Add(const Place& place, uint64_t lease_id, uint64_t* forgotten) {
    return Append({next_number_, place, lease_id}, forgotten);
  }

  // One that was stored. Entries come in the order of their numbers.
  void Load(const Entry& entry) {
    uint64_t forgotten = 0;
    Append(entry, &forgotten);
  }

  // Whether what was leased as `lease_id` there, or after it, ended so.
  bool Contains(const Place& place, uint64_t lease_id) const {
    const auto it = lease_ids_.find(place);
    return it != lease_ids_.end() && lease_id <= it->second;
  }

  const std::deque<Entry>& entries() const { return entries_; }  // oldest first

 private:
  const Entry& Append(const Entry& entry, uint64_t* forgotten) {
    *forgotten = 0;
    if (entries_.size() >= kMax) {
      const Entry& oldest = entries_.front();
      *forgotten = oldest.number;
      // The same place may have come again after an offset was reset.
      const auto it = lease_ids_.find(oldest.place);
      if (it != lease_ids_.end() && it->second == oldest.lease_id) lease_ids_.erase(it);
      entries_.pop_front();
    }
    entries_.push_back(entry);
    lease_ids_[entry.place] = entry.lease_id;
    next_number_ = entry.number + 1;
    return entries_.back();
  }

  std::deque<Entry> entries_;
  absl::flat_hash_map<Place, uint64_t> lease_ids_;
  uint64_t next_number_ = 1;
};

}  // namespace raftmq::store
