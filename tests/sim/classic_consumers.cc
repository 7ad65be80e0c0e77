#include "tests/sim/classic_consumers.h"

#include <algorithm>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::sim {
namespace {

constexpr int64_t kLeaseMs = 1'500;
constexpr int32_t kMaxRead = 16;

}  // namespace

ClassicConsumers::ClassicConsumers(Options options, MemberCalls* calls, MoveOperator* moves,
                                   Clock* clock, Random random, Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      moves_(moves),
      clock_(clock),
      random_(random),
      complain_(std::move(complain)) {
  for (int i = 0; i < options_.clients; ++i) {
    clients_.push_back({.id = StrCat("classic-", i),
                        .number = i,
                        .away_until_ms = 0,
                        .held = {},
                        .let_go_ms = {},
                        .asked_ms = {}});
  }
}

void ClassicConsumers::Start() {
  for (const Client& client : clients_) Turn(client.number);
}

// Theirs as long as they have reason to think so.
ClassicConsumers::Held* ClassicConsumers::Holding(Client& client, QueueId queue, uint64_t round) {
  const auto it = client.held.find(queue);
  if (it == client.held.end() || it->second.round != round) return nullptr;
  return it->second.until_ms > NowMs() ? &it->second : nullptr;
}

bool ClassicConsumers::Wants(const Client& client, QueueId queue) const {
  return (queue.value() + shift_) % options_.clients == client.number;
}

// What a client does all the time.
void ClassicConsumers::Turn(int number) {
  Client& client = clients_[number];
  calls_->After(random_.Between(50, 250) * 1'000'000, [=, this] { Turn(number); });
  if (client.away_until_ms > NowMs() && !draining_) return;
  if (!draining_ && random_.Chance(0.02)) ++shift_;  // a member came or went, to all of them
  if (!draining_ && random_.Chance(0.02)) {
    client.away_until_ms = NowMs() + random_.Between(100, 4'000);  // stopped, or cut off
    return;
  }
  std::erase_if(client.held, [&](const auto& held) { return held.second.until_ms <= NowMs(); });
  std::vector<QueueId> unwanted;
  for (auto& [queue, held] : client.held) {
    if (held.busy || !held.ready) continue;
    if (!Wants(client, queue) && held.committed == held.next) {
      unwanted.push_back(queue);
    } else if (held.committed < held.next) {
      Commit(client, queue, held);
    } else {
      Read(client, queue, held);
    }
  }
  for (const QueueId queue : unwanted) LetGo(client, queue);
  Lock(client);
}

void ClassicConsumers::Lock(Client& client) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  store::QueueLockRequest request;
  request.group = options_.group;
  request.topic = options_.topic;
  request.client_id = client.id;
  request.lease_ms = kLeaseMs;
  for (int q = 0; q < options_.queues; ++q) {
    const QueueId queue(q);
    if (Wants(client, queue) || client.held.count(queue) != 0) request.queues.push_back(queue);
  }
  if (request.queues.empty()) return;
  const auto asked = request.queues;
  const int64_t asked_ms = NowMs();
  for (const QueueId queue : asked) {
    if (client.held.count(queue) == 0) client.asked_ms[queue] = asked_ms;
  }
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).LockQueues(
      std::move(request),
      [=, this, &client, at = *member](const absl::StatusOr<std::vector<QueueId>>& granted) {
        if (!MemberCalls::First(call) || !granted.ok()) return;
        OnLocked(client, at, asked_ms, asked, *granted);
      });
}

void ClassicConsumers::OnLocked(Client& client, int member, int64_t asked_ms,
                                const std::vector<QueueId>& asked,
                                const std::vector<QueueId>& granted) {
  for (const QueueId queue : asked) {
    const bool has = std::find(granted.begin(), granted.end(), queue) != granted.end();
    const auto it = client.held.find(queue);
    if (!has) {
      if (it != client.held.end() && it->second.until_ms > NowMs() &&
          it->second.until_ms > asked_ms + kLeaseMs) {
        continue;  // an answer from before it got the queue
      }
      if (it != client.held.end()) client.held.erase(it);
      continue;
    }
    const int64_t until_ms = asked_ms + kLeaseMs;
    // Over already, or answered late: it has let go of it since.
    if (until_ms <= NowMs() || asked_ms <= client.let_go_ms[queue]) continue;
    for (const Client& other : clients_) {
      const auto theirs = other.held.find(queue);
      if (other.number == client.number || theirs == other.held.end()) continue;
      if (theirs->second.until_ms > NowMs()) {
        complain_(StrCat("queue ", queue, " was given to ", client.id, " while ", other.id,
                         " holds it for another ", theirs->second.until_ms - NowMs(), " ms"));
      }
    }
    if (it != client.held.end() && it->second.until_ms > NowMs()) {
      it->second.until_ms = std::max(it->second.until_ms, until_ms);
      if (!it->second.ready) Begin(client, queue, member);
      continue;
    }
    Held held;
    held.until_ms = until_ms;
    held.round = ++rounds_;
    client.held[queue] = held;
    ++hand_overs_;
    Begin(client, queue, member);
  }
}

