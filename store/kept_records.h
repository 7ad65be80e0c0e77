// KeptRecords: records that something still waits for though the log let go of them: delayed and
// half messages, and messages that are leased. Retention copies them out of the log.
//
// Where they are is here, about 100 bytes each; their bytes are in the database (StateColumn
// kKeptBytes), and here until they are committed there. Part of BrokerState, whose owner rules who
// may call it. Copies of a state have none of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/container/btree_map.h"
#include "base/ids.h"

namespace raftmq::store {

struct KeptRecord {
  std::string topic;
  QueueId queue;
  QueueOffset offset;
  int32_t size = 0;

  bool operator==(const KeptRecord&) const = default;
};

class KeptRecords {
 public:
  using Bytes = std::shared_ptr<const std::string>;

  bool empty() const { return records_.empty(); }
  size_t size() const { return records_.size(); }
  int64_t bytes() const { return bytes_; }
  bool Contains(LogPosition position) const { return records_.contains(position); }

  // `bytes` may be null: they are in the database. False: it is here already.
  bool Add(LogPosition position, KeptRecord record, Bytes bytes) {
    const auto [it, fresh] = records_.try_emplace(position, std::move(record));
    if (!fresh) return false;
    places_[PlaceOf(it->second)] = position;
    bytes_ += it->second.size;
    if (bytes != nullptr) uncommitted_[position] = std::move(bytes);
    return true;
  }

  // False: it is not here.
  bool Erase(LogPosition position) {
    const auto it = records_.find(position);
    if (it == records_.end()) return false;
    const auto place = places_.find(PlaceOf(it->second));
    if (place != places_.end() && place->second == position) places_.erase(place);
    bytes_ -= it->second.size;
    records_.erase(it);
    uncommitted_.erase(position);
    return true;
  }

  // Null if there is none.
  const LogPosition* Find(std::string_view topic, QueueId queue, QueueOffset offset) const {
    const auto it = places_.find(Place(topic, queue, offset));
    return it == places_.end() ? nullptr : &it->second;
  }

  // REQUIRES: Contains(position).
  const KeptRecord& At(LogPosition position) const { return records_.find(position)->second; }
  // Null if they are in the database.
  Bytes UncommittedBytes(LogPosition position) const {
    const auto it = uncommitted_.find(position);
    return it == uncommitted_.end() ? nullptr : it->second;
  }
  void ForgetCommittedBytes() { uncommitted_.clear(); }

  // In log order.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    for (const auto& [position, record] : records_) visit(position, record);
  }

 private:
  using Place = std::tuple<std::string, QueueId, QueueOffset>;
  static Place PlaceOf(const KeptRecord& record) {
    return {record.topic, record.queue, record.offset};
  }

  absl::btree_map<LogPosition, KeptRecord> records_;
  absl::btree_map<Place, LogPosition> places_;
  absl::btree_map<LogPosition, Bytes> uncommitted_;
  int64_t bytes_ = 0;
};

}  // namespace raftmq::store
