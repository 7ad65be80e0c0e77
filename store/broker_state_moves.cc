// BrokerState: moves of offsets by an operator, and their rows.

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "store/broker_state.h"
#include "store/state_rows.h"

namespace raftmq::store {

absl::Status BrokerState::ApplyBody(const MoveOffsets& move, LogIndex) {
  GroupState* group = MutableGroup(move.group);
  if (group == nullptr) {
    return absl::InternalError(StrCat("group ", move.group, " to move does not exist"));
  }
  OffsetMove made{0, log_time_ms_, move.kind, move.undoes, move.topic, move.who, move.why, {}};
  made.items.reserve(move.items.size());
  for (const MoveOffsets::Item& item : move.items) {
    RAFTMQ_ASSIGN_OR_RETURN(PositionState * state,
                            PositionToChange(move.group, move.topic, item.queue, false));
    const QueueOffset from = state->position.commit();
    RAFTMQ_RETURN_IF_ERROR(StartAnew({move.group, move.topic, item.queue}, state, item.offset));
    made.items.push_back({item.queue, from, state->position.next()});
    // Whoever consumes the queue now must not commit what it had got so far.
    const auto lock = queue_locks_.find({move.group, move.topic, item.queue});
    if (lock != queue_locks_.end()) {
      lock->second.revoked = true;
      MarkLock(lock->first);
    }
  }
  std::vector<uint64_t> forgotten;
  PutMoveRow(move.group, group->moves.Add(std::move(made), &forgotten));
  if (changes_ == nullptr) return absl::OkStatus();
  for (const uint64_t number : forgotten) {
    changes_->Delete(StateColumn::kOffsetMoves, OffsetMoveKeyOf(move.group, number));
  }
  return absl::OkStatus();
}

const OffsetMoves* BrokerState::FindMoves(std::string_view group) const {
  const auto it = groups_.find(ToAbsl(group));
  return it == groups_.end() ? nullptr : &it->second.moves;
}

void BrokerState::PutMoveRow(std::string_view group, const OffsetMove& move) {
  if (changes_ == nullptr) return;
  changes_->Put(StateColumn::kOffsetMoves, OffsetMoveKeyOf(group, move.number),
                OffsetMoveValue(move));
}

void BrokerState::DeleteMoveRows(std::string_view group, const OffsetMoves& moves) {
  if (changes_ == nullptr) return;
  for (const auto& move : moves.moves()) {
    changes_->Delete(StateColumn::kOffsetMoves, OffsetMoveKeyOf(group, move->number));
  }
}

absl::Status BrokerState::LoadMove(std::string_view key, std::string_view value) {
  RAFTMQ_ASSIGN_OR_RETURN(const OffsetMoveKey name, ParseOffsetMoveKey(key));
  RAFTMQ_ASSIGN_OR_RETURN(OffsetMove move, ParseOffsetMoveValue(value));
  move.number = name.number;
  GroupState* group = MutableGroup(name.group);
  if (group == nullptr || !group->moves.Load(std::move(move))) {
    return absl::DataLossError(StrCat("the state database holds move ", name.number,
                                      " of the offsets of group ", name.group,
                                      ", which it does not hold, or out of its order"));
  }
  return absl::OkStatus();
}

}  // namespace raftmq::store
