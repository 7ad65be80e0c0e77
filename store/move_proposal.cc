#include "store/move_proposal.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/strings.h"
#include "store/group_start.h"
#include "store/names.h"
#include "store/outcome.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

OffsetMoveKind KindOf(const OffsetMoveRequest& request) {
  if (std::holds_alternative<OffsetMoveRequest::ToEnd>(request.to)) return OffsetMoveKind::kSkip;
  if (std::holds_alternative<OffsetMoveRequest::ToGroup>(request.to)) return OffsetMoveKind::kClone;
  if (std::holds_alternative<OffsetMoveRequest::Undo>(request.to)) return OffsetMoveKind::kUndo;
  return OffsetMoveKind::kReset;
}

absl::Status CheckTexts(const OffsetMoveRequest& request) {
  if (request.who.size() <= kMaxClientTextBytes && request.why.size() <= kMaxClientTextBytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(StrCat("who moves offsets, and why, has ", request.who.size(),
                                           " and ", request.why.size(),
                                           " bytes: ", kMaxClientTextBytes, " each at most"));
}

}  // namespace

void MoveOffsetsProposal::Start(StoreContext* context, OffsetMoveRequest request,
                                MessageStore::MoveCallback done) {
  absl::Status status = CheckGroupName(request.group);
  if (status.ok()) status = CheckTexts(request);
  if (!status.ok()) return done(std::move(status));
  // Named twice is named once.
  std::sort(request.queues.begin(), request.queues.end());
  request.queues.erase(std::unique(request.queues.begin(), request.queues.end()),
                       request.queues.end());
  const auto* time = std::get_if<OffsetMoveRequest::ToTime>(&request.to);
  if (time == nullptr) {
    context->ledger->Propose(
        std::make_unique<MoveOffsetsProposal>(context, std::move(request), std::move(done)));
    return;
  }
  context->read->Post([context, ms = time->ms, request = std::move(request),
                       done = std::move(done)]() mutable {
    auto offsets = OffsetsByTime(*context, request.topic, ms);
    if (!offsets.ok()) return done(offsets.status());
    auto move = std::make_unique<MoveOffsetsProposal>(context, std::move(request), std::move(done));
    move->target_by_time_ = *std::move(offsets);
    context->ledger->Propose(std::move(move));
  });
}

std::string MoveOffsetsProposal::What() const {
  return StrCat("move of the offsets of group ", request_.group,
                request_.topic.empty() ? "" : StrCat(" on topic ", request_.topic));
}

absl::StatusOr<QueueOffset> MoveOffsetsProposal::Target(const BrokerState& state, QueueId queue,
                                                        const QueueEnds& ends) const {
  if (const auto* to = std::get_if<OffsetMoveRequest::ToOffset>(&request_.to)) {
    if (to->offset >= QueueOffset(0) && to->offset <= ends.max) {
      return std::max(to->offset, ends.min);
    }
    return Refuse(Reason::kIllegalOffset, StrCat(What(), " queue ", queue, ": offset ", to->offset,
                                                 " is not within 0 and ", ends.max));
  }
  if (std::holds_alternative<OffsetMoveRequest::ToEnd>(request_.to)) return ends.max;
  if (std::holds_alternative<OffsetMoveRequest::ToTime>(request_.to)) {
    // A queue that came after the offsets were read has younger messages only.
    const auto at = static_cast<size_t>(queue.value());
    if (at >= target_by_time_.size()) return ends.min;
    return std::clamp(target_by_time_[at], ends.min, ends.max);
  }
  if (const auto* to = std::get_if<OffsetMoveRequest::ToGroup>(&request_.to)) {
    const auto progress = state.FindProgress(to->group, request_.topic, queue);
    if (progress.has_value()) return progress->commit_offset;
    return Refuse(Reason::kOffsetNotFound, StrCat("group ", to->group, " has no offsets on topic ",
                                                  request_.topic, " that could be copied"));
  }
  return ends.min;
}

absl::StatusOr<MoveOffsets> MoveOffsetsProposal::Plan(const BrokerState& state) const {
  if (const auto* undo = std::get_if<OffsetMoveRequest::Undo>(&request_.to)) {
    return PlanUndo(state, undo->number);
  }
  if (state.FindTopic(request_.topic) == nullptr) {
    return Refuse(Reason::kTopicNotFound, StrCat("topic ", request_.topic, " does not exist"));
  }
  MoveOffsets move{
      request_.group, request_.topic, KindOf(request_), 0, request_.who, request_.why, {}};
  std::vector<QueueId> queues = request_.queues;
  for (int32_t q = 0; request_.queues.empty() && q < state.QueueCount(request_.topic); ++q) {
    queues.push_back(QueueId(q));
  }
  for (const QueueId queue : queues) {
    const auto ends = state.FindQueue(request_.topic, queue);
    if (!ends.has_value()) {
      return Refuse(Reason::kQueueNotFound,
                    StrCat("topic ", request_.topic, " has no queue ", queue));
    }
    RAFTMQ_ASSIGN_OR_RETURN(const QueueOffset target, Target(state, queue, *ends));
    move.items.push_back({queue, target});
  }
  return move;
}

