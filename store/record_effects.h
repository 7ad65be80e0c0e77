// What the entry of a record does to the replicated state beside storing the record: a delayed
// message becomes a timer, a half message a transaction, and a record that settles something ends
// it.
//
// Pure function over the state; the thread that may change the state.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/broker_state.h"
#include "store/message_record.h"

namespace raftmq::store {

// When the delayed message is due, which waits under kTimerTopic.
absl::StatusOr<int64_t> TimerDueMs(const RecordHeaderView& record);

// After BrokerState::ApplyRecord. An error means that log and state contradict each other.
absl::Status ApplyRecordEffects(const RecordHeaderView& record, BrokerState& state);

}  // namespace raftmq::store
