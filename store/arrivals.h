// ArrivalNotes: which queues got something to read during one Apply, told once per queue at its
// end.
//
// Belongs to the apply thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/applied_state.h"
#include "store/message_store.h"

namespace raftmq::store {

class ArrivalNotes {
 public:
  void SetListener(ArrivalListener* listener) { listener_ = listener; }

  // A message of this queue became readable: it is new, or a lease on it was cut short.
  void Add(std::string_view topic, QueueId queue);

  // When the first of the last attempts is over, as of now (FinalLeases::EarliestEnd).
  void SetEarliestFinalEnd(std::optional<int64_t> end_ms);

  // Tells the listener, and forgets.
  void Tell(const AppliedState& applied);

 private:
  ArrivalListener* listener_ = nullptr;
  // In the order of names: whom it wakes first must not depend on a hash (the simulator replays
  // it).
  std::map<std::string, std::vector<QueueId>, std::less<>> notes_;
  std::optional<int64_t> earliest_final_ms_;
  bool final_is_earlier_ = false;
};

}  // namespace raftmq::store