absl::StatusOr<MoveOffsets> MoveOffsetsProposal::PlanUndo(const BrokerState& state,
                                                          uint64_t number) const {
  const OffsetMoves* moves = state.FindMoves(request_.group);
  if (moves == nullptr) {
    return Refuse(Reason::kGroupNotFound, StrCat("group ", request_.group, " does not exist"));
  }
  const OffsetMove* undone =
      number == 0 ? moves->LatestToUndo(request_.topic) : moves->Find(number);
  if (undone == nullptr || (!request_.topic.empty() && undone->topic != request_.topic)) {
    return Refuse(Reason::kOffsetNotFound,
                  StrCat("of group ", request_.group, " there is no move of offsets ",
                         number == 0 ? "to undo" : StrCat(number),
                         request_.topic.empty() ? "" : StrCat(" on topic ", request_.topic),
                         ": its latest ", OffsetMoves::kMaxMoves, " at most are kept"));
  }
  if (const OffsetMove* by = moves->UndoneBy(undone->number); by != nullptr) {
    return Refuse(Reason::kIllegalOffset,
                  StrCat("move ", undone->number, " of group ", request_.group,
                         " was undone by move ", by->number));
  }
  if (undone->items.empty()) {
    return Refuse(Reason::kTopicNotFound,
                  StrCat("topic ", undone->topic, " was deleted after move ", undone->number,
                         " of group ", request_.group));
  }
  MoveOffsets move{request_.group,
                   undone->topic,
                   OffsetMoveKind::kUndo,
                   undone->number,
                   request_.who,
                   request_.why,
                   {}};
  for (const OffsetMove::Item& item : undone->items) {
    move.items.push_back({item.queue, item.from});
  }
  return move;
}

absl::Status MoveOffsetsProposal::Decide(dledger::ProposalWriter& writer) {
  LeaderView& view = context_->view();
  RAFTMQ_ASSIGN_OR_RETURN(MoveOffsets move, Plan(view.state()));
  RAFTMQ_ASSIGN_OR_RETURN(
      const GroupStart start,
      StartGroup(view, move.group, move.topic,
                 start_by_time_.has_value() ? &*start_by_time_ : nullptr, writer));
  needs_times_ = start == GroupStart::kNeedsTimes;
  cut_short_ = start == GroupStart::kCutShort;
  if (needs_times_ || cut_short_) return absl::OkStatus();
  // The group may have been started by this very proposal: that stays.
  cut_short_ = !view.Log(std::move(move), writer).ok();
  if (!cut_short_) moved_ = *view.state().FindMoves(request_.group)->moves().back();
  return absl::OkStatus();
}

void MoveOffsetsProposal::Done(const dledger::ProposalOutcome& outcome) {
  if (!outcome.status.ok()) return done_(StatusOf(outcome, What()));
  if (needs_times_ && !start_by_time_.has_value()) {
    // The group starts by time: looks that up, then proposes again.
    context_->read->Post([context = context_, request = std::move(request_),
                          target = std::move(target_by_time_), done = std::move(done_)]() mutable {
      auto offsets = StartOffsetsByTime(*context, request.group, request.topic);
      if (!offsets.ok()) return done(offsets.status());
      auto again =
          std::make_unique<MoveOffsetsProposal>(context, std::move(request), std::move(done));
      again->target_by_time_ = std::move(target);
      again->start_by_time_ = *std::move(offsets);
      context->ledger->Propose(std::move(again));
    });
    return;
  }
  if (needs_times_ || cut_short_) {
    return done_(Refuse(Reason::kBusy, StrCat(What(), ": the group was only just being started")));
  }
  context_->applied.WhenApplied(
      outcome.index, [what = What(), moved = std::move(moved_),
                      done = std::move(done_)](const absl::Status& applied) mutable {
        if (applied.ok()) return done(std::move(moved));
        done(Refuse(Reason::kUnknownOutcome,
                    StrCat(what, ": committed, but this broker stopped before applying it: ",
                           Message(applied))));
      });
}

}  // namespace raftmq::store
