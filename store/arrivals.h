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

  // A new message.
  void AddMessage(std::string_view topic, QueueId queue, QueueOffset offset, int64_t entry_tag);
  // Older messages of this queue became readable: a lease was cut short, say.
  void AddOlder(std::string_view topic, QueueId queue);

  // When the first of the last attempts is over, as of now (FinalLeases::EarliestEnd).
  void SetEarliestFinalEnd(std::optional<int64_t> end_ms);

  // Tells the listener, and forgets.
  void Tell(const AppliedState& applied);

 private:
  // More tags than that are not told apart.
  static constexpr size_t kMaxTags = 16;

  struct Note {
    std::optional<QueueOffset> first;  // of the new messages
    std::vector<int64_t> tags;         // EntryTag of those
    bool any = false;                  // not only those tags
  };
  Note& NoteOf(std::string_view topic, QueueId queue);

  ArrivalListener* listener_ = nullptr;
  // In the order of names: whom it wakes first must not depend on a hash (the simulator replays
  // it).
  std::map<std::string, std::map<QueueId, Note>, std::less<>> notes_;
  std::optional<int64_t> earliest_final_ms_;
  bool final_is_earlier_ = false;
};

}  // namespace raftmq::store
