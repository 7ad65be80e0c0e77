#include "store/record_reader.h"

#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/message_record.h"
#include "store/reason.h"

namespace raftmq::store {

namespace {

constexpr size_t kPhysicalOffsetAt = 28;

absl::StatusOr<RecordView> Check(std::string_view record, LogPosition position) {
  auto view = ParseRecord(record);
  if (!view.ok()) return Annotate(view.status(), StrCat("record at ", position));
  if (view->physical_offset != position) {
    return absl::DataLossError(StrCat("record at ", position, " says it is at ",
                                      view->physical_offset,
                                      "; compare the log with another member's"));
  }
  return view;
}

}  // namespace

absl::StatusOr<std::string> RecordReader::Read(const ConsumeQueueEntry& entry,
                                               std::string_view topic, QueueId queue,
                                               QueueOffset offset) const {
  CHECK(ledger_ != nullptr) << "Attach comes first";
  absl::StatusOr<std::string> record = ReadEntryRecord(*ledger_, entry, topic, queue, offset);
  if (record.ok() || !absl::IsDataLoss(record.status())) return record;
  return repair_->Heal(topic, queue, offset, record.status());
}

absl::StatusOr<std::string> RecordReader::ReadAt(LogPosition position) const {
  CHECK(ledger_ != nullptr) << "Attach comes first";
  const auto nothing = [position](std::string_view why) {
    return Refuse(Reason::kMessageNotFound, StrCat("no message at log position ", position, why));
  };
  if (position < LogPosition(0)) return nothing("");
  if (kept_ != nullptr) {
    auto kept = kept_(position);
    if (kept.ok()) {
      RAFTMQ_RETURN_IF_ERROR(Check(*kept, position).status());
      return kept;
    }
    if (!absl::IsNotFound(kept.status())) return kept.status();
  }
  auto head = ledger_->Read(position, kMinRecordSize);
  if (!head.ok()) {
    return head.status().code() == absl::StatusCode::kOutOfRange ? nothing("") : head.status();
  }
  const uint32_t size = LoadBe<uint32_t>(head->data());
  const uint32_t magic = LoadBe<uint32_t>(head->data() + 4);
  // A position out of the blue: what is there need not be a record.
  if (size < kMinRecordSize || size > kMaxBodySize || (magic != kMagicV1 && magic != kMagicV2)) {
    return nothing(": what is there does not look like a record");
  }
  auto record = ledger_->Read(position, size);
  if (!record.ok()) {
    return record.status().code() == absl::StatusCode::kOutOfRange ? nothing("") : record.status();
  }
  RAFTMQ_RETURN_IF_ERROR(Check(*record, position).status());
  return record;
}

absl::StatusOr<int64_t> RecordReader::StoreTime(const ConsumeQueueEntry& entry) const {
  CHECK(ledger_ != nullptr) << "Attach comes first";
  RAFTMQ_ASSIGN_OR_RETURN(std::string head, ledger_->Read(entry.position, kRecordTimePrefix));
  if (LoadBe<int64_t>(head.data() + kPhysicalOffsetAt) != entry.position.value()) {
    return absl::DataLossError(
        StrCat("no record begins at ", entry.position, ", where a consume queue says one does"));
  }
  return ReadStoreTimestamp(head);
}

}  // namespace raftmq::store
