#include "broker/message_conversion.h"

#include <gtest/gtest.h>

#include "base/gzip.h"
#include "broker/proto_time.h"
#include "store/message_properties.h"

namespace raftmq::broker {
namespace {

v2::Message FullMessage() {
  v2::Message message;
  message.mutable_topic()->set_name("orders");
  message.set_body("hello");
  (*message.mutable_user_properties())["colour"] = "red";
  v2::SystemProperties* system = message.mutable_system_properties();
  system->set_message_id("01AB");
  system->set_tag("A");
  system->add_keys("k1");
  system->add_keys("k2");
  system->set_message_group("customer-7");
  system->set_trace_context("trace");
  system->set_body_encoding(v2::GZIP);
  SetTimestamp(1'700'000'000'123, system->mutable_born_timestamp());
  system->set_born_host("host-1");
  system->set_queue_id(5);
  return message;
}

TEST(ToNewMessage, AllFieldsArriveAndTheClientsQueueDoesNot) {
  const store::NewMessage message = ToNewMessage(FullMessage(), CallContext(), 1);
  EXPECT_EQ(message.topic, "orders");
  EXPECT_EQ(message.queue, std::nullopt);
  EXPECT_EQ(message.message_id, "01AB");
  EXPECT_EQ(message.tag, "A");
  EXPECT_EQ(message.keys, (std::vector<std::string>{"k1", "k2"}));
  EXPECT_EQ(message.message_group, "customer-7");
  EXPECT_EQ(message.trace_context, "trace");
  EXPECT_EQ(message.user_properties.at("colour"), "red");
  EXPECT_EQ(message.body, "hello");
  EXPECT_TRUE(message.body_gzip);
  EXPECT_EQ(message.type, store::TopicType::kFifo);
  EXPECT_EQ(message.born_ms, 1'700'000'000'123);
  EXPECT_EQ(message.born_host, "host-1");
}

TEST(ToNewMessage, AQueueThatOurOwnClientChoseArrives) {
  CallContext context;
  context.queue = QueueId(3);
  EXPECT_EQ(ToNewMessage(FullMessage(), context, 1).queue, QueueId(3));
}

TEST(ToNewMessage, MissingBirthIsTakenFromTheServerAndTheCaller) {
  CallContext context;
  context.peer = "10.1.2.3:4711";
  const store::NewMessage message = ToNewMessage(v2::Message(), context, 42);
  EXPECT_EQ(message.born_ms, 42);
  EXPECT_EQ(message.born_host, "10.1.2.3:4711");
}

std::string Record(std::string_view properties, std::string_view body, int32_t sys_flag = 0) {
  store::MessageFields fields;
  fields.topic = "orders";
  fields.body = body;
  fields.properties = properties;
  fields.sys_flag = sys_flag;
  fields.born_timestamp_ms = 1'700'000'000'123;
  fields.born_host = *store::HostAddress::Parse("10.0.0.1:5");
  fields.store_host = *store::HostAddress::Parse("10.0.0.2:8081");
  std::string record;
  EXPECT_TRUE(store::EncodeRecord(fields, &record).ok());
  store::FinishRecord(record.data(), record.size(), QueueId(3), QueueOffset(9), LogPosition(4096),
                      1'700'000'000'456);
  return record;
}

store::Delivery Deliver(std::string record) {
  store::Delivery delivery;
  delivery.record = std::move(record);
  delivery.queue = QueueId(3);
  delivery.offset = QueueOffset(9);
  delivery.attempt = 2;
  delivery.receipt_handle = "handle";
  delivery.invisible_ms = 60'000;
  return delivery;
}

TEST(ToMessage, ADeliveryHasEverythingTheOfficialClientsNeed) {
  std::string properties;
  namespace property = store::property;
  store::AppendProperty(&properties, property::kUniqueKey, "01AB");
  store::AppendProperty(&properties, property::kTags, "A");
  store::AppendProperty(&properties, property::kKeys, "k1 k2");
  store::AppendProperty(&properties, property::kTraceContext, "trace");
  store::AppendProperty(&properties, "colour", "red");
  v2::Message message;
  ASSERT_TRUE(ToMessage(Deliver(Record(properties, "hello")), &message).ok());
  const v2::SystemProperties& system = message.system_properties();
  EXPECT_EQ(message.topic().name(), "orders");
  EXPECT_EQ(message.body(), "hello");
  EXPECT_EQ(message.user_properties_size(), 1) << "system properties are not the user's";
  EXPECT_EQ(message.user_properties().at("colour"), "red");
  EXPECT_EQ(system.message_id(), "01AB");
  EXPECT_EQ(system.tag(), "A");
  ASSERT_EQ(system.keys_size(), 2);
  EXPECT_EQ(system.keys(1), "k2");
  EXPECT_EQ(system.trace_context(), "trace");
  EXPECT_EQ(system.body_digest().type(), v2::MD5);
  EXPECT_EQ(system.body_digest().checksum(), "5D41402ABC4B2A76B9719D911017C592");
  EXPECT_EQ(system.body_encoding(), v2::IDENTITY);
  EXPECT_EQ(ToMillis(system.born_timestamp()), 1'700'000'000'123);
  EXPECT_EQ(ToMillis(system.store_timestamp()), 1'700'000'000'456);
  EXPECT_EQ(system.born_host(), "10.0.0.1:5");
  EXPECT_EQ(system.store_host(), "10.0.0.2:8081");
  EXPECT_EQ(system.queue_id(), 3);
  EXPECT_EQ(system.queue_offset(), 9);
  EXPECT_EQ(system.message_type(), v2::NORMAL);
  EXPECT_EQ(system.receipt_handle(), "handle");
  EXPECT_EQ(system.delivery_attempt(), 2);
  EXPECT_EQ(ToMillis(system.invisible_duration()), 60'000);
  EXPECT_FALSE(system.has_message_group());
}

TEST(ToMessage, AMessageGroupMakesItFifo) {
  std::string properties;
  store::AppendProperty(&properties, store::property::kShardingKey, "customer-7");
  v2::Message message;
  ASSERT_TRUE(ToMessage(Deliver(Record(properties, "x")), &message).ok());
  EXPECT_EQ(message.system_properties().message_type(), v2::FIFO);
  EXPECT_EQ(message.system_properties().message_group(), "customer-7");
}

TEST(ToMessage, ACompressedBodyIsHashedAsItIsTransmitted) {
  v2::Message message;
  ASSERT_TRUE(
      ToMessage(Deliver(Record("", "zipped", store::sys_flag::kCompressed)), &message).ok());
  EXPECT_EQ(message.system_properties().body_encoding(), v2::GZIP);
  EXPECT_EQ(message.system_properties().body_digest().checksum(), Md5UpperHex("zipped"));
}

TEST(ToMessage, ADamagedRecordIsNotDelivered) {
  std::string record = Record("", "hello");
  record[record.find("hello")] = 'j';
  v2::Message message;
  EXPECT_TRUE(absl::IsDataLoss(ToMessage(Deliver(record), &message)));
}

TEST(ToMessage, ADelayedMessageSaysWhenItWasDue) {
  std::string properties;
  store::AppendProperty(&properties, store::property::kTimerDeliverMs, "1700000000123");
  v2::Message message;
  ASSERT_TRUE(ToMessage(Record(properties, "later"), &message).ok());
  EXPECT_EQ(message.system_properties().message_type(), v2::DELAY);
  EXPECT_EQ(ToMillis(message.system_properties().delivery_timestamp()), 1'700'000'000'123);
  EXPECT_TRUE(message.user_properties().empty());
}

TEST(ToMessage, AHalfMessageIsShownAsOneOfItsRealTopic) {
  std::string properties;
  store::AppendProperty(&properties, store::property::kRealTopic, "bills");
  store::AppendProperty(&properties, store::property::kTransactionPrepared, "true");
  v2::Message message;
  ASSERT_TRUE(ToMessage(Record(properties, "perhaps"), &message).ok());
  EXPECT_EQ(message.topic().name(), "bills");
  EXPECT_EQ(message.system_properties().message_type(), v2::TRANSACTION);
  EXPECT_FALSE(message.system_properties().has_delivery_timestamp());
  EXPECT_TRUE(message.user_properties().empty());
}

TEST(ToMessage, ACommittedMessageIsATransaction) {
  v2::Message message;
  ASSERT_TRUE(ToMessage(Record("", "yes", store::sys_flag::kTransactionCommit), &message).ok());
  EXPECT_EQ(message.system_properties().message_type(), v2::TRANSACTION);
}

v2::Message Compressed(std::string body) {
  v2::Message message;
  message.set_body(std::move(body));
  message.mutable_system_properties()->set_body_encoding(v2::GZIP);
  message.mutable_system_properties()->mutable_body_digest()->set_checksum("of what travels");
  return message;
}

TEST(DecompressFor, AClientThatDoesNotDecompressGetsWhatWasSent) {
  v2::Message message = Compressed(GzipCompress("hello, hello", 5));
  DecompressFor(ClientLanguage::kRust, &message);
  EXPECT_EQ(message.body(), "hello, hello");
  EXPECT_EQ(message.system_properties().body_encoding(), v2::IDENTITY);
  EXPECT_EQ(message.system_properties().body_digest().checksum(), Md5UpperHex("hello, hello"));
}

TEST(DecompressFor, OthersGetItAsItTravels) {
  for (const ClientLanguage language : {ClientLanguage::kJava, ClientLanguage::kGo,
                                        ClientLanguage::kRaftMq, ClientLanguage::kUnknown}) {
    v2::Message message = Compressed(GzipCompress("hello", 5));
    DecompressFor(language, &message);
    EXPECT_EQ(message.body(), GzipCompress("hello", 5));
    EXPECT_EQ(message.system_properties().body_encoding(), v2::GZIP);
  }
}

TEST(DecompressFor, WhatCannotBeReadOrIsTooLargeStaysAndSaysSo) {
  const std::string large(kMaxDecompressedBody + 1, 'x');
  for (const std::string& body : {std::string("no gzip"), GzipCompress(large, 5)}) {
    v2::Message message = Compressed(body);
    DecompressFor(ClientLanguage::kRust, &message);
    EXPECT_EQ(message.body(), body);
    EXPECT_EQ(message.system_properties().body_encoding(), v2::GZIP);
    EXPECT_EQ(message.system_properties().body_digest().checksum(), "of what travels");
  }
}

}  // namespace
}  // namespace raftmq::broker
