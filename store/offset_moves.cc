#include "store/offset_moves.h"

#include <utility>

namespace raftmq::store {

std::string_view OffsetMoveKindName(OffsetMoveKind kind) {
  switch (kind) {
    case OffsetMoveKind::kReset:
      return "RESET";
    case OffsetMoveKind::kSkip:
      return "SKIP";
    case OffsetMoveKind::kClone:
      return "CLONE";
    case OffsetMoveKind::kUndo:
      return "UNDO";
  }
  return "?";
}

const OffsetMove& OffsetMoves::Add(OffsetMove move, std::vector<uint64_t>* forgotten) {
  move.number = moves_.empty() ? 1 : moves_.back()->number + 1;
  items_ += move.items.size();
  moves_.push_back(std::make_shared<const OffsetMove>(std::move(move)));
  while (moves_.size() > 1 && (moves_.size() > kMaxMoves || items_ > kMaxItems)) {
    items_ -= moves_.front()->items.size();
    forgotten->push_back(moves_.front()->number);
    moves_.pop_front();
  }
  return *moves_.back();
}

bool OffsetMoves::Load(OffsetMove move) {
  if (move.number == 0 || (!moves_.empty() && move.number <= moves_.back()->number)) return false;
  items_ += move.items.size();
  moves_.push_back(std::make_shared<const OffsetMove>(std::move(move)));
  return true;
}

void OffsetMoves::ForgetItemsOf(std::string_view topic,
                                absl::FunctionRef<void(const OffsetMove&)> changed) {
  for (std::shared_ptr<const OffsetMove>& move : moves_) {
    if (move->topic != topic || move->items.empty()) continue;
    items_ -= move->items.size();
    auto without = std::make_shared<OffsetMove>(*move);
    without->items.clear();
    move = std::move(without);
    changed(*move);
  }
}

const OffsetMove* OffsetMoves::Find(uint64_t number) const {
  for (const auto& move : moves_) {
    if (move->number == number) return move.get();
  }
  return nullptr;
}

const OffsetMove* OffsetMoves::UndoneBy(uint64_t number) const {
  // An undo comes after what it undoes.
  for (auto it = moves_.rbegin(); it != moves_.rend() && (*it)->number > number; ++it) {
    if ((*it)->undoes == number && UndoneBy((*it)->number) == nullptr) return it->get();
  }
  return nullptr;
}

const OffsetMove* OffsetMoves::LatestToUndo(std::string_view topic) const {
  for (auto it = moves_.rbegin(); it != moves_.rend(); ++it) {
    const OffsetMove& move = **it;
    if (move.kind != OffsetMoveKind::kUndo && !move.items.empty() &&
        (topic.empty() || move.topic == topic) && UndoneBy(move.number) == nullptr) {
      return &move;
    }
  }
  return nullptr;
}

}  // namespace raftmq::store
