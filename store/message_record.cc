#include "store/message_record.h"

#include <algorithm>
#include <array>

#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::store {
namespace {

// Places of the fields that come before the hosts, whose length varies.
constexpr size_t kTotalSizeAt = 0;
constexpr size_t kMagicAt = 4;
constexpr size_t kBodyCrcAt = 8;
constexpr size_t kQueueIdAt = 12;
constexpr size_t kFlagAt = 16;
constexpr size_t kQueueOffsetAt = 20;
constexpr size_t kPhysicalOffsetAt = 28;
constexpr size_t kSysFlagAt = 36;
constexpr size_t kBornTimestampAt = 40;
constexpr size_t kBornHostAt = 48;

// Everything before the body, with IPv6 hosts.
constexpr size_t kLongestHead = kBornHostAt + 20 + 8 + 20 + 4 + 8 + 4;
constexpr size_t kCrcDigits = 10;
constexpr size_t kHighestV1Topic = 127;

size_t HostSize(bool v6) { return v6 ? 20 : 8; }
size_t HostSize(int32_t sys_flag, int32_t v6_bit) { return HostSize((sys_flag & v6_bit) != 0); }

// Where the fields behind the born host are.
struct Places {
  size_t store_timestamp;
  size_t store_host;
  size_t reconsume_times;
  size_t prepared_transaction_offset;
  size_t body_length;
  size_t body;
};

Places PlacesOf(int32_t sys_flag) {
  Places at;
  at.store_timestamp = kBornHostAt + HostSize(sys_flag, sys_flag::kBornHostV6);
  at.store_host = at.store_timestamp + 8;
  at.reconsume_times = at.store_host + HostSize(sys_flag, sys_flag::kStoreHostV6);
  at.prepared_transaction_offset = at.reconsume_times + 4;
  at.body_length = at.prepared_transaction_offset + 8;
  at.body = at.body_length + 4;
  return at;
}

bool NeedsSeparator(std::string_view properties) {
  return !properties.empty() && properties.back() != kPropertySeparator;
}

size_t StoredPropertiesSize(std::string_view properties) {
  return properties.size() + (NeedsSeparator(properties) ? 1 : 0) + kCrcPropertySize;
}

// RocketMQ's MessageDecoder.createCrc32 writes the digits lowest first.
void WriteCrcProperty(char* at, uint32_t crc) {
  at = std::copy(property::kCrc32.begin(), property::kCrc32.end(), at);
  *at++ = kNameValueSeparator;
  for (size_t i = 0; i < kCrcDigits; ++i) {
    *at++ = static_cast<char>('0' + crc % 10);
    crc /= 10;
  }
  *at = kPropertySeparator;
}

void StoreHost(char* at, const HostAddress& host) {
  const size_t size = host.v6 ? 16 : 4;
  std::copy_n(host.ip.data(), size, at);
  StoreBe<int32_t>(at + size, host.port);
}

HostAddress LoadHost(const char* at, bool v6) {
  HostAddress host;
  host.v6 = v6;
  const size_t size = v6 ? 16 : 4;
  std::copy(at, at + size, reinterpret_cast<char*>(host.ip.data()));
  host.port = LoadBe<int32_t>(at + size);
  return host;
}

absl::Status CheckFields(const MessageFields& fields) {
  if (fields.topic.empty() || fields.topic.size() > kMaxTopicSize) {
    return absl::InvalidArgumentError(
        StrCat("topic has ", fields.topic.size(), " bytes, 1 to ", kMaxTopicSize, " are allowed"));
  }
  if (fields.body.size() > kMaxBodySize) {
    return absl::InvalidArgumentError(
        StrCat("body has ", fields.body.size(), " bytes, at most ", kMaxBodySize, " are allowed"));
  }
  const size_t properties = StoredPropertiesSize(fields.properties);
  if (properties > kMaxPropertiesSize) {
    return absl::InvalidArgumentError(
        StrCat("properties have ", properties - kCrcPropertySize, " bytes, at most ",
               kMaxPropertiesSize - kCrcPropertySize, " are allowed"));
  }
  std::string_view ignored;
  if (PropertiesView(fields.properties).Find(property::kCrc32, &ignored)) {
    return absl::InvalidArgumentError(
        StrCat("property ", property::kCrc32, " is written by the store alone"));
  }
  return absl::OkStatus();
}

template <typename... Args>
absl::Status Damaged(const Args&... args) {
  return absl::DataLossError(StrCat("message record: ", args...));
}

// The record's parts, found by their lengths.
struct Layout {
  int32_t sys_flag = 0;
  Places at;
  std::string_view body;
  std::string_view topic;
  std::string_view properties;  // all of them
};

// Total size and magic; `bytes` may be longer than the record.
absl::Status CheckStart(std::string_view bytes, size_t* total) {
  if (bytes.size() < kMinRecordSize) {
    return Damaged(bytes.size(), " bytes, at least ", kMinRecordSize, " expected");
  }
  const int32_t size = LoadBe<int32_t>(bytes.data() + kTotalSizeAt);
  if (size < static_cast<int32_t>(kMinRecordSize) || static_cast<size_t>(size) > bytes.size()) {
    return Damaged("total size ", size, ", expected ", kMinRecordSize, " to ", bytes.size());
  }
  const uint32_t magic = LoadBe<uint32_t>(bytes.data() + kMagicAt);
  if (magic != kMagicV1 && magic != kMagicV2) {
    return Damaged("magic ", magic, ", expected ", kMagicV1, " or ", kMagicV2);
  }
  *total = static_cast<size_t>(size);
  return absl::OkStatus();
}

absl::StatusOr<Layout> FindLayout(std::string_view bytes) {
  size_t total = 0;
  RAFTMQ_RETURN_IF_ERROR(CheckStart(bytes, &total));
  if (total != bytes.size()) return Damaged("total size ", total, " in ", bytes.size(), " bytes");
  const char* data = bytes.data();
  Layout layout;
  layout.sys_flag = LoadBe<int32_t>(data + kSysFlagAt);
  layout.at = PlacesOf(layout.sys_flag);

  // `at` never passes `total`: each step checks what is left.
  size_t at = layout.at.body;
  if (at > total) return Damaged("total size ", total, " is too small for its hosts");
  const int32_t body_length = LoadBe<int32_t>(data + layout.at.body_length);
  if (body_length < 0 || static_cast<size_t>(body_length) > total - at) {
    return Damaged("body length ", body_length, ", ", total - at, " bytes are left");
  }
  layout.body = bytes.substr(at, body_length);
  at += body_length;

  const size_t topic_width = LoadBe<uint32_t>(data + kMagicAt) == kMagicV1 ? 1 : 2;
  if (total - at < topic_width) return Damaged("cut off before the topic");
  const int32_t topic_length =
      topic_width == 1 ? LoadBe<int8_t>(data + at) : LoadBe<int16_t>(data + at);
  at += topic_width;
  if (topic_length < 0 || static_cast<size_t>(topic_length) > total - at) {
    return Damaged("topic length ", topic_length, ", ", total - at, " bytes are left");
  }
  layout.topic = bytes.substr(at, topic_length);
  at += topic_length;

  if (total - at < 2) return Damaged("cut off before the properties");
  const int32_t properties_length = LoadBe<int16_t>(data + at);
  at += 2;
  if (properties_length < 0 || static_cast<size_t>(properties_length) != total - at) {
    return Damaged("properties length ", properties_length, ", ", total - at, " bytes are left");
  }
  if (properties_length < static_cast<int32_t>(kCrcPropertySize)) {
    return Damaged("properties length ", properties_length, " leaves no room for the CRC");
  }
  layout.properties = bytes.substr(at);
  return layout;
}

std::string_view WithoutCrc(std::string_view properties) {
  return properties.substr(0, properties.size() - kCrcPropertySize);
}

absl::Status CheckCrcs(std::string_view bytes, const Layout& layout) {
  const uint32_t body_crc = RocketBodyCrc(layout.body);
  const uint32_t stored_body_crc = LoadBe<uint32_t>(bytes.data() + kBodyCrcAt);
  if (stored_body_crc != body_crc) {
    return Damaged("body CRC ", stored_body_crc, " is stored, the body has ", body_crc);
  }
  const std::string_view covered = WithoutCrc(bytes);
  char expected[kCrcPropertySize];
  WriteCrcProperty(expected, RocketBodyCrc(covered));
  if (bytes.substr(covered.size()) != std::string_view(expected, kCrcPropertySize)) {
    return Damaged("its CRC property doesn't match the record's bytes");
  }
  return absl::OkStatus();
}

}  // namespace

