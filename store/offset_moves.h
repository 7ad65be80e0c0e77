// OffsetMoves: the history of one group's moves of offsets: the latest of them, oldest first.
//
// Bounded by kMaxMoves and kMaxItems, whichever is reached first; the newest is always kept, so
// that numbers go on counting. Part of BrokerState, whose owner rules who may use it. Copies share
// the moves.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "store/offset_move.h"

namespace raftmq::store {

class OffsetMoves {
 public:
  static constexpr size_t kMaxMoves = 64;
  static constexpr size_t kMaxItems = 65'536;  // queues, of all moves together

  // Gives it the next number. The numbers of those that are forgotten for it go to `forgotten`.
  const OffsetMove& Add(OffsetMove move, std::vector<uint64_t>* forgotten);
  // One that was stored. False: it does not come after those that are there.
  bool Load(OffsetMove move);

  // The topic is deleted: where the group was on it means nothing any more. Calls `changed` for
  // each move that lost its items.
  void ForgetItemsOf(std::string_view topic, absl::FunctionRef<void(const OffsetMove&)> changed);

  // Null: not there (any more).
  const OffsetMove* Find(uint64_t number) const;
  // The move that undid it, and was not undone itself; null: none did.
  const OffsetMove* UndoneBy(uint64_t number) const;
  // The latest that is not an undo, was not undone, and has items; of any topic if that is "".
  // Null: none.
  const OffsetMove* LatestToUndo(std::string_view topic) const;

  const std::deque<std::shared_ptr<const OffsetMove>>& moves() const { return moves_; }

 private:
  std::deque<std::shared_ptr<const OffsetMove>> moves_;
  size_t items_ = 0;
};

}  // namespace raftmq::store
