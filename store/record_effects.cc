#include "store/record_effects.h"

#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "store/message_properties.h"
#include "store/names.h"
#include "store/settlement.h"

namespace raftmq::store {
namespace {

// The number in a property that the broker itself wrote.
absl::StatusOr<int64_t> NumberOf(const RecordHeaderView& record, std::string_view name) {
  int64_t number = 0;
  const std::string_view text = record.properties.Get(name);
  if (!absl::SimpleAtoi(ToAbsl(text), &number) || number < 0) {
    return absl::InternalError(StrCat("the record at ", record.physical_offset, " of topic ",
                                      record.topic, " has property ", name, " \"", text,
                                      "\", expected a number"));
  }
  return number;
}

}  // namespace

absl::StatusOr<int64_t> TimerDueMs(const RecordHeaderView& record) {
  return NumberOf(record, property::kTimerOutMs);
}

absl::Status ApplyRecordEffects(const RecordHeaderView& record, BrokerState& state) {
  if (record.settles.data() != nullptr) {
    RAFTMQ_ASSIGN_OR_RETURN(const Settlement settlement, ParseSettlement(record.settles));
    RAFTMQ_RETURN_IF_ERROR(state.ApplySettlement(settlement, record.topic == kCheckMaxTimeTopic
                                                                 ? TransactionEnd::kExpired
                                                                 : TransactionEnd::kCommitted));
  }
  const auto record_size = static_cast<int32_t>(record.bytes.size());
  if (record.topic == kTimerTopic) {
    RAFTMQ_ASSIGN_OR_RETURN(const int64_t due_ms, TimerDueMs(record));
    state.AddTimer({due_ms, record.physical_offset}, record_size);
  } else if (record.topic == kHalfTopic) {
    HalfMessage half;
    half.record_size = record_size;
    half.stored_ms = record.store_timestamp_ms;
    RAFTMQ_ASSIGN_OR_RETURN(const int64_t immunity_ms,
                            NumberOf(record, property::kCheckImmunityMs));
    half.next_check_ms = half.stored_ms + immunity_ms;
    state.PutHalf(record.physical_offset, half);
  }
  return absl::OkStatus();
}

}  // namespace raftmq::store
