#include "store/arrivals.h"

#include <algorithm>

namespace raftmq::store {

void ArrivalNotes::Add(std::string_view topic, QueueId queue) {
  if (listener_ == nullptr) return;
  auto note = notes_.find(topic);
  if (note == notes_.end()) note = notes_.try_emplace(std::string(topic)).first;
  std::vector<QueueId>& queues = note->second;
  // Batches go to one queue; Tell removes the repetitions that slip through.
  if (!queues.empty() && queues.back() == queue) return;
  queues.push_back(queue);
}

void ArrivalNotes::SetEarliestFinalEnd(std::optional<int64_t> end_ms) {
  if (end_ms.has_value() && (!earliest_final_ms_.has_value() || *end_ms < *earliest_final_ms_)) {
    final_is_earlier_ = listener_ != nullptr;
  }
  earliest_final_ms_ = end_ms;
}

void ArrivalNotes::Tell(const AppliedState& applied) {
  if (final_is_earlier_) {
    final_is_earlier_ = false;
    listener_->OnEarlierFinalLease();
  }
  if (notes_.empty()) return;
  for (auto& [topic, queues] : notes_) {
    std::sort(queues.begin(), queues.end());
    queues.erase(std::unique(queues.begin(), queues.end()), queues.end());
    std::vector<QueueOffset> ends(queues.size());
    applied.Read([&](const BrokerState& state) {
      for (size_t i = 0; i < queues.size(); ++i) {
        const auto queue = state.FindQueue(topic, queues[i]);
        if (queue.has_value()) ends[i] = queue->max;
      }
    });
    for (size_t i = 0; i < queues.size(); ++i) listener_->OnArrival(topic, queues[i], ends[i]);
  }
  notes_.clear();
}

}  // namespace raftmq::store
