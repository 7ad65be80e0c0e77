// BrokerState as text.

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "store/broker_state.h"

namespace raftmq::store {
namespace {

std::string TopicLine(const TopicConfig& c, size_t queues) {
  return StrCat(
      "topic ", c.name, " read=", c.read_queues, " write=", c.write_queues,
      " perm=", static_cast<int>(c.perm), " type=", static_cast<int>(c.type),
      c.ack_level ? StrCat(" ack=", dledger::AckLevelName(*c.ack_level)) : std::string(),
      c.lite_expiration_minutes < 0 ? std::string()
                                    : StrCat(" lite_expiration=", c.lite_expiration_minutes),
      c.reserve_hours < 0 ? std::string() : StrCat(" reserve_hours=", c.reserve_hours),
      " queues=", queues, " created_index=", c.created_index, " created_ms=", c.created_ms);
}

// The default is left out.
std::string PolicyText(const RetryPolicy& policy) {
  if (policy == RetryPolicy()) return "";
  if (policy.kind == RetryPolicy::Kind::kExponential) {
    return StrCat(" backoff=", policy.initial_ms, "*", policy.multiplier, "<=", policy.max_ms);
  }
  return StrCat(" backoff=", absl::StrJoin(policy.delays_ms, ","));
}

std::string GroupLine(const GroupConfig& c) {
  return StrCat("group ", c.name, " enable=", static_cast<int>(c.consume_enable),
                " orderly=", static_cast<int>(c.orderly), " retry=", c.retry_max_times,
                PolicyText(c.retry_policy), " from=", static_cast<int>(c.consume_from),
                " timestamp=", c.consume_timestamp_ms, c.lite_exclusive ? " lite=exclusive" : "",
                c.lite_client_quota == GroupConfig().lite_client_quota
                    ? std::string()
                    : StrCat(" lite_quota=", c.lite_client_quota),
                " created_index=", c.created_index, " created_ms=", c.created_ms);
}

std::string LeaseLine(const std::string& where, QueueOffset offset, const Lease& lease) {
  return StrCat("lease ", where, " offset=", offset, " id=", lease.lease_id,
                " until_ms=", lease.until_ms, " attempt=", lease.attempt, " client=\"",
                absl::CEscape(lease.owner->client_id), "\" attempt_id=\"",
                absl::CEscape(lease.owner->attempt_id), "\"",
                lease.message_group == 0 ? "" : StrCat(" message_group=", lease.message_group));
}

// Up to EndedTransactions::kMax of them: told apart by a checksum.
std::string EndedLine(const std::deque<EndedTransactions::Entry>& entries) {
  std::string bytes;
  for (const EndedTransactions::Entry& entry : entries) {
    AppendBe(&bytes, entry.number);
    AppendBe(&bytes, entry.position.value());
    AppendBe(&bytes, static_cast<uint8_t>(entry.end));
  }
  return StrCat("ended_transactions count=", entries.size(), " last=", entries.back().number,
                " crc=", Crc32c(bytes));
}

std::string DeadLine(const std::deque<DeadLettered::Entry>& entries) {
  std::string bytes;
  for (const DeadLettered::Entry& entry : entries) {
    const auto& [names_crc, queue, offset] = entry.place;
    AppendBe(&bytes, entry.number);
    AppendBe(&bytes, names_crc);
    AppendBe(&bytes, queue.value());
    AppendBe(&bytes, offset.value());
    AppendBe(&bytes, entry.lease_id);
  }
  return StrCat("dead_lettered count=", entries.size(), " last=", entries.back().number,
                " crc=", Crc32c(bytes));
}

std::string MoveLine(const std::string& group, const OffsetMove& move) {
  std::string items;
  for (const OffsetMove::Item& item : move.items) {
    items += StrCat(" ", item.queue, ":", item.from, ">", item.to);
  }
  return StrCat("offset_move ", group, " ", move.number, " time_ms=", move.log_time_ms, " ",
                OffsetMoveKindName(move.kind),
                move.undoes == 0 ? "" : StrCat(" undoes=", move.undoes), " ", move.topic, " who=\"",
                absl::CEscape(move.who), "\" why=\"", absl::CEscape(move.why), "\"", items);
}

}  // namespace

std::string BrokerState::DumpText() const {
  std::vector<std::string> lines;
  lines.push_back(StrCat("applied index=", applied_index_));
  lines.push_back(StrCat("clock log_time_ms=", log_time_ms_, " lease_time_ms=", lease_time_ms_,
                         " next_lease_id=", next_lease_id_));
  for (const auto& [name, topic] : topics_) {
    lines.push_back(TopicLine(topic.config, topic.queues.size()));
    for (size_t q = 0; q < topic.queues.size(); ++q) {
      const QueueEnds& ends = topic.queues[q].ends;
      if (ends == QueueEnds{}) continue;
      lines.push_back(StrCat("queue ", name, " ", q, " min=", ends.min, " max=", ends.max,
                             " last_store_ms=", ends.last_store_ms,
                             ends.for_one_end == QueueOffset(0)
                                 ? ""
                                 : StrCat(" for_one=", ends.for_one_begin, "-", ends.for_one_end)));
    }
  }
  for (const auto& [name, group] : groups_) {
    lines.push_back(GroupLine(group.config));
    for (const auto& move : group.moves.moves()) lines.push_back(MoveLine(name, *move));
    for (const auto& [topic, positions] : group.topics) {
      for (size_t q = 0; q < positions.size(); ++q) {
        if (!positions[q].set) continue;
        const Position& position = positions[q].position;
        std::string where = StrCat(name, " ", topic, " ", q);
        lines.push_back(
            StrCat("position ", where, " commit=", position.commit(), " next=", position.next()));
        for (const auto& [offset, lease] : position.inflight()) {
          lines.push_back(LeaseLine(where, offset, lease));
        }
      }
    }
  }
  timers_.ForEach([&lines](const Timer& timer) {
    lines.push_back(StrCat("timer due_ms=", timer.ref.due_ms, " position=", timer.ref.position,
                           " size=", timer.record_size));
  });
  transactions_.ForEach([&lines](LogPosition position, const HalfMessage& half) {
    lines.push_back(StrCat("transaction position=", position, " size=", half.record_size,
                           " stored_ms=", half.stored_ms, " next_check_ms=", half.next_check_ms,
                           " checks=", half.checks));
  });
  if (!ended_transactions_.entries().empty()) {
    lines.push_back(EndedLine(ended_transactions_.entries()));
  }
  redriven_.ForEach(
      [&lines](const std::string& topic, QueueId queue, QueueOffset begin, QueueOffset end) {
        lines.push_back(StrCat("redriven ", topic, " ", queue, " from=", begin, " to=", end));
      });
  if (!final_leases_.empty()) {
    lines.push_back(StrCat("final_leases count=", final_leases_.size(),
                           " earliest_end_ms=", *final_leases_.EarliestEnd()));
  }
  if (min_position_ > LogPosition(0)) {
    lines.push_back(StrCat("retained min_position=", min_position_));
  }
  kept_.ForEach([&lines](LogPosition position, const KeptRecord& record) {
    lines.push_back(StrCat("kept position=", position, " topic=", record.topic, " queue=",
                           record.queue, " offset=", record.offset, " size=", record.size));
  });
  for (const auto& [name, lock] : queue_locks_) {
    lines.push_back(StrCat("queue_lock ", name.group, " ", name.topic, " ", name.queue,
                           " until_ms=", lock.until_ms, " client=\"", absl::CEscape(lock.client_id),
                           lock.revoked ? "\" revoked" : "\""));
  }
  for (const auto& [client_id, client] : lite_subscriptions_.clients()) {
    for (const std::string& lite_topic : client.lite_topics) {
      lines.push_back(StrCat("lite_subscription ", client.group, " ", client.topic, " ", lite_topic,
                             " client=\"", absl::CEscape(client_id), "\""));
    }
  }
  if (!dead_lettered_.entries().empty()) lines.push_back(DeadLine(dead_lettered_.entries()));
  std::sort(lines.begin(), lines.end());
  return absl::StrJoin(lines, "\n") + "\n";
}

}  // namespace raftmq::store
