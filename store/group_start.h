// Where a consumer group begins on a topic: logged for all queues at once, before anything is
// granted to it there, so that no later message can be taken for an earlier one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "dledger/ledger.h"
#include "store/store_context.h"

namespace raftmq::store {

enum class GroupStart {
  kStarted,     // group and positions exist in the leader's view
  kNeedsTimes,  // nothing was logged: OffsetsByTime must be read first
  kCutShort,    // something was logged, but the log took no more: try again
};

// Creates the group by its defaults if there is none (checking its name), and its positions on the
// topic by its ConsumeFrom if it has none: first is the lowest stored offset, last is the end of
// what is logged. Queues that a topic gets later start at their first message. Replica thread,
// within Decide. REQUIRES: the topic exists. An error: nothing was logged.
// `offsets_by_time` is what StartOffsetsByTime gave, or null.
absl::StatusOr<GroupStart> StartGroup(LeaderView& view, const std::string& group,
                                      const std::string& topic,
                                      const std::vector<QueueOffset>* offsets_by_time,
                                      dledger::ProposalWriter& writer);

// For each queue of the topic, the offset of the first message stored at `from_ms` or later; the
// end if there is none. Reads the disk; not on the replica thread. Empty if the topic is gone.
absl::StatusOr<std::vector<QueueOffset>> OffsetsByTime(const StoreContext& context,
                                                       const std::string& topic, int64_t from_ms);

// For each queue of the topic, the offset from which a group with ConsumeFrom::kTimestamp starts.
// Reads the disk; not on the replica thread. Empty if group or topic is gone.
absl::StatusOr<std::vector<QueueOffset>> StartOffsetsByTime(const StoreContext& context,
                                                            const std::string& group,
                                                            const std::string& topic);

}  // namespace raftmq::store
