#include "store/message_record.h"

#include <string>
#include <utility>
#include <vector>

#include "base/crc.h"
#include "base/endian.h"
#include "base/random.h"
#include "base/strings.h"
#include "gtest/gtest.h"

namespace raftmq::store {
namespace {

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

struct Message {
  std::string topic = "TopicTest";
  std::string body = "hello";
  std::string properties;
  MessageFields fields;

  Message() {
    AppendProperty(&properties, property::kUniqueKey, "0A0B");
    AppendProperty(&properties, property::kKeys, "k1 k2");
    AppendProperty(&properties, property::kTags, "TagA");
    fields.flag = 7;
    fields.born_timestamp_ms = 1'700'000'000'000;
    fields.born_host = HostAddress::Parse("10.1.2.3:5000").value();
    fields.store_host = HostAddress::Parse("10.1.2.4:8081").value();
    fields.reconsume_times = 2;
  }

  std::string Encode() {
    fields.topic = topic;
    fields.body = body;
    fields.properties = properties;
    std::string record;
    const absl::Status status = EncodeRecord(fields, &record);
    EXPECT_TRUE(status.ok()) << status;
    FinishRecord(record.data(), record.size(), QueueId(3), QueueOffset(42), LogPosition(4096),
                 1'700'000'000'123);
    return record;
  }
};

TEST(MessageRecord, IsByteForByteWhatRocketMqWrites) {
  // Made by hand from RocketMQ 5's MessageExtEncoder and CommitLog with enabledAppendPropCRC.
  const std::string golden = FromHex(
      "000000a0daa320a73610a6860000000300000007000000000000002a000000000000100000000000"
      "0000018bcfe568000a010203000013880000018bcfe5687b0a01020400001f910000000200000000"
      "000000000000000568656c6c6f09546f706963546573740037554e49515f4b455901304130420"
      "24b455953016b31206b3202544147530154616741025f5f435243333223013933333032363033393102");
  EXPECT_EQ(Message().Encode(), golden);
}

TEST(MessageRecord, ReturnsWhatWasEncoded) {
  Message message;
  message.fields.sys_flag = sys_flag::kTransactionCommit | sys_flag::kCompressed;
  message.fields.prepared_transaction_offset = 99;
  const std::string record = message.Encode();
  EXPECT_EQ(record.size(), EncodedRecordSize(message.fields));

  const absl::StatusOr<RecordView> view = ParseRecord(record);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->topic, "TopicTest");
  EXPECT_EQ(view->body, "hello");
  EXPECT_EQ(view->body_crc, RocketBodyCrc("hello"));
  EXPECT_EQ(view->queue_id, QueueId(3));
  EXPECT_EQ(view->queue_offset, QueueOffset(42));
  EXPECT_EQ(view->physical_offset, LogPosition(4096));
  EXPECT_EQ(view->flag, 7);
  EXPECT_EQ(view->sys_flag, sys_flag::kTransactionCommit | sys_flag::kCompressed);
  EXPECT_EQ(view->born_timestamp_ms, 1'700'000'000'000);
  EXPECT_EQ(view->store_timestamp_ms, 1'700'000'000'123);
  EXPECT_EQ(view->born_host.ToString(), "10.1.2.3:5000");
  EXPECT_EQ(view->store_host.ToString(), "10.1.2.4:8081");
  EXPECT_EQ(view->reconsume_times, 2);
  EXPECT_EQ(view->prepared_transaction_offset, 99);
  EXPECT_EQ(view->properties.text(), message.properties);
  EXPECT_EQ(view->tags(), "TagA");
  EXPECT_EQ(view->keys(), "k1 k2");
  EXPECT_EQ(view->unique_key(), "0A0B");
  EXPECT_EQ(view->properties.Get(property::kCrc32), "");
}

TEST(MessageRecord, TheSmallestOneHasNoBodyAndNoProperties) {
  Message message;
  message.topic = "T";
  message.body.clear();
  message.properties.clear();
  const std::string record = message.Encode();
  EXPECT_EQ(record.size(), kMinRecordSize);
  ASSERT_TRUE(ParseRecord(record).ok());
  EXPECT_EQ(ParseRecord(record)->properties.text(), "");
}

TEST(MessageRecord, EveryMixOfAddressFamiliesRoundTrips) {
  for (const char* born : {"192.168.7.8:1", "[2001:db8::1]:65535"}) {
    for (const char* store : {"1.2.3.4:8081", "[::1]:8081"}) {
      Message message;
      message.fields.born_host = HostAddress::Parse(born).value();
      message.fields.store_host = HostAddress::Parse(store).value();
      // Flags that lie about the hosts are put right.
      message.fields.sys_flag = sys_flag::kBornHostV6 | sys_flag::kStoreHostV6;
      const std::string record = message.Encode();
      const absl::StatusOr<RecordView> view = ParseRecord(record);
      ASSERT_TRUE(view.ok()) << view.status();
      EXPECT_EQ(view->born_host.ToString(), born);
      EXPECT_EQ(view->store_host.ToString(), store);
      EXPECT_EQ(view->body, "hello");
      EXPECT_EQ(ReadStoreTimestamp(record).value(), 1'700'000'000'123);
      EXPECT_EQ(ReadStoreTimestamp(record.substr(0, kRecordTimePrefix)).value(), 1'700'000'000'123);
    }
  }
}

TEST(MessageRecord, ATopicOfMoreThan127BytesTakesTheSecondMagic) {
  for (const auto& [size, magic] : std::vector<std::pair<size_t, uint32_t>>{
           {127, kMagicV1}, {128, kMagicV2}, {300, kMagicV2}, {kMaxTopicSize, kMagicV2}}) {
    Message message;
    message.topic = std::string(size, 't');
    const std::string record = message.Encode();
    EXPECT_EQ(LoadBe<uint32_t>(record.data() + 4), magic);
    ASSERT_TRUE(ParseRecord(record).ok()) << size;
    EXPECT_EQ(ParseRecord(record)->topic, message.topic);
  }
}

TEST(MessageRecord, AddsTheLastSeparatorOfTheProperties) {
  Message message;
  message.properties =
      "a\x01"
      "1\x02"
      "b\x01"
      "2";
  const std::string record = message.Encode();
  ASSERT_TRUE(ParseRecord(record).ok());
  EXPECT_EQ(ParseRecord(record)->properties.text(), message.properties + "\x02");
  EXPECT_EQ(ParseRecord(record)->properties.Get("b"), "2");
}

TEST(MessageRecord, RefusesWhatTheFormatCannotHold) {
  const auto encode = [](Message& message, std::string* out) {
    message.fields.topic = message.topic;
    message.fields.body = message.body;
    message.fields.properties = message.properties;
    return EncodeRecord(message.fields, out);
  };
  std::string out = "before";
  Message no_topic;
  no_topic.topic.clear();
  EXPECT_EQ(encode(no_topic, &out).code(), absl::StatusCode::kInvalidArgument);
  Message long_topic;
  long_topic.topic = std::string(kMaxTopicSize + 1, 't');
  EXPECT_EQ(encode(long_topic, &out).code(), absl::StatusCode::kInvalidArgument);
  Message crc;
  AppendProperty(&crc.properties, property::kCrc32, "0000000000");
  EXPECT_EQ(encode(crc, &out).code(), absl::StatusCode::kInvalidArgument);

  const size_t room = kMaxPropertiesSize - kCrcPropertySize;
  Message too_many;
  too_many.properties = "n\x01" + std::string(room - 2, 'v') + "\x02";
  EXPECT_EQ(encode(too_many, &out).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(out, "before");
  Message just_fits;
  just_fits.properties = "n\x01" + std::string(room - 3, 'v') + "\x02";
  EXPECT_TRUE(ParseRecord(just_fits.Encode()).ok());
}

TEST(MessageRecord, EveryFlippedBitIsDetected) {
  for (const bool v2 : {false, true}) {
    Message message;
    if (v2) message.topic = std::string(200, 'x');
    std::string record = message.Encode();
    ASSERT_TRUE(ParseRecord(record).ok());
    for (size_t bit = 0; bit < record.size() * 8; ++bit) {
      record[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      EXPECT_EQ(ParseRecord(record).status().code(), absl::StatusCode::kDataLoss)
          << "byte " << bit / 8 << " bit " << bit % 8;
      record[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    }
  }
}

TEST(MessageRecord, EveryCutAndEveryTrailingByteIsDetected) {
  const std::string record = Message().Encode();
  for (size_t size = 0; size < record.size(); ++size) {
    // A copy of its own, so that a sanitizer sees reads past the end.
    const std::vector<char> cut(record.begin(), record.begin() + size);
    const std::string_view view(cut.data(), cut.size());
    EXPECT_FALSE(ParseRecord(view).ok()) << size;
    EXPECT_FALSE(ReadRecordHeader(view).ok()) << size;
  }
  EXPECT_FALSE(ParseRecord(record + "x").ok());
}

TEST(MessageRecord, ARecordThatWasNeverFinishedIsDetected) {
  Message message;
  message.fields.topic = message.topic;
  message.fields.body = message.body;
  std::string image;
  ASSERT_TRUE(EncodeRecord(message.fields, &image).ok());
  EXPECT_FALSE(ParseRecord(image).ok());
}

TEST(MessageRecord, NoGarbageIsReadOutsideItsBytes) {
  const uint64_t seed = 20240607;
  Random random(seed);
  const std::string record = Message().Encode();
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = record.substr(0, random.Below(record.size() + 1));
    // Leave the start right in most rounds, so that the lengths behind it are read.
    const size_t from = bytes.size() > 8 && random.Below(4) != 0 ? 8 : 0;
    if (from == 8) StoreBe<int32_t>(bytes.data(), static_cast<int32_t>(bytes.size()));
    for (size_t flips = random.Below(8); flips > 0 && bytes.size() > from; --flips) {
      bytes[from + random.Below(bytes.size() - from)] = static_cast<char>(random.Below(256));
    }
    const std::vector<char> exact(bytes.begin(), bytes.end());
    const std::string_view view(exact.data(), exact.size());
    if (const auto header = ReadRecordHeader(view); header.ok()) {
      EXPECT_LE(header->topic.size() + header->tags.size(), view.size()) << "seed " << seed;
    }
    if (ParseRecord(view).ok()) {
      EXPECT_EQ(view, record) << "seed " << seed << " round " << round;
    }
  }
}

TEST(MessageRecord, RecordsOfAFrameAreTakenOneByOne) {
  Message other;
  other.body = std::string(1000, 'b');
  const std::string first = Message().Encode(), second = other.Encode();
  const std::string frame = first + second;
  std::string_view rest = frame;
  EXPECT_EQ(TakeRecord(&rest).value(), first);
  EXPECT_EQ(TakeRecord(&rest).value(), second);
  EXPECT_TRUE(rest.empty());

  std::string_view cut = std::string_view(frame).substr(0, first.size() + 50);
  EXPECT_TRUE(TakeRecord(&cut).ok());
  EXPECT_EQ(TakeRecord(&cut).status().code(), absl::StatusCode::kDataLoss);
}

TEST(MessageRecord, TheDispatchersViewAgreesWithTheWholeOne) {
  const std::string record = Message().Encode();
  const absl::StatusOr<RecordHeaderView> header = ReadRecordHeader(record);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->queue_id, QueueId(3));
  EXPECT_EQ(header->queue_offset, QueueOffset(42));
  EXPECT_EQ(header->physical_offset, LogPosition(4096));
  EXPECT_EQ(header->store_timestamp_ms, 1'700'000'000'123);
  EXPECT_EQ(header->topic, "TopicTest");
  EXPECT_EQ(header->tags, "TagA");
  EXPECT_EQ(header->keys, "k1 k2");
  EXPECT_EQ(header->unique_key, "0A0B");
}

TEST(HostAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"0.0.0.0:0", "10.1.2.3:65535", "[::]:0", "[fe80::1]:8081"}) {
    ASSERT_TRUE(HostAddress::Parse(text).ok()) << text;
    EXPECT_EQ(HostAddress::Parse(text)->ToString(), text);
  }
  EXPECT_EQ(HostAddress::Parse("10.1.2.3")->ToString(), "10.1.2.3:0");
  EXPECT_EQ(HostAddress::Parse("::1")->ToString(), "[::1]:0");
  for (const char* text : {"", "host:80", "1.2.3:80", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:70000",
                           "1.2.3.4:-1", "[::1", "[::1]8081", "[1.2.3.4]:1"}) {
    EXPECT_EQ(HostAddress::Parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(MessageProperties, AreFoundWithoutCopying) {
  std::string text;
  AppendProperty(&text, "a", "1");
  AppendProperty(&text, "empty", "");
  text += "no separator\x02";
  AppendProperty(&text, "a", "second");
  AppendProperty(&text, "utf8", "标签");
  text +=
      "last\x01"
      "unterminated";
  const PropertiesView view(text);
  EXPECT_EQ(view.Get("a"), "1");
  EXPECT_EQ(view.Get("utf8"), "标签");
  EXPECT_EQ(view.Get("last"), "unterminated");
  std::string_view value = "untouched";
  EXPECT_TRUE(view.Find("empty", &value));
  EXPECT_EQ(value, "");
  value = "untouched";
  EXPECT_FALSE(view.Find("missing", &value));
  EXPECT_EQ(value, "untouched");
  std::string names;
  view.ForEach([&names](std::string_view name, std::string_view) { names += StrCat(name, ","); });
  EXPECT_EQ(names, "a,empty,a,utf8,last,");
}

TEST(MessageProperties, ReservedNamesAreRocketMqs) {
  for (std::string_view name : {"KEYS", "TAGS", "UNIQ_KEY", "DELAY", "TIMER_DELIVER_MS", "TRAN_MSG",
                                "__CRC32#", "1ST_POP_TIME", "WAIT", "__BORNHOST"}) {
    EXPECT_TRUE(IsReservedProperty(name)) << name;
  }
  // RocketMQ leaves these out of its set.
  for (std::string_view name : {"__SHARDINGKEY", "TRACE_CONTEXT", "colour", "", "keys"}) {
    EXPECT_FALSE(IsReservedProperty(name)) << name;
  }
}

TEST(MessageProperties, SeparatorsCannotBeStored) {
  EXPECT_TRUE(IsStorablePropertyText("any text, also 标签"));
  EXPECT_FALSE(
      IsStorablePropertyText("a\x01"
                             "b"));
  EXPECT_FALSE(IsStorablePropertyText("a\x02"));
}

}  // namespace
}  // namespace raftmq::store