// At the member that answered: it has applied the lock, and with it all commits before.
void ClassicConsumers::Begin(Client& client, QueueId queue, int member) {
  if (!calls_->Runs(member)) return;
  Held& held = client.held[queue];
  const auto offset = calls_->At(member).CommitOffset(options_.group, options_.topic, queue);
  if (!offset.ok()) {
    complain_(StrCat("the owner of queue ", queue, " finds no offset: ", Message(offset.status())));
    return;
  }
  if (*offset < acknowledged_[queue]) {
    complain_(StrCat("queue ", queue, " was committed up to ", acknowledged_[queue], ", and ",
                     client.id, " begins at ", *offset));
  }
  Committed expected;
  for (const Committed& committed : log_[queue]) {
    if (committed.place.first <= calls_->At(member).AppliedIndex()) expected = committed;
  }
  if (*offset != expected.offset) {
    complain_(StrCat("the committed offset of queue ", queue, " is ", expected.offset,
                     " by the log, and ", client.id, " begins at ", *offset));
  }
  held.next = held.committed = *offset;
  held.epoch = expected.epoch;
  held.ready = true;
}

void ClassicConsumers::Read(Client& client, QueueId queue, Held& held) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  const store::LogMessageStore& store = calls_->At(*member);
  const auto range = store.Range(options_.topic, queue);
  if (!range.ok() || held.next >= range->max) return;
  held.next = std::max(held.next, range->min);
  const auto records = store.Pull(options_.topic, queue, held.next, kMaxRead, 1 << 20);
  if (!records.ok() || records->empty()) return;
  held.busy = true;
  const QueueOffset end = held.next + static_cast<int64_t>(records->size());
  calls_->After(random_.Between(0, draining_ ? 5 : 200) * 1'000'000,
                [=, this, &client, round = held.round] { Consume(client, queue, round, end); });
}

void ClassicConsumers::Consume(Client& client, QueueId queue, uint64_t round, QueueOffset end) {
  const auto it = client.held.find(queue);
  if (it == client.held.end() || it->second.round != round) return;
  Held& held = it->second;
  // Its listener works on, even if the lock is over meanwhile: it can't know.
  // What it has read before a move is to be consumed again after it.
  const bool counts = held.epoch == EpochOf(queue);
  for (QueueOffset offset = held.next; offset < end; offset = offset + 1) {
    if (counts && done_with_[queue].insert(offset).second) {
      ++consumed_;
    } else {
      ++consumed_again_;
    }
  }
  held.next = end;
  held.busy = false;
  if (random_.Chance(0.1)) {
    // It was about to commit when it was stopped; then it does, whoever owns the queue.
    calls_->After(random_.Between(100, 5'000) * 1'000'000,
                  [=, this, &client, late = LateCommit{queue, end, held.epoch, NowMs()}] {
                    CommitLate(client, late);
                  });
  } else if (random_.Chance(0.5)) {
    Commit(client, queue, held);
  }
}

void ClassicConsumers::CommitLate(Client& client, const LateCommit& late) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  const bool stale = late.epoch != EpochOf(late.queue);
  // Who takes a queue anew knows what is from before; and a move fences the lock's owner only.
  if (stale && (client.asked_ms[late.queue] >= late.read_ms || revoked_[late.queue] != client.id)) {
    return;
  }
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).UpdateOffset(options_.group, options_.topic, late.queue, late.offset,
                                   client.id, [=, this, &client](const absl::Status& status) {
                                     if (MemberCalls::First(call))
                                       OnCommitted(client, late.queue, late.offset, stale, status);
                                   });
}

void ClassicConsumers::OnCommitted(const Client& client, QueueId queue, QueueOffset offset,
                                   bool stale, const absl::Status& status) {
  if (!stale) return;
  if (!status.ok()) {
    if (store::ReasonOf(status) == store::Reason::kForbidden) ++fenced_;
    return;
  }
  complain_(StrCat(client.id, " had queue ", queue, " when its offset was moved to ",
                   moves_->Of(options_.group, queue).back().to, ", and could still commit ",
                   offset));
}

