#include "store/store_gauges.h"

#include <utility>

#include "store/names.h"

namespace raftmq::store {
namespace {

int64_t MessagesIn(const BrokerState& state, const std::string& topic) {
  int64_t messages = 0;
  for (int32_t queue = 0; queue < state.QueueCount(topic); ++queue) {
    const auto ends = state.FindQueue(topic, QueueId(queue));
    if (ends.has_value()) messages += ends->max.value();
  }
  return messages;
}

StoreGauges::Backlog BacklogOf(const BrokerState& state, const std::string& group,
                               const std::string& topic) {
  StoreGauges::Backlog backlog{group, topic};
  for (int32_t queue = 0; queue < state.QueueCount(topic); ++queue) {
    const auto progress = state.FindProgress(group, topic, QueueId(queue));
    if (!progress.has_value()) continue;
    // Between its position and the first that was never given out, what is not in flight is acked.
    backlog.lag += progress->max_offset - progress->next_offset + progress->inflight;
    backlog.inflight += progress->inflight;
  }
  return backlog;
}

void ReadTopics(const AppliedState& applied, size_t max_rows, StoreGauges* gauges) {
  const auto topics = applied.Read([](const BrokerState& state) { return state.Topics(); });
  for (const TopicConfig& topic : topics) {
    if (IsLiteTopic(topic.name)) continue;
    ++gauges->topic_count;
    if (gauges->topics.size() >= max_rows) {
      ++gauges->rows_left_out;
      continue;
    }
    const int64_t messages_in =
        applied.Read([&](const BrokerState& state) { return MessagesIn(state, topic.name); });
    gauges->topics.push_back({topic.name, topic.type, messages_in});
  }
}

void ReadBacklogs(const AppliedState& applied, size_t max_rows, StoreGauges* gauges) {
  const auto groups = applied.Read([](const BrokerState& state) { return state.Groups(); });
  gauges->group_count = static_cast<int64_t>(groups.size());
  for (const GroupConfig& group : groups) {
    const auto topics =
        applied.Read([&](const BrokerState& state) { return state.TopicsOf(group.name); });
    for (const std::string& topic : topics) {
      if (IsLiteTopic(topic)) continue;
      if (gauges->backlogs.size() >= max_rows) {
        ++gauges->rows_left_out;
        continue;
      }
      gauges->backlogs.push_back(applied.Read(
          [&](const BrokerState& state) { return BacklogOf(state, group.name, topic); }));
    }
  }
}

}  // namespace

StoreGauges ReadStoreGauges(const AppliedState& applied, size_t max_rows) {
  StoreGauges gauges;
  applied.Read([&](const BrokerState& state) {
    gauges.lite_topic_count = static_cast<int64_t>(state.lite_topic_count());
    gauges.timers = static_cast<int64_t>(state.timers().size());
    gauges.earliest_timer_ms = state.timers().EarliestDueMs();
    gauges.open_transactions = static_cast<int64_t>(state.transactions().size());
  });
  ReadTopics(applied, max_rows, &gauges);
  ReadBacklogs(applied, max_rows, &gauges);
  return gauges;
}

}  // namespace raftmq::store