size_t EncodedRecordSize(const MessageFields& fields) {
  const size_t hosts = HostSize(fields.born_host.v6) + HostSize(fields.store_host.v6);
  return kBornHostAt + hosts + 8 + 4 + 8 + 4 + fields.body.size() +
         (fields.topic.size() > kHighestV1Topic ? 2 : 1) + fields.topic.size() + 2 +
         StoredPropertiesSize(fields.properties);
}

absl::Status EncodeRecord(const MessageFields& fields, std::string* out) {
  RAFTMQ_RETURN_IF_ERROR(CheckFields(fields));
  const bool v2 = fields.topic.size() > kHighestV1Topic;
  int32_t flags = fields.sys_flag & ~(sys_flag::kBornHostV6 | sys_flag::kStoreHostV6);
  if (fields.born_host.v6) flags |= sys_flag::kBornHostV6;
  if (fields.store_host.v6) flags |= sys_flag::kStoreHostV6;

  const size_t start = out->size();
  const size_t total = EncodedRecordSize(fields);
  out->reserve(start + total);
  // In one piece: a record is many small fields.
  std::array<char, kLongestHead> head{};  // queue, offsets and store timestamp stay 0
  const Places at = PlacesOf(flags);
  StoreBe<int32_t>(&head[kTotalSizeAt], static_cast<int32_t>(total));
  StoreBe<uint32_t>(&head[kMagicAt], v2 ? kMagicV2 : kMagicV1);
  StoreBe<uint32_t>(&head[kBodyCrcAt], RocketBodyCrc(fields.body));
  StoreBe<int32_t>(&head[kFlagAt], fields.flag);
  StoreBe<int32_t>(&head[kSysFlagAt], flags);
  StoreBe<int64_t>(&head[kBornTimestampAt], fields.born_timestamp_ms);
  StoreHost(&head[kBornHostAt], fields.born_host);
  StoreHost(&head[at.store_host], fields.store_host);
  StoreBe<int32_t>(&head[at.reconsume_times], fields.reconsume_times);
  StoreBe<int64_t>(&head[at.prepared_transaction_offset], fields.prepared_transaction_offset);
  StoreBe<int32_t>(&head[at.body_length], static_cast<int32_t>(fields.body.size()));
  out->append(head.data(), at.body);
  out->append(fields.body);
  if (v2) {
    AppendBe<int16_t>(out, static_cast<int16_t>(fields.topic.size()));
  } else {
    AppendBe<int8_t>(out, static_cast<int8_t>(fields.topic.size()));
  }
  out->append(fields.topic);
  AppendBe<int16_t>(out, static_cast<int16_t>(StoredPropertiesSize(fields.properties)));
  out->append(fields.properties);
  if (NeedsSeparator(fields.properties)) out->push_back(kPropertySeparator);
  char crc_property[kCrcPropertySize];
  WriteCrcProperty(crc_property, 0);
  out->append(crc_property, kCrcPropertySize);
  CHECK_EQ(out->size() - start, total);
  return absl::OkStatus();
}

