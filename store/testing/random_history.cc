#include "store/testing/random_history.h"

#include <utility>

#include "base/strings.h"
#include "store/commands.h"

namespace raftmq::store {
namespace {

constexpr int kTopics = 3;
constexpr int kGroups = 3;

}  // namespace

absl::Status ApplyEntry(const HistoryEntry& entry, BrokerState* state) {
  for (const std::string& bytes : entry.commands) {
    RAFTMQ_ASSIGN_OR_RETURN(Command command, ParseCommand(bytes));
    RAFTMQ_RETURN_IF_ERROR(state->Apply(command, entry.index));
  }
  for (const HistoryEntry::Record& record : entry.records) {
    RAFTMQ_RETURN_IF_ERROR(state->ApplyRecord(record.topic, record.queue, record.offset,
                                              record.store_ms, entry.index, record.audience));
  }
  return absl::OkStatus();
}

const HistoryEntry& RandomHistory::Next() {
  HistoryEntry entry;
  entry.index = LogIndex(++index_);
  wall_ms_ += random_.Between(0, 20);
  lease_ms_ += random_.Between(0, 20);
  while (!Draw(&entry)) {
  }
  entries_.push_back(std::move(entry));
  return entries_.back();
}

bool RandomHistory::Draw(HistoryEntry* entry) {
  uint64_t draw = random_.Below(1000);
  if (draw < 15) return DrawTopic(entry);
  if (draw < 30) return DrawGroup(entry);
  if (draw < 40) return DrawUpdate(entry);
  if (draw < 45) return DrawMove(entry);
  if (draw < 60) return DrawRedrive(entry);
  if (draw < 75) return DrawLite(entry);
  if (draw < 300) return DrawRecords(entry);
  if (draw < 600) return DrawGrant(entry);
  if (draw < 900) return DrawAck(entry);
  return DrawChange(entry);
}

bool RandomHistory::DrawRecords(HistoryEntry* entry) {
  std::string topic = SomeTopic();
  int32_t queues = leading_.QueueCount(topic);
  if (queues == 0) return false;
  for (int64_t n = random_.Between(1, 20); n > 0; --n) {
    QueueId queue(static_cast<int32_t>(random_.Below(queues)));
    QueueOffset offset = leading_.FindQueue(topic, queue)->max;
    const Audience audience = random_.Chance(0.02) ? Audience::kOneGroup : Audience::kAllGroups;
    entry->records.push_back({topic, queue, offset, wall_ms_, audience});
    absl::Status status =
        leading_.ApplyRecord(topic, queue, offset, wall_ms_, entry->index, audience);
    if (!status.ok()) Fault(status.ToString());
  }
  return true;
}

bool RandomHistory::DrawTopic(HistoryEntry* entry) {
  std::string topic = SomeTopic();
  if (leading_.FindTopic(topic) != nullptr && random_.Chance(0.2)) {
    std::erase_if(reference_, [&](const auto& item) { return std::get<1>(item.first) == topic; });
    std::erase_if(redriven_, [&](const auto& place) { return std::get<0>(place) == topic; });
    Log(entry, DeleteTopic{topic});
    return true;
  }
  TopicConfig config;
  config.name = topic;
  config.read_queues = static_cast<int32_t>(random_.Between(1, 4));
  config.write_queues = static_cast<int32_t>(random_.Between(1, 4));
  Log(entry, PutTopic{config});
  return true;
}

bool RandomHistory::DrawGroup(HistoryEntry* entry) {
  std::string group = SomeGroup();
  if (leading_.FindGroup(group) != nullptr && random_.Chance(0.2)) {
    std::erase_if(reference_, [&](const auto& item) { return std::get<0>(item.first) == group; });
    Log(entry, DeleteGroup{group});
    return true;
  }
  GroupConfig config;
  config.name = group;
  config.retry_max_times = static_cast<int32_t>(random_.Between(0, 20));
  if (random_.Chance(0.3)) config.retry_policy.delays_ms = {random_.Between(0, 9), 10};
  if (random_.Chance(0.3)) config.retry_policy.kind = RetryPolicy::Kind::kExponential;
  Log(entry, PutGroup{config});
  return true;
}

bool RandomHistory::DrawGrant(HistoryEntry* entry) {
  std::string topic = SomeTopic();
  std::string group = SomeGroup();
  int32_t queues = leading_.QueueCount(topic);
  if (queues == 0 || leading_.FindGroup(group) == nullptr) return false;
  if (!leading_.HasPositions(group, topic)) {
    InitPositions init{group, topic, {}};
    for (int32_t q = 0; q < queues; ++q) {
      int64_t max = leading_.FindQueue(topic, QueueId(q))->max.value();
      int64_t start = random_.Between(0, max);
      init.items.push_back({QueueId(q), QueueOffset(start)});
      reference_[{group, topic, q}] = {start, {}, {}, start};
    }
    Log(entry, init);
  }
  std::vector<FilterWindow> windows(queues);
  std::vector<GrantRequest::Queue> asked;
  for (int32_t q = 0; q < queues; ++q) {
    QueueOffset max = leading_.FindQueue(topic, QueueId(q))->max;
    asked.push_back({QueueId(q), max});
    if (random_.Chance(0.5)) continue;
    windows[q].from = leading_.FindProgress(group, topic, QueueId(q))->next_offset;
    for (int64_t n = random_.Between(0, 12); n > 0; --n) {
      windows[q].pass.push_back(random_.Chance(0.5));
    }
    asked.back().window = &windows[q];
  }
  GrantPlan plan = leading_.PickGrants(
      {group, topic, asked, lease_ms_, static_cast<int32_t>(random_.Between(1, 32)), 40});
  if (plan.empty()) return !entry->commands.empty();
  Grant grant{group,
              topic,
              lease_ms_ + random_.Between(0, 2000),
              StrCat("client", index_ % 3),
              "",
              plan.items,
              plan.filtered};
  CheckGrant(grant);
  Log(entry, grant);
  for (int32_t q = 0; q < queues; ++q) CheckPosition({group, topic, q});
  return true;
}

void RandomHistory::CheckGrant(const Grant& grant) {
  for (const FilteredRange& range : grant.filtered) {
    ReferencePosition& position = reference_[{grant.group, grant.topic, range.queue.value()}];
    for (int64_t at = range.from.value(); at < range.to.value(); ++at) {
      if (!position.acked.insert(at).second) Fault(StrCat("offset ", at, " filtered twice"));
      position.next = std::max(position.next, at + 1);
    }
  }
  for (const GrantItem& item : grant.items) {
    ReferencePosition& position = reference_[{grant.group, grant.topic, item.queue.value()}];
    int64_t at = item.offset.value();
    if (position.acked.contains(at)) Fault(StrCat("acked offset ", at, " granted again"));
    auto lease = position.leased.find(at);
    if (lease != position.leased.end() && lease->second > lease_ms_) {
      Fault(StrCat("offset ", at, " granted while leased"));
    }
    if (item.attempt > leading_.FindGroup(grant.group)->max_attempts()) {
      Fault(StrCat("offset ", at, " granted as attempt ", item.attempt));
    }
    position.leased[at] = grant.lease_until_ms;
    position.next = std::max(position.next, at + 1);
  }
}

void RandomHistory::CheckPosition(const PositionName& name) {
  const auto& [group, topic, queue] = name;
  std::optional<QueueProgress> row = leading_.FindProgress(group, topic, QueueId(queue));
  if (!row.has_value()) return Fault(StrCat("no position of ", group, " on ", topic));
  const ReferencePosition& expected = reference_[name];
  int64_t commit = expected.start;
  while (expected.acked.contains(commit)) ++commit;
  if (row->commit_offset.value() != commit || row->next_offset.value() != expected.next ||
      row->inflight != static_cast<int64_t>(expected.leased.size())) {
    Fault(StrCat(group, " on ", topic, " ", queue, ": expected commit ", commit, " next ",
                 expected.next, " in flight ", expected.leased.size(), ", found ",
                 row->commit_offset, " ", row->next_offset, " ", row->inflight));
  }
}

bool RandomHistory::DrawAck(HistoryEntry* entry) {
  PositionName name;
  int64_t offset = 0;
  if (!SomeLeased(&name, &offset)) return false;
  const auto& [group, topic, queue] = name;
  Ack ack{group, topic, {}};
  // This one and some of its neighbours.
  ReferencePosition& position = reference_[name];
  for (auto it = position.leased.find(offset); it != position.leased.end();) {
    QueueOffset at(it->first);
    const Lease* lease = leading_.FindLease(group, topic, QueueId(queue), at);
    if (lease == nullptr) {
      Fault(StrCat("offset ", at, " should be in flight"));
      return false;
    }
    ack.items.push_back({QueueId(queue), at, lease->lease_id});
    position.acked.insert(it->first);
    it = position.leased.erase(it);
    if (random_.Chance(0.3)) break;
  }
  if (random_.Chance(0.2)) {
    // As a dead letter's record does, one by one.
    for (const Ack::Item& item : ack.items) {
      Log(entry, Settle{LeaseRef{group, topic, item.queue, item.offset, item.lease_id}});
    }
  } else {
    Log(entry, ack);
  }
  CheckPosition(name);
  return true;
}

bool RandomHistory::DrawChange(HistoryEntry* entry) {
  PositionName name;
  int64_t offset = 0;
  if (!SomeLeased(&name, &offset)) return false;
  const auto& [group, topic, queue] = name;
  const Lease* lease = leading_.FindLease(group, topic, QueueId(queue), QueueOffset(offset));
  int64_t until = lease_ms_ + (random_.Chance(0.5) ? 0 : random_.Between(1, 3000));
  reference_[name].leased[offset] = until;
  Log(entry,
      ChangeInvisible{group, topic, QueueId(queue), QueueOffset(offset), lease->lease_id, until});
  CheckPosition(name);
  return true;
}

bool RandomHistory::DrawUpdate(HistoryEntry* entry) {
  std::string topic = SomeTopic();
  std::string group = SomeGroup();
  int32_t queues = leading_.QueueCount(topic);
  if (queues == 0 || !leading_.HasPositions(group, topic)) return false;
  auto queue = static_cast<int32_t>(random_.Below(queues));
  int64_t offset = random_.Between(0, leading_.FindQueue(topic, QueueId(queue))->max.value());
  reference_[{group, topic, queue}] = {offset, {}, {}, offset};
  Log(entry, UpdateOffset{group, topic, QueueId(queue), QueueOffset(offset)});
  CheckPosition({group, topic, queue});
  return true;
}

bool RandomHistory::DrawMove(HistoryEntry* entry) {
  const std::string topic = SomeTopic();
  const std::string group = SomeGroup();
  const int32_t queues = leading_.QueueCount(topic);
  if (queues == 0 || !leading_.HasPositions(group, topic)) return false;
  MoveOffsets move{group, topic, OffsetMoveKind::kReset, 0, "operator", "because", {}};
  if (const OffsetMove* undone = leading_.FindMoves(group)->LatestToUndo(topic);
      undone != nullptr && random_.Chance(0.5)) {
    move.kind = OffsetMoveKind::kUndo;
    move.undoes = undone->number;
    for (const auto& item : undone->items) move.items.push_back({item.queue, item.from});
  } else {
    for (int32_t q = 0; q < queues; ++q) {
      if (random_.Chance(0.3) && q > 0) continue;
      const int64_t max = leading_.FindQueue(topic, QueueId(q))->max.value();
      move.items.push_back({QueueId(q), QueueOffset(random_.Between(0, max))});
    }
  }
  std::vector<OffsetMove::Item> expected;
  for (const MoveOffsets::Item& item : move.items) {
    const int64_t to = item.offset.value();
    expected.push_back(
        {item.queue, leading_.FindProgress(group, topic, item.queue)->commit_offset, item.offset});
    reference_[{group, topic, item.queue.value()}] = {to, {}, {}, to};
  }
  Log(entry, move);
  if (leading_.FindMoves(group)->moves().back()->items != expected) {
    Fault(StrCat("move of ", group, " on ", topic, " is not remembered as it was"));
  }
  for (const MoveOffsets::Item& item : move.items) {
    CheckPosition({group, topic, item.queue.value()});
  }
  return true;
}

bool RandomHistory::DrawRedrive(HistoryEntry* entry) {
  const std::string topic = SomeTopic();
  const int32_t queues = leading_.QueueCount(topic);
  if (queues == 0) return false;
  const QueueId queue(static_cast<int32_t>(random_.Below(queues)));
  const int64_t max = leading_.FindQueue(topic, queue)->max.value();
  if (max == 0) return false;
  // Near the front mostly, so that ranges meet.
  const QueueOffset offset(random_.Between(0, std::min<int64_t>(max, 30) - 1));
  const bool again = !redriven_.insert({topic, queue.value(), offset.value()}).second;
  if (leading_.redriven().Contains(topic, queue, offset) != again) {
    Fault(StrCat("offset ", offset, " of topic ", topic, " queue ", queue, " was ",
                 again ? "" : "not ", "re-driven before"));
  }
  if (again) return false;
  Log(entry, Settle{RedriveRef{topic, queue, offset}});
  return true;
}

bool RandomHistory::DrawLite(HistoryEntry* entry) {
  const std::string client_id = StrCat("client", random_.Below(3));
  const LiteClient* client = leading_.lite_subscriptions().Find(client_id);
  SubscribeLite subscribe{SomeGroup(), SomeTopic(), client_id, {}, {}};
  if (client != nullptr) {
    subscribe.group = client->group;
    subscribe.topic = client->topic;
  }
  if (leading_.FindGroup(subscribe.group) == nullptr) return false;
  for (int i = 0; i < 4; ++i) {
    if (random_.Chance(0.3)) subscribe.added.push_back(StrCat("lite", i));
    if (random_.Chance(0.3)) subscribe.removed.push_back(StrCat("lite", i));
  }
  Log(entry, subscribe);
  return true;
}

void RandomHistory::Log(HistoryEntry* entry, CommandBody body) {
  Command command{wall_ms_, lease_ms_, std::move(body)};
  entry->commands.push_back(EncodeCommand(command));
  absl::Status status = leading_.Apply(command, entry->index);
  if (!status.ok()) Fault(status.ToString());
}

void RandomHistory::Fault(std::string text) {
  faults_.push_back(StrCat("entry ", index_, ": ", text));
}

std::string RandomHistory::SomeTopic() { return StrCat("topic", random_.Below(kTopics)); }
std::string RandomHistory::SomeGroup() { return StrCat("group", random_.Below(kGroups)); }

bool RandomHistory::SomeLeased(PositionName* name, int64_t* offset) {
  std::vector<std::pair<PositionName, int64_t>> leased;
  for (const auto& [position, state] : reference_) {
    for (const auto& [at, until] : state.leased) leased.emplace_back(position, at);
  }
  if (leased.empty()) return false;
  std::tie(*name, *offset) = leased[random_.Below(leased.size())];
  return true;
}

}  // namespace raftmq::store
