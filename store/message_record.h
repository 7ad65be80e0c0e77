// The message record: RocketMQ's CommitLog layout, byte for byte (MessageExtEncoder and
// MessageDecoder of RocketMQ 5), always with its whole-record CRC property at the end.
//
// A record is made in two steps. EncodeRecord does the work that needs no order, on any thread;
// FinishRecord writes in what the leader decides, on the thread that owns the log. docs/formats.md
// has the layout.
//
// Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "store/message_properties.h"

namespace raftmq::store {

inline constexpr uint32_t kMagicV1 = 0xDAA320A7;  // topic length in 1 byte
inline constexpr uint32_t kMagicV2 = 0xDAA320AB;  // topic length in 2 bytes, for more than 127

// RocketMQ's MessageSysFlag.
namespace sys_flag {
inline constexpr int32_t kCompressed = 0x1;
inline constexpr int32_t kMultiTags = 0x2;
inline constexpr int32_t kTransactionMask = 0xC;
inline constexpr int32_t kTransactionPrepared = 0x4;
inline constexpr int32_t kTransactionCommit = 0x8;
inline constexpr int32_t kTransactionRollback = 0xC;
inline constexpr int32_t kBornHostV6 = 0x10;
inline constexpr int32_t kStoreHostV6 = 0x20;
inline constexpr int32_t kCompressionMask = 0x700;
inline constexpr int32_t kCompressionLz4 = 0x100;
inline constexpr int32_t kCompressionZstd = 0x200;
inline constexpr int32_t kCompressionZlib = 0x300;
}  // namespace sys_flag

// __CRC32# \x01 ten digits \x02
inline constexpr size_t kCrcPropertySize = 20;
// All properties of a record together, the CRC property included.
inline constexpr size_t kMaxPropertiesSize = 32767;
inline constexpr size_t kMaxTopicSize = 32767;
// Body's bound by the format alone; the broker has a much lower one (4 MiB).
inline constexpr size_t kMaxBodySize = 1 << 30;
// The smallest record: IPv4 hosts, no body, a topic of one byte, nothing but the CRC property.
inline constexpr size_t kMinRecordSize = 91 + 1 + kCrcPropertySize;

// A socket address: IPv4 or IPv6 and a port.
struct HostAddress {
  bool v6 = false;
  std::array<uint8_t, 16> ip{};  // network order; the first 4 for IPv4
  int32_t port = 0;

  // From "10.1.2.3:80", "[::1]:80", or the same without a port. InvalidArgument for a host name.
  static absl::StatusOr<HostAddress> Parse(std::string_view text);
  // "10.1.2.3:80" or "[::1]:80".
  std::string ToString() const;

  bool operator==(const HostAddress&) const = default;
};

// What a record says before the leader numbers it. The views need to live for the call only.
struct MessageFields {
  std::string_view topic;
  std::string_view body;
  // As AppendProperty makes them, without the CRC property. A last separator is added if missing.
  std::string_view properties;
  int32_t flag = 0;
  int32_t sys_flag = 0;  // the two V6 bits are set from the hosts
  int64_t born_timestamp_ms = 0;
  HostAddress born_host;
  HostAddress store_host;
  int32_t reconsume_times = 0;
  int64_t prepared_transaction_offset = 0;
};

// Bytes that the record will take.
size_t EncodedRecordSize(const MessageFields& fields);

// Appends the record's image to `out`: complete but for queue id and offset, position, store time
// (zero) and the CRC property's digits. InvalidArgument, naming the limit, for what doesn't fit the
// format; `out` is unchanged then.
absl::Status EncodeRecord(const MessageFields& fields, std::string* out);

// Writes what the leader decided into an image by EncodeRecord and computes its CRC. No allocation,
// about 0.1 µs per KiB. May be repeated. REQUIRES: `size` bytes at `record` are such an image.
void FinishRecord(char* record, size_t size, QueueId queue_id, QueueOffset queue_offset,
                  LogPosition physical_offset, int64_t store_timestamp_ms);

// What a record says of its body and its birth.
struct RecordStamp {
  uint32_t body_crc = 0;
  uint32_t body_size = 0;
  int64_t born_timestamp_ms = 0;
};

// REQUIRES: an image by EncodeRecord.
RecordStamp ReadRecordStamp(std::string_view image);

// A parsed record. Its views point into the bytes that were parsed.
struct RecordView {
  std::string_view bytes;  // the whole record
  uint32_t body_crc = 0;
  QueueId queue_id;
  int32_t flag = 0;
  QueueOffset queue_offset;
  LogPosition physical_offset;
  int32_t sys_flag = 0;
  int64_t born_timestamp_ms = 0;
  HostAddress born_host;
  int64_t store_timestamp_ms = 0;
  HostAddress store_host;
  int32_t reconsume_times = 0;
  int64_t prepared_transaction_offset = 0;
  std::string_view body;
  std::string_view topic;
  PropertiesView properties;  // without the CRC property

  std::string_view tags() const { return properties.Get(property::kTags); }
  std::string_view keys() const { return properties.Get(property::kKeys); }
  std::string_view unique_key() const { return properties.Get(property::kUniqueKey); }
  std::string_view for_group() const { return properties.Get(property::kForGroup); }
};

// Checks and reads exactly one record: sizes, magic, the CRC of the body and that of the whole
// record. DataLoss says what is wrong with it. Never reads outside `bytes`, whatever they are.
absl::StatusOr<RecordView> ParseRecord(std::string_view bytes);

// Takes the first record's bytes off `*rest`, for frames that hold several; checks its size and
// magic only. REQUIRES: `*rest` is not empty.
absl::StatusOr<std::string_view> TakeRecord(std::string_view* rest);

// What the dispatcher needs of a record whose frame was checked already: no CRC is computed here,
// but sizes are checked all the same.
struct RecordHeaderView {
  std::string_view bytes;
  QueueId queue_id;
  QueueOffset queue_offset;
  LogPosition physical_offset;
  int32_t sys_flag = 0;
  int64_t store_timestamp_ms = 0;
  std::string_view topic;
  std::string_view tags;
  std::string_view keys;  // separated by spaces
  std::string_view unique_key;
  std::string_view settles;    // property::kSettles; data() is null without one
  std::string_view client;     // property::kClient, likewise
  std::string_view for_group;  // property::kForGroup; "": for all groups
  RecordStamp stamp;
  PropertiesView properties;
};
absl::StatusOr<RecordHeaderView> ReadRecordHeader(std::string_view bytes);

// The store time of a record, given at least its first kRecordTimePrefix bytes: enough for a
// search by time, without reading bodies.
inline constexpr size_t kRecordTimePrefix = 76;
absl::StatusOr<int64_t> ReadStoreTimestamp(std::string_view prefix);

}  // namespace raftmq::store