void FinishRecord(char* record, size_t size, QueueId queue_id, QueueOffset queue_offset,
                  LogPosition physical_offset, int64_t store_timestamp_ms) {
  DCHECK_EQ(LoadBe<int32_t>(record + kTotalSizeAt), static_cast<int32_t>(size));
  StoreBe<int32_t>(record + kQueueIdAt, queue_id.value());
  StoreBe<int64_t>(record + kQueueOffsetAt, queue_offset.value());
  StoreBe<int64_t>(record + kPhysicalOffsetAt, physical_offset.value());
  const int32_t flags = LoadBe<int32_t>(record + kSysFlagAt);
  StoreBe<int64_t>(record + PlacesOf(flags).store_timestamp, store_timestamp_ms);
  const size_t covered = size - kCrcPropertySize;
  WriteCrcProperty(record + covered, RocketBodyCrc(std::string_view(record, covered)));
}

RecordStamp ReadRecordStamp(std::string_view image) {
  const char* data = image.data();
  const Places at = PlacesOf(LoadBe<int32_t>(data + kSysFlagAt));
  return {LoadBe<uint32_t>(data + kBodyCrcAt), LoadBe<uint32_t>(data + at.body_length),
          LoadBe<int64_t>(data + kBornTimestampAt)};
}

absl::StatusOr<RecordView> ParseRecord(std::string_view bytes) {
  RAFTMQ_ASSIGN_OR_RETURN(const Layout layout, FindLayout(bytes));
  RAFTMQ_RETURN_IF_ERROR(CheckCrcs(bytes, layout));
  const char* data = bytes.data();
  RecordView view;
  view.bytes = bytes;
  view.body_crc = LoadBe<uint32_t>(data + kBodyCrcAt);
  view.queue_id = QueueId(LoadBe<int32_t>(data + kQueueIdAt));
  view.flag = LoadBe<int32_t>(data + kFlagAt);
  view.queue_offset = QueueOffset(LoadBe<int64_t>(data + kQueueOffsetAt));
  view.physical_offset = LogPosition(LoadBe<int64_t>(data + kPhysicalOffsetAt));
  view.sys_flag = layout.sys_flag;
  view.born_timestamp_ms = LoadBe<int64_t>(data + kBornTimestampAt);
  view.born_host = LoadHost(data + kBornHostAt, (view.sys_flag & sys_flag::kBornHostV6) != 0);
  view.store_timestamp_ms = LoadBe<int64_t>(data + layout.at.store_timestamp);
  view.store_host =
      LoadHost(data + layout.at.store_host, (view.sys_flag & sys_flag::kStoreHostV6) != 0);
  view.reconsume_times = LoadBe<int32_t>(data + layout.at.reconsume_times);
  view.prepared_transaction_offset = LoadBe<int64_t>(data + layout.at.prepared_transaction_offset);
  view.body = layout.body;
  view.topic = layout.topic;
  view.properties = PropertiesView(WithoutCrc(layout.properties));
  return view;
}