void ClassicConsumers::Commit(Client& client, QueueId queue, Held& held) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  held.busy = true;
  const size_t epoch = EpochOf(queue);
  const bool stale = held.epoch != epoch;
  const auto ended = [=, this, &client, round = held.round](bool committed, QueueOffset offset) {
    // What was moved meanwhile is another offset than the one that was acknowledged.
    if (committed && epoch == EpochOf(queue)) {
      acknowledged_[queue] = std::max(acknowledged_[queue], offset);
    }
    Held* mine = Holding(client, queue, round);
    if (mine == nullptr) return;
    mine->busy = false;
    if (committed) mine->committed = offset;
  };
  const QueueOffset offset = held.next;
  auto call = calls_->NewCall(*member, [=] { ended(false, offset); });
  calls_->At(*member).UpdateOffset(options_.group, options_.topic, queue, offset, client.id,
                                   [=, this, &client](const absl::Status& status) {
                                     if (!MemberCalls::First(call)) return;
                                     OnCommitted(client, queue, offset, stale, status);
                                     ended(status.ok(), offset);
                                   });
}

void ClassicConsumers::LetGo(Client& client, QueueId queue) {
  client.held.erase(queue);
  client.let_go_ms[queue] = NowMs();
  const std::optional<int> member = calls_->Pick();
  if (!member) return;  // its end comes by itself
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).LockQueues(
      {options_.group, options_.topic, client.id, {queue}, 0},
      [=](const absl::StatusOr<std::vector<QueueId>>&) { MemberCalls::First(call); });
}

QueueOffset ClassicConsumers::LastOf(QueueId queue) const {
  const auto it = log_.find(queue);
  return it == log_.end() || it->second.empty() ? QueueOffset(0) : it->second.back().offset;
}

void ClassicConsumers::OnUpdate(LogPlace place, const store::UpdateOffset& update) {
  if (update.group != options_.group || update.topic != options_.topic) return;
  const QueueOffset last = LastOf(update.queue);
  if (update.offset < last) {
    complain_(StrCat("entry ", place.first, " takes the committed offset of queue ", update.queue,
                     " back from ", last, " to ", update.offset));
  }
  log_[update.queue].push_back({place, update.offset, EpochOf(update.queue)});
}

void ClassicConsumers::OnMove(LogPlace place, const store::MoveOffsets& move) {
  if (move.group != options_.group || move.topic != options_.topic) return;
  for (const store::MoveOffsets::Item& item : move.items) {
    const QueueId queue = item.queue;
    const QueueOffset from = LastOf(queue);
    const QueueOffset to = moves_->Of(options_.group, queue).back().to;
    moves_->SetBefore(options_.group, queue, from);
    std::set<QueueOffset>& done = done_with_[queue];
    for (QueueOffset offset = from; offset < to; offset = offset + 1) done.insert(offset);
    done.erase(done.lower_bound(to), done.end());
    acknowledged_[queue] = QueueOffset(0);  // `to` is known of only where this is applied
    if (!owner_[queue].empty()) revoked_[queue] = owner_[queue];
    log_[queue].push_back({place, to, EpochOf(queue)});
  }
}

void ClassicConsumers::OnLock(const store::LockQueues& lock) {
  if (lock.group != options_.group || lock.topic != options_.topic) return;
  for (const QueueId queue : lock.queues) {
    owner_[queue] = lock.client_id;
    if (lock.until_ms != 0) revoked_[queue].clear();
  }
}

void ClassicConsumers::OnRetain(LogPlace place, const store::Retain& retain) {
  for (const store::Retain::Queue& queue : retain.queues) {
    if (queue.topic != options_.topic || queue.min <= LastOf(queue.queue)) continue;
    log_[queue.queue].push_back({place, queue.min, EpochOf(queue.queue)});
  }
}

bool ClassicConsumers::Drained(const store::LogMessageStore& leader) const {
  const auto rows = leader.GroupProgress(options_.group);
  if (!rows.ok() || rows->size() != static_cast<size_t>(options_.queues)) return false;
  return std::all_of(rows->begin(), rows->end(), [](const store::QueueProgress& row) {
    return row.commit_offset == row.max_offset;
  });
}

void ClassicConsumers::CheckEnd(QueueId queue, QueueOffset min, QueueOffset end) {
  for (QueueOffset offset = min; offset < end; offset = offset + 1) {
    if (done_with_[queue].count(offset) == 0) {
      complain_(StrCat("offset ", offset, " of queue ", queue, " was never consumed by ",
                       options_.group, ", which committed past it"));
    }
  }
}

}  // namespace raftmq::sim
