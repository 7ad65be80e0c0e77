// RedrivenMessages: which messages of dead-letter queues were sent back to where they came from, so
// that none is sent twice. Kept as ranges of offsets: it stays small when a queue is re-driven from
// its front.
//
// Part of BrokerState, whose owner rules who may call it. Replicated.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_map.h"
#include "base/ids.h"

namespace raftmq::store {

class RedrivenMessages {
 public:
  using Queue = std::pair<std::string, QueueId>;  // topic and queue
  // [first, second)
  using Ranges = absl::btree_map<QueueOffset, QueueOffset>;

  bool Contains(std::string_view topic, QueueId queue, QueueOffset offset) const {
    const auto found = queues_.find(Queue(topic, queue));
    if (found == queues_.end()) return false;
    auto it = found->second.upper_bound(offset);
    return it != found->second.begin() && std::prev(it)->second > offset;
  }

  // What changed: the range that begins there ends now at `end`, or is gone (end <= begin).
  using OnChange = std::function<void(QueueOffset begin, QueueOffset end)>;

  // False: it was there already.
  bool Add(std::string_view topic, QueueId queue, QueueOffset offset, const OnChange& on_change) {
    Ranges& ranges = queues_[Queue(topic, queue)];
    auto after = ranges.upper_bound(offset);
    auto before = after == ranges.begin() ? ranges.end() : std::prev(after);
    if (before != ranges.end() && before->second > offset) return false;
    QueueOffset end = offset + 1;
    if (after != ranges.end() && after->first == end) {
      end = after->second;
      on_change(after->first, after->first);
      ranges.erase(after);  // invalidates `before`
      after = ranges.upper_bound(offset);
      before = after == ranges.begin() ? ranges.end() : std::prev(after);
    }
    if (before != ranges.end() && before->second == offset) {
      before->second = end;
      on_change(before->first, end);
    } else {
      ranges[offset] = end;
      on_change(offset, end);
    }
    return true;
  }

  // One range that was stored.
  void Load(std::string_view topic, QueueId queue, QueueOffset begin, QueueOffset end) {
    queues_[Queue(topic, queue)][begin] = end;
  }

  // The topic is deleted.
  void EraseTopic(std::string_view topic, const std::function<void(QueueId, QueueOffset)>& gone) {
    for (auto it = queues_.lower_bound(Queue(topic, QueueId(0)));
         it != queues_.end() && it->first.first == topic;) {
      for (const auto& [begin, end] : it->second) gone(it->first.second, begin);
      it = queues_.erase(it);
    }
  }

  // By topic, queue and offset.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    for (const auto& [queue, ranges] : queues_) {
      for (const auto& [begin, end] : ranges) visit(queue.first, queue.second, begin, end);
    }
  }

 private:
  absl::btree_map<Queue, Ranges> queues_;
};

}  // namespace raftmq::store
