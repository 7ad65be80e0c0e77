#include "store/arrivals.h"

#include <algorithm>
#include <utility>

namespace raftmq::store {

ArrivalNotes::Note& ArrivalNotes::NoteOf(std::string_view topic, QueueId queue) {
  auto of_topic = notes_.find(topic);
  if (of_topic == notes_.end()) of_topic = notes_.try_emplace(std::string(topic)).first;
  return of_topic->second[queue];
}

void ArrivalNotes::AddMessage(std::string_view topic, QueueId queue, QueueOffset offset,
                              int64_t entry_tag) {
  if (listener_ == nullptr) return;
  Note& note = NoteOf(topic, queue);
  if (!note.first.has_value()) note.first = offset;
  if (note.any || std::find(note.tags.begin(), note.tags.end(), entry_tag) != note.tags.end()) {
    return;
  }
  if (note.tags.size() == kMaxTags) {
    note.any = true;
  } else {
    note.tags.push_back(entry_tag);
  }
}

void ArrivalNotes::AddOlder(std::string_view topic, QueueId queue) {
  if (listener_ != nullptr) NoteOf(topic, queue).any = true;
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
  for (auto& [topic, notes] : notes_) {
    std::vector<std::pair<QueueId, Arrival>> arrivals;
    arrivals.reserve(notes.size());
    applied.Read([&](const BrokerState& state) {
      for (auto& [id, note] : notes) {
        Arrival& arrival = arrivals.emplace_back(id, Arrival()).second;
        if (const auto queue = state.FindQueue(topic, id)) arrival.max = queue->max;
        arrival.first = note.first.value_or(arrival.max);
        if (!note.any) arrival.tags = std::move(note.tags);
      }
    });
    for (const auto& [id, arrival] : arrivals) listener_->OnArrival(topic, id, arrival);
  }
  notes_.clear();
}

}  // namespace raftmq::store
