#include "store/waiting_handles.h"

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "store/byte_reader.h"
#include "store/reason.h"
#include "store/sealed_text.h"

namespace raftmq::store {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kRecallHandleBytes = 1 + 4 + 8 + 8;
constexpr size_t kTransactionIdBytes = 1 + 4 + 4 + 8;

absl::Status InvalidHandle(std::string_view text) {
  return Refuse(Reason::kInvalidReceiptHandle, StrCat("the recall handle ", text));
}

absl::Status InvalidId(std::string_view text) {
  return Refuse(Reason::kInvalidTransactionId, StrCat("the transaction id ", text));
}

struct TransactionIdFields {
  uint32_t topic_crc = 0;
  uint32_t message_crc = 0;
  HalfRef half;
};

absl::StatusOr<TransactionIdFields> ReadTransactionId(std::string_view transaction_id) {
  const absl::StatusOr<std::string> bytes = UnsealText(transaction_id, kTransactionIdBytes);
  if (!bytes.ok()) return InvalidId(Message(bytes.status()));
  ByteReader in(*bytes);
  const uint8_t version = in.Take<uint8_t>();
  if (version != kVersion) return InvalidId(StrCat("has version ", static_cast<int>(version)));
  TransactionIdFields fields;
  fields.topic_crc = in.Take<uint32_t>();
  fields.message_crc = in.Take<uint32_t>();
  fields.half.position = LogPosition(in.Take<int64_t>());
  if (fields.half.position < LogPosition(0)) return InvalidId("names no place");
  return fields;
}

}  // namespace

std::string EncodeRecallHandle(std::string_view topic, const TimerRef& timer) {
  std::string bytes;
  AppendBe(&bytes, kVersion);
  AppendBe(&bytes, Crc32c(topic));
  AppendBe(&bytes, timer.due_ms);
  AppendBe(&bytes, timer.position.value());
  return SealText(bytes);
}

absl::StatusOr<TimerRef> ParseRecallHandle(std::string_view topic, std::string_view handle) {
  const absl::StatusOr<std::string> bytes = UnsealText(handle, kRecallHandleBytes);
  if (!bytes.ok()) return InvalidHandle(Message(bytes.status()));
  ByteReader in(*bytes);
  const uint8_t version = in.Take<uint8_t>();
  if (version != kVersion) return InvalidHandle(StrCat("has version ", static_cast<int>(version)));
  if (in.Take<uint32_t>() != Crc32c(topic)) {
    return InvalidHandle(StrCat("is not of a message of topic ", topic));
  }
  TimerRef timer;
  timer.due_ms = in.Take<int64_t>();
  timer.position = LogPosition(in.Take<int64_t>());
  if (timer.due_ms < 0 || timer.position < LogPosition(0)) return InvalidHandle("names no timer");
  return timer;
}

std::string EncodeTransactionId(std::string_view topic, std::string_view message_id,
                                const HalfRef& half) {
  std::string bytes;
  AppendBe(&bytes, kVersion);
  AppendBe(&bytes, Crc32c(topic));
  AppendBe(&bytes, Crc32c(message_id));
  AppendBe(&bytes, half.position.value());
  return SealText(bytes);
}

absl::StatusOr<HalfRef> ParseTransactionId(std::string_view topic, std::string_view message_id,
                                           std::string_view transaction_id) {
  RAFTMQ_ASSIGN_OR_RETURN(const TransactionIdFields fields, ReadTransactionId(transaction_id));
  if (fields.topic_crc != Crc32c(topic) || fields.message_crc != Crc32c(message_id)) {
    return InvalidId(StrCat("is not that of message ", message_id, " of topic ", topic));
  }
  return fields.half;
}

absl::StatusOr<HalfRef> ParseTransactionId(std::string_view transaction_id) {
  RAFTMQ_ASSIGN_OR_RETURN(const TransactionIdFields fields, ReadTransactionId(transaction_id));
  return fields.half;
}

}  // namespace raftmq::store