absl::StatusOr<std::string_view> TakeRecord(std::string_view* rest) {
  size_t total = 0;
  RAFTMQ_RETURN_IF_ERROR(CheckStart(*rest, &total));
  const std::string_view record = rest->substr(0, total);
  rest->remove_prefix(total);
  return record;
}

absl::StatusOr<RecordHeaderView> ReadRecordHeader(std::string_view bytes) {
  RAFTMQ_ASSIGN_OR_RETURN(const Layout layout, FindLayout(bytes));
  const char* data = bytes.data();
  RecordHeaderView view;
  view.bytes = bytes;
  view.queue_id = QueueId(LoadBe<int32_t>(data + kQueueIdAt));
  view.queue_offset = QueueOffset(LoadBe<int64_t>(data + kQueueOffsetAt));
  view.physical_offset = LogPosition(LoadBe<int64_t>(data + kPhysicalOffsetAt));
  view.sys_flag = layout.sys_flag;
  view.store_timestamp_ms = LoadBe<int64_t>(data + layout.at.store_timestamp);
  view.topic = layout.topic;
  view.stamp = ReadRecordStamp(bytes);
  view.properties = PropertiesView(WithoutCrc(layout.properties));
  view.properties.ForEach([&view](std::string_view name, std::string_view value) {
    // The first one of a name counts, as in PropertiesView::Find.
    std::string_view* field = name == property::kTags        ? &view.tags
                              : name == property::kKeys      ? &view.keys
                              : name == property::kUniqueKey ? &view.unique_key
                              : name == property::kSettles   ? &view.settles
                              : name == property::kClient    ? &view.client
                              : name == property::kForGroup  ? &view.for_group
                                                             : nullptr;
    if (field != nullptr && field->data() == nullptr) *field = value;
  });
  return view;
}

absl::StatusOr<int64_t> ReadStoreTimestamp(std::string_view prefix) {
  if (prefix.size() < kRecordTimePrefix) {
    return Damaged(prefix.size(), " bytes, at least ", kRecordTimePrefix, " expected");
  }
  const uint32_t magic = LoadBe<uint32_t>(prefix.data() + kMagicAt);
  if (magic != kMagicV1 && magic != kMagicV2) {
    return Damaged("magic ", magic, ", expected ", kMagicV1, " or ", kMagicV2);
  }
  const int32_t flags = LoadBe<int32_t>(prefix.data() + kSysFlagAt);
  return LoadBe<int64_t>(prefix.data() + PlacesOf(flags).store_timestamp);
}

}  // namespace raftmq::store
