#include "tests/sim/move_operator.h"

#include <algorithm>

#include "base/strings.h"
#include "store/reason.h"

namespace raftmq::sim {
namespace {

using Request = store::OffsetMoveRequest;

constexpr int64_t kMillisecondNanos = 1'000'000;

std::string Name(const std::string& group, uint64_t number) {
  return StrCat("move ", number, " of group ", group);
}

}  // namespace

MoveOperator::MoveOperator(Options options, MemberCalls* calls, Clock* clock, Random random,
                           Complain complain)
    : options_(std::move(options)),
      calls_(calls),
      clock_(clock),
      random_(random),
      complain_(std::move(complain)) {}

void MoveOperator::Start() {
  Turn();
  if (!options_.busy_group.empty()) BusyTurn();
}

void MoveOperator::Turn() {
  if (draining_) return;
  calls_->After(random_.Between(500, 4'000) * kMillisecondNanos, [this] { Turn(); });
  Ask(Draw());
}

void MoveOperator::BusyTurn() {
  if (draining_) return;
  calls_->After(random_.Between(50, 200) * kMillisecondNanos, [this] { BusyTurn(); });
  Request request{options_.busy_group, options_.topic, {QueueId(0)}, Request::ToEnd{}, "", ""};
  if (random_.Chance(0.3)) request.to = Request::Undo{};
  Ask(std::move(request));
}

store::OffsetMoveRequest MoveOperator::Draw() {
  Request request;
  request.group = options_.groups[random_.Below(options_.groups.size())];
  request.topic = options_.topic;
  if (random_.Chance(0.5)) {
    request.queues = {QueueId(static_cast<int32_t>(random_.Below(options_.queues)))};
  }
  switch (random_.Below(8)) {
    case 0:
      request.to = Request::ToBegin{};
      break;
    case 1:
      request.to = Request::ToEnd{};
      break;
    case 2:
    case 3:
      request.to = Request::ToTime{clock_->WallMillis() - random_.Between(0, 5'000)};
      break;
    case 4:
      request.to = Request::ToOffset{QueueOffset(random_.Between(0, 150))};  // sometimes too far
      break;
    case 5:
      request.to = Request::ToGroup{options_.groups[random_.Below(options_.groups.size())]};
      break;
    case 6:
      request.to = Request::Undo{};
      break;
    default:
      request.to = Request::Undo{random_.Below(12) + 1};
      break;
  }
  return request;
}

void MoveOperator::Ask(store::OffsetMoveRequest request) {
  const std::optional<int> member = calls_->Pick();
  if (!member) return;
  request.who = "operator";
  request.why = StrCat("move-", ++asked_count_);
  asked_[request.why];
  auto call = calls_->NewCall(*member, [] {});
  calls_->At(*member).MoveOffsets(request, [=, this, why = request.why, group = request.group](
                                               const absl::StatusOr<store::OffsetMove>& moved) {
    if (MemberCalls::First(call)) OnAnswer(why, group, moved);
  });
}

void MoveOperator::OnAnswer(const std::string& why, const std::string& group,
                            const absl::StatusOr<store::OffsetMove>& moved) {
  if (moved.ok()) {
    answers_.emplace_back(group, *moved);
    if (!asked_[why].logged) complain_(StrCat(why, " was acknowledged and nobody applied it"));
  } else if (store::ReasonOf(moved.status()) != store::Reason::kUnknownOutcome) {
    asked_[why].refused = true;
    if (asked_[why].logged) {
      complain_(StrCat(why, " was refused and is in the log: ", Message(moved.status())));
    }
  }
}

void MoveOperator::OnMove(LogPlace place, const store::MoveOffsets& move) {
  const auto asked = asked_.find(move.why);
  if (asked == asked_.end() || asked->second.refused || asked->second.logged) {
    complain_(StrCat("entry ", place.first, " has ", move.why,
                     ", which was not asked for, was refused, or is there already"));
    return;
  }
  asked->second.logged = true;
  ++moves_;
  if (move.kind == store::OffsetMoveKind::kUndo) ++undos_;
  Logged& logged = logged_[move.group].emplace_back();
  logged.move = {
      logged_[move.group].size(), 0, move.kind, move.undoes, move.topic, move.who, move.why, {}};
  for (const store::MoveOffsets::Item& item : move.items) {
    const QueueOffset to = std::max(item.offset, min_[item.queue]);
    logged.move.items.push_back({item.queue, QueueOffset(0), to});
    by_queue_[{move.group, item.queue}].push_back({place, to, QueueOffset(0)});
  }
}

void MoveOperator::OnRetain(const store::Retain& retain) {
  for (const store::Retain::Queue& queue : retain.queues) {
    if (queue.topic == options_.topic) min_[queue.queue] = queue.min;
  }
}

void MoveOperator::SetBefore(const std::string& group, QueueId queue, QueueOffset from) {
  Logged& logged = logged_[group].back();
  for (store::OffsetMove::Item& item : logged.move.items) {
    if (item.queue == queue) item.from = from;
  }
  logged.known_before.insert(queue);
  by_queue_[{group, queue}].back().from = from;
}

void MoveOperator::LearnBefore(const std::string& group, const store::LogMessageStore& store) {
  const auto history = store.ListOffsetMoves(group);
  if (!history.ok()) return complain_(StrCat("no history of moves: ", Message(history.status())));
  std::map<QueueId, size_t> seen;
  for (const store::OffsetMove& move : *history) {
    for (const store::OffsetMove::Item& item : move.items) {
      std::vector<Moved>& moves = by_queue_[{group, item.queue}];
      const size_t at = seen[item.queue]++;
      if (at < moves.size()) moves[at].from = item.from;
    }
  }
}

const std::vector<MoveOperator::Moved>& MoveOperator::Of(const std::string& group,
                                                         QueueId queue) const {
  static const std::vector<Moved> kNone;
  const auto it = by_queue_.find({group, queue});
  return it == by_queue_.end() ? kNone : it->second;
}

bool MoveOperator::Covers(const std::string& group, QueueId queue, QueueOffset offset,
                          LogPlace after, LogPlace before) const {
  const std::vector<Moved>& moves = Of(group, queue);
  return std::any_of(moves.begin(), moves.end(), [&](const Moved& moved) {
    return moved.to <= offset && after < moved.place && moved.place < before;
  });
}

// What the log says, and what was seen of it.
void MoveOperator::Compare(const std::string& group, const store::OffsetMove& seen,
                           const std::string& where) {
  const auto all = logged_.find(group);
  if (all == logged_.end() || seen.number == 0 || seen.number > all->second.size()) {
    complain_(StrCat(where, " has ", Name(group, seen.number), ", which is not in the log"));
    return;
  }
  const Logged& logged = all->second[seen.number - 1];
  store::OffsetMove expected = logged.move;
  expected.log_time_ms = seen.log_time_ms;
  for (size_t i = 0; i < expected.items.size() && i < seen.items.size(); ++i) {
    if (!logged.known_before.count(expected.items[i].queue)) {
      expected.items[i].from = seen.items[i].from;
    }
  }
  if (expected == seen) return;
  std::string items;
  for (const auto& move : {expected, seen}) {
    for (const auto& item : move.items) {
      items += StrCat(" ", item.queue, ":", item.from, ">", item.to);
    }
    items += ";";
  }
  complain_(StrCat(where, " has another ", Name(group, seen.number), " than the log, which has ",
                   expected.why, "; expected and seen items:", items));
}

void MoveOperator::CheckEnd(int member, const store::LogMessageStore& store) {
  for (const auto& [group, move] : std::exchange(answers_, {})) Compare(group, move, "an answer");
  for (const auto& [group, logged] : logged_) {
    const std::string where = StrCat("member ", member);
    const auto history = store.ListOffsetMoves(group);
    const size_t kept = std::min(logged.size(), store::OffsetMoves::kMaxMoves);
    if (!history.ok() || history->size() != kept) {
      complain_(StrCat(where, " remembers ", history.ok() ? history->size() : 0, " moves of group ",
                       group, ", expected ", kept));
      continue;
    }
    std::map<uint64_t, const store::OffsetMove*> by_number;
    for (size_t i = 0; i < kept; ++i) {
      const store::OffsetMove& move = (*history)[i];
      by_number[move.number] = &move;
      if (move.number != logged.size() - kept + i + 1) {
        complain_(StrCat(where, " has ", Name(group, move.number), " in the place of ",
                         logged.size() - kept + i + 1));
      }
      Compare(group, move, where);
      const auto undone = by_number.find(move.undoes);
      if (move.kind != store::OffsetMoveKind::kUndo || undone == by_number.end()) continue;
      for (size_t q = 0; q < undone->second->items.size(); ++q) {
        const auto& was = undone->second->items[q];
        // What has expired since is not there to go back to.
        if (q >= move.items.size() || move.items[q].queue != was.queue ||
            move.items[q].to < was.from ||
            (move.items[q].to > was.from && move.items[q].to > min_[was.queue])) {
          complain_(StrCat(where, ": ", Name(group, move.number), " does not restore what was ",
                           "before move ", move.undoes, " on queue ", was.queue));
        }
      }
    }
  }
}

}  // namespace raftmq::sim
