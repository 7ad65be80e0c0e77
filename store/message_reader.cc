#include "store/message_reader.h"

#include <memory>
#include <optional>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

// OutOfRange: neither queue nor log has it (any more).
absl::StatusOr<std::string> ReadFromLog(const StoreContext& context, const std::string& topic,
                                        QueueId queue, QueueOffset offset) {
  const std::shared_ptr<ConsumeQueue> consume_queue = context.queues->Find(topic, queue);
  if (consume_queue == nullptr) return absl::OutOfRangeError("the queue has no messages");
  RAFTMQ_ASSIGN_OR_RETURN(const ConsumeQueueEntry entry, consume_queue->Get(offset));
  return context.records.Read(entry, topic, queue, offset);
}

}  // namespace

absl::StatusOr<std::string> ReadMessage(const StoreContext& context, const std::string& topic,
                                        QueueId queue, QueueOffset offset) {
  absl::StatusOr<std::string> record = ReadFromLog(context, topic, queue, offset);
  if (!absl::IsOutOfRange(record.status())) return record;
  const auto kept =
      context.applied.Read([&](const BrokerState& state) -> std::optional<LogPosition> {
        const LogPosition* position = state.kept().Find(topic, queue, offset);
        return position == nullptr ? std::nullopt : std::optional(*position);
      });
  if (kept.has_value()) return context.records.ReadAt(*kept);
  return Refuse(Reason::kMessageNotFound,
                StrCat("topic ", topic, " queue ", queue, " offset ", offset,
                       " is gone: it expired, or its topic was deleted"));
}

}  // namespace raftmq::store
