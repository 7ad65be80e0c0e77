#include "store/receipt_handle.h"

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "store/byte_reader.h"
#include "store/reason.h"
#include "store/sealed_text.h"

namespace raftmq::store {
namespace {

constexpr uint8_t kVersionWithoutEnd = 1;
constexpr uint8_t kVersion = 2;
constexpr size_t kBytesWithoutEnd = 1 + 4 + 4 + 8 + 8;
constexpr size_t kBytes = kBytesWithoutEnd + 8;

absl::Status Invalid(std::string_view text) {
  return Refuse(Reason::kInvalidReceiptHandle, StrCat("the receipt handle ", text));
}

}  // namespace

uint32_t ReceiptNamesCrc(std::string_view group, std::string_view topic) {
  return Crc32c(topic, Crc32c(std::string_view("\0", 1), Crc32c(group)));
}

std::string EncodeReceiptHandle(const ReceiptHandle& handle) {
  std::string bytes;
  bytes.reserve(kBytes);
  const bool has_end = handle.lease_until_ms != 0;
  AppendBe(&bytes, has_end ? kVersion : kVersionWithoutEnd);
  AppendBe(&bytes, handle.names_crc);
  AppendBe(&bytes, handle.queue.value());
  AppendBe(&bytes, handle.offset.value());
  AppendBe(&bytes, handle.lease_id);
  if (has_end) AppendBe(&bytes, handle.lease_until_ms);
  return SealText(bytes);
}

absl::StatusOr<ReceiptHandle> ParseReceiptHandle(std::string_view text) {
  const bool has_end = text.size() != SealedCharacters(kBytesWithoutEnd);
  const absl::StatusOr<std::string> bytes = UnsealText(text, has_end ? kBytes : kBytesWithoutEnd);
  if (!bytes.ok()) return Invalid(Message(bytes.status()));
  ByteReader in(*bytes);
  uint8_t version = in.Take<uint8_t>();
  const uint8_t expected = has_end ? kVersion : kVersionWithoutEnd;
  if (version != expected) {
    return Invalid(StrCat("has version ", static_cast<int>(version), ", expected ",
                          static_cast<int>(expected)));
  }
  ReceiptHandle handle;
  handle.names_crc = in.Take<uint32_t>();
  handle.queue = QueueId(in.Take<int32_t>());
  handle.offset = QueueOffset(in.Take<int64_t>());
  handle.lease_id = in.Take<uint64_t>();
  if (has_end) {
    handle.lease_until_ms = in.Take<int64_t>();
    if (handle.lease_until_ms <= 0) return Invalid("says its lease ended before time began");
  }
  if (handle.queue.value() < 0 || handle.offset.value() < 0) {
    return Invalid("names no queue or no offset");
  }
  return handle;
}

}  // namespace raftmq::store
