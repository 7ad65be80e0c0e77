#include "raft/options.h"

#include "base/strings.h"

namespace raftmq::raft {

absl::Status Options::Validate() const {
  const auto invalid = [](std::string_view what) {
    return absl::InvalidArgumentError(StrCat("raft options: ", what));
  };
  if (self <= kNoMember) return invalid("self must be a member id from 1");
  if (heartbeat_ticks < 1) return invalid("heartbeat_ticks must be at least 1");
  if (election_ticks_min <= heartbeat_ticks) {
    return invalid("election_ticks_min must be above heartbeat_ticks");
  }
  if (election_ticks_max < election_ticks_min) {
    return invalid("election_ticks_max must not be below election_ticks_min");
  }
  if (early_election_ticks_max < 1) return invalid("early_election_ticks_max must be at least 1");
  if (max_inflight_messages < 1 || max_inflight_bytes < 1 || max_bytes_per_append < 1 ||
      max_entries_per_append < 1 || max_uncommitted_bytes < 1 || eager_appends < 1 ||
      full_append_bytes < 1) {
    return invalid("limits must be positive");
  }
  if (MaxFrameSize(segment_size) < kFrameHeaderSize || segment_size > kMaxNumber) {
    return invalid(StrCat("segment_size ", segment_size, " is out of range"));
  }
  return absl::OkStatus();
}

absl::Status InitialState::Validate() const {
  if (hard_state.term < last.term) {
    return absl::DataLossError(StrCat("raft state: the log's last entry ", last.index,
                                      " is of term ", last.term, ", the hard state of term ",
                                      hard_state.term,
                                      ": the hard state is older than the log, restore it"));
  }
  if (applied > committed || committed > last.index || applied < LogIndex(0)) {
    return absl::DataLossError(StrCat("raft state: applied ", applied, " <= committed ", committed,
                                      " <= last ", last.index, " does not hold"));
  }
  return absl::OkStatus();
}

}  // namespace raftmq::raft
