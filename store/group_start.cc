#include "store/group_start.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "store/names.h"
#include "store/reason.h"

namespace raftmq::store {

namespace {

QueueOffset StartOf(const GroupConfig& group, const QueueEnds& ends, size_t queue,
                    const std::vector<QueueOffset>* offsets_by_time) {
  switch (group.consume_from) {
    case ConsumeFrom::kFirst:
      return ends.min;
    case ConsumeFrom::kLast:
      return ends.max;
    case ConsumeFrom::kTimestamp:
      // A queue that came after the offsets were read has younger messages only.
      if (queue >= offsets_by_time->size()) return ends.min;
      return std::clamp((*offsets_by_time)[queue], ends.min, ends.max);
  }
  return ends.min;
}

}  // namespace

absl::StatusOr<GroupStart> StartGroup(LeaderView& view, const std::string& group,
                                      const std::string& topic,
                                      const std::vector<QueueOffset>* offsets_by_time,
                                      dledger::ProposalWriter& writer) {
  BrokerState& state = view.state();
  bool logged = false;
  if (state.FindGroup(group) == nullptr) {
    RAFTMQ_RETURN_IF_ERROR(CheckGroupName(group));
    GroupConfig config;
    config.name = group;
    RAFTMQ_RETURN_IF_ERROR(view.Log(PutGroup{std::move(config)}, writer));
    logged = true;
  }
  if (state.HasPositions(group, topic)) return GroupStart::kStarted;
  const GroupConfig& config = *state.FindGroup(group);
  // What failed is the group's own, and may be there before anybody has looked for it.
  const bool is_own = topic == RetryTopicOf(group);
  if (config.consume_from == ConsumeFrom::kTimestamp && offsets_by_time == nullptr && !is_own) {
    return GroupStart::kNeedsTimes;
  }
  InitPositions init{group, topic, {}};
  const int32_t queues = state.QueueCount(topic);
  init.items.reserve(queues);
  for (int32_t q = 0; q < queues; ++q) {
    const auto ends = state.FindQueue(topic, QueueId(q));
    CHECK(ends.has_value()) << topic << " queue " << q;
    // A lite topic that there was when the group subscribed to it has a position from then on.
    const bool is_younger = IsLiteTopic(topic) && config.consume_from == ConsumeFrom::kLast;
    init.items.push_back({QueueId(q), is_own || is_younger
                                          ? ends->min
                                          : StartOf(config, *ends, q, offsets_by_time)});
  }
  const absl::Status status = view.Log(std::move(init), writer);
  if (status.ok()) return GroupStart::kStarted;
  if (logged) return GroupStart::kCutShort;
  return status;
}

absl::StatusOr<std::vector<QueueOffset>> StartOffsetsByTime(const StoreContext& context,
                                                            const std::string& group,
                                                            const std::string& topic) {
  const std::optional<int64_t> from_ms =
      context.applied.Read([&](const BrokerState& state) -> std::optional<int64_t> {
        const GroupConfig* config = state.FindGroup(group);
        if (config == nullptr) return std::nullopt;
        return config->consume_timestamp_ms;
      });
  if (!from_ms.has_value()) return std::vector<QueueOffset>();
  return OffsetsByTime(context, topic, *from_ms);
}

absl::StatusOr<std::vector<QueueOffset>> OffsetsByTime(const StoreContext& context,
                                                       const std::string& topic, int64_t from_ms) {
  std::vector<QueueEnds> ends;
  context.applied.Read([&](const BrokerState& state) {
    for (int32_t q = 0; q < state.QueueCount(topic); ++q) {
      ends.push_back(state.FindQueue(topic, QueueId(q)).value());
    }
  });
  std::vector<QueueOffset> offsets;
  offsets.reserve(ends.size());
  for (size_t q = 0; q < ends.size(); ++q) {
    const auto queue = context.queues->Find(topic, QueueId(static_cast<int32_t>(q)));
    if (queue == nullptr) {
      offsets.push_back(ends[q].min);
      continue;
    }
    RAFTMQ_ASSIGN_OR_RETURN(
        const QueueOffset offset,
        queue->OffsetByTime(from_ms, TimeBoundary::kLower, [&](const ConsumeQueueEntry& entry) {
          return context.records.StoreTime(entry);
        }));
    offsets.push_back(offset);
  }
  return offsets;
}

}  // namespace raftmq::store
