#include "broker/validation.h"

#include <gtest/gtest.h>

#include <functional>

#include "broker/proto_time.h"
#include "broker/status_mapping.h"
#include "store/reason.h"
#include "store/sql_filter.h"

namespace raftmq::broker {
namespace {

using store::Reason;
using store::TopicType;

v2::SendMessageRequest GoodSend() {
  v2::SendMessageRequest request;
  v2::Message* message = request.add_messages();
  message->mutable_topic()->set_name("orders");
  message->set_body("body");
  message->mutable_system_properties()->set_message_id("01AB");
  message->mutable_system_properties()->set_message_type(v2::NORMAL);
  return request;
}

struct SendCase {
  std::string name;
  std::function<void(v2::SendMessageRequest*)> spoil;
  std::optional<Reason> expected;  // none: accepted
};

v2::Message* First(v2::SendMessageRequest* r) { return r->mutable_messages(0); }
v2::SystemProperties* System(v2::SendMessageRequest* r) {
  return First(r)->mutable_system_properties();
}

const SendCase kSendCases[] = {
    {"a plain message", [](auto*) {}, std::nullopt},
    {"a delay level", [](auto* r) { (*First(r)->mutable_user_properties())["DELAY"] = "3"; },
     std::nullopt},
    {"a delay level that is no number",
     [](auto* r) { (*First(r)->mutable_user_properties())["DELAY"] = "soon"; },
     Reason::kIllegalDeliveryTime},
    {"a delivery time and a message group",
     [](auto* r) {
       System(r)->mutable_delivery_timestamp()->set_seconds(4'000'000'000);
       System(r)->set_message_group("group");
     },
     Reason::kTypeConflict},
    {"a delivery time in a transaction",
     [](auto* r) {
       System(r)->mutable_delivery_timestamp()->set_seconds(4'000'000'000);
       System(r)->set_message_type(v2::TRANSACTION);
     },
     Reason::kTypeConflict},
    {"a delay level in a transaction",
     [](auto* r) {
       (*First(r)->mutable_user_properties())["DELAY"] = "3";
       System(r)->set_message_type(v2::TRANSACTION);
     },
     Reason::kTypeConflict},
    {"no messages", [](auto* r) { r->clear_messages(); }, Reason::kMessageCorrupted},
    {"two topics",
     [](auto* r) {
       *r->add_messages() = r->messages(0);
       r->mutable_messages(1)->mutable_topic()->set_name("other");
     },
     Reason::kMessageCorrupted},
    {"an empty topic", [](auto* r) { First(r)->mutable_topic()->set_name(""); },
     Reason::kIllegalTopic},
    {"a topic with a blank", [](auto* r) { First(r)->mutable_topic()->set_name("a b"); },
     Reason::kIllegalTopic},
    {"a system topic", [](auto* r) { First(r)->mutable_topic()->set_name("TBW102"); },
     Reason::kIllegalTopic},
    {"no message id", [](auto* r) { System(r)->clear_message_id(); }, Reason::kIllegalMessageId},
    {"no body", [](auto* r) { First(r)->clear_body(); }, Reason::kBodyEmpty},
    {"a body of exactly 4 MiB", [](auto* r) { First(r)->mutable_body()->assign(4 << 20, 'x'); },
     std::nullopt},
    {"a body of 4 MiB and one byte",
     [](auto* r) { First(r)->mutable_body()->assign((4 << 20) + 1, 'x'); }, Reason::kBodyTooLarge},
    {"a blank tag", [](auto* r) { System(r)->set_tag(" "); }, Reason::kIllegalTag},
    {"a tag with '|'", [](auto* r) { System(r)->set_tag("a|b"); }, Reason::kIllegalTag},
    {"a tag with a control character", [](auto* r) { System(r)->set_tag("a\x01"); },
     Reason::kIllegalTag},
    {"a blank key", [](auto* r) { System(r)->add_keys(""); }, Reason::kIllegalKey},
    {"a group of 63 bytes", [](auto* r) { System(r)->set_message_group(std::string(63, 'g')); },
     std::nullopt},
    {"a group of 64 bytes", [](auto* r) { System(r)->set_message_group(std::string(64, 'g')); },
     Reason::kIllegalMessageGroup},
    {"a blank group", [](auto* r) { System(r)->set_message_group("\t"); },
     Reason::kIllegalMessageGroup},
    {"128 user properties",
     [](auto* r) {
       for (int i = 0; i < 128; ++i) (*First(r)->mutable_user_properties())[std::to_string(i)] = "";
     },
     std::nullopt},
    {"129 user properties",
     [](auto* r) {
       for (int i = 0; i < 129; ++i) (*First(r)->mutable_user_properties())[std::to_string(i)] = "";
     },
     Reason::kPropertiesTooLarge},
    {"user properties of more than 16 KiB",
     [](auto* r) { (*First(r)->mutable_user_properties())["k"] = std::string(16 << 10, 'v'); },
     Reason::kPropertiesTooLarge},
    {"tag and keys count as properties",
     [](auto* r) {
       (*First(r)->mutable_user_properties())["k"] = std::string((16 << 10) - 2, 'v');
       System(r)->set_tag("ab");
     },
     Reason::kPropertiesTooLarge},
    {"a reserved property name",
     [](auto* r) { (*First(r)->mutable_user_properties())["UNIQ_KEY"] = "x"; },
     Reason::kIllegalPropertyKey},
    {"what makes a message a request",
     [](auto* r) {
       for (const char* name : {"CORRELATION_ID", "REPLY_TO_CLIENT", "TTL"}) {
         (*First(r)->mutable_user_properties())[name] = "x";
       }
     },
     std::nullopt},
    {"a property value that cannot be stored",
     [](auto* r) { (*First(r)->mutable_user_properties())["k"] = "a\x02"; },
     Reason::kIllegalPropertyKey},
    {"the second of two messages is wrong",
     [](auto* r) {
       *r->add_messages() = r->messages(0);
       r->mutable_messages(1)->clear_body();
     },
     Reason::kBodyEmpty},
};

TEST(CheckSend, EachLimitHasItsReason) {
  for (const SendCase& c : kSendCases) {
    v2::SendMessageRequest request = GoodSend();
    c.spoil(&request);
    EXPECT_EQ(store::ReasonOf(CheckSend(request, Limits())), c.expected) << c.name;
  }
}

TEST(MessageTypeOf, FieldsDecideBeforeTheStatedType) {
  v2::Message message;
  v2::SystemProperties* system = message.mutable_system_properties();
  EXPECT_EQ(MessageTypeOf(message), TopicType::kNormal);
  system->set_message_type(v2::NORMAL);
  system->set_priority(0);
  EXPECT_EQ(MessageTypeOf(message), TopicType::kPriority);
  system->set_message_group("g");
  EXPECT_EQ(MessageTypeOf(message), TopicType::kFifo);
  system->mutable_delivery_timestamp()->set_seconds(1);
  EXPECT_EQ(MessageTypeOf(message), TopicType::kDelay);
  system->set_message_type(v2::TRANSACTION);
  EXPECT_EQ(MessageTypeOf(message), TopicType::kTransaction);
}

TEST(CheckSend, APriorityIsNotNegativeAndStandsAlone) {
  const auto code_of = [](v2::SystemProperties more) {
    v2::SendMessageRequest request;
    v2::Message* message = request.add_messages();
    message->mutable_topic()->set_name("orders");
    message->set_body("x");
    more.set_message_id("A1");
    *message->mutable_system_properties() = std::move(more);
    return ToV2Status(CheckSend(request, Limits())).code();
  };
  v2::SystemProperties system;
  system.set_priority(3);
  EXPECT_EQ(code_of(system), v2::OK);
  system.set_message_group("g");
  EXPECT_EQ(code_of(system), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  system.clear_message_group();
  system.mutable_delivery_timestamp()->set_seconds(1);
  EXPECT_EQ(code_of(system), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  system.clear_delivery_timestamp();
  system.set_message_type(v2::TRANSACTION);
  EXPECT_EQ(code_of(system), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  system.set_message_type(v2::PRIORITY);
  system.set_priority(-1);
  EXPECT_EQ(code_of(system), v2::BAD_REQUEST);
}

TEST(CheckTypeAllowed, AMixedTopicTakesAllOthersTheirOwn) {
  store::TopicConfig topic;
  topic.name = "orders";
  topic.type = TopicType::kFifo;
  EXPECT_TRUE(CheckTypeAllowed(topic, TopicType::kFifo).ok());
  EXPECT_EQ(store::ReasonOf(CheckTypeAllowed(topic, TopicType::kNormal)), Reason::kTypeConflict);
  topic.type = TopicType::kMixed;
  EXPECT_TRUE(CheckTypeAllowed(topic, TopicType::kTransaction).ok());
}

v2::FilterExpression Tag(const std::string& expression) {
  v2::FilterExpression filter;
  filter.set_type(v2::TAG);
  filter.set_expression(expression);
  return filter;
}

TEST(ParseFilter, TagExpressions) {
  using Tags = std::vector<std::string>;
  EXPECT_EQ(ParseFilter(Tag(""))->tags, Tags());
  EXPECT_EQ(ParseFilter(Tag("*"))->tags, Tags());
  EXPECT_EQ(ParseFilter(Tag(" a "))->tags, Tags({"a"}));
  EXPECT_EQ(ParseFilter(Tag("b || a||b"))->tags, Tags({"a", "b"}));
  EXPECT_EQ(ParseFilter(Tag("a || *"))->tags, Tags());
  for (const char* wrong : {"a ||", "|| a", "a | b", "||"}) {
    EXPECT_EQ(store::ReasonOf(ParseFilter(Tag(wrong)).status()), Reason::kIllegalFilter) << wrong;
  }
}

TEST(ParseFilter, AnSqlExpressionIsParsedAndABadOneRefusedWithItsPosition) {
  v2::FilterExpression filter = Tag("a > 1");
  filter.set_type(v2::SQL);
  const auto parsed = ParseFilter(filter);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->tags.empty());
  EXPECT_EQ(parsed->sql->text(), "a > 1");
  filter.set_expression("a > ");
  const v2::Status status = ToV2Status(ParseFilter(filter).status());
  EXPECT_EQ(status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
  EXPECT_NE(status.message().find("position 5"), std::string::npos) << status.message();
}

TEST(ReceiveInvisibleMillis, AutoRenewTakesTheServersTimeOthersTheirOwn) {
  const Limits limits;
  v2::ReceiveMessageRequest request;
  request.set_auto_renew(true);
  SetDuration(1, request.mutable_invisible_duration());  // C++ sends one all the same
  EXPECT_EQ(*ReceiveInvisibleMillis(request, limits), 60'000);
  request.set_auto_renew(false);
  for (const int64_t wrong : {int64_t{0}, int64_t{9'999}, int64_t{12 * 3'600'000 + 1}}) {
    SetDuration(wrong, request.mutable_invisible_duration());
    EXPECT_EQ(store::ReasonOf(ReceiveInvisibleMillis(request, limits).status()),
              Reason::kIllegalInvisibleTime)
        << wrong;
  }
  SetDuration(10'000, request.mutable_invisible_duration());
  EXPECT_EQ(*ReceiveInvisibleMillis(request, limits), 10'000);
}

TEST(CheckChangeInvisible, ZeroIsAtOnce) {
  EXPECT_TRUE(CheckChangeInvisible(0, Limits()).ok());
  EXPECT_TRUE(CheckChangeInvisible(12 * 3'600'000, Limits()).ok());
  EXPECT_FALSE(CheckChangeInvisible(-1, Limits()).ok());
  EXPECT_FALSE(CheckChangeInvisible(12 * 3'600'000 + 1, Limits()).ok());
}

TEST(PollMillis, NeverPastTheDeadline) {
  const Limits limits;
  EXPECT_EQ(*PollMillis(15'000, 17'500, limits), 15'000);
  EXPECT_EQ(*PollMillis(30'000, 32'500, limits), 20'000) << "capped";
  EXPECT_EQ(*PollMillis(40'000, 39'500, limits), 20'000) << "Rust asks for 40 s";
  EXPECT_EQ(*PollMillis(1'000, 22'500, limits), 1'000) << "a short one is not made longer";
  EXPECT_EQ(*PollMillis(0, 22'500, limits), 20'000) << "the default";
  EXPECT_EQ(*PollMillis(0, 2'500, limits), 2'500) << "what is left";
}

TEST(PollMillis, WhatCannotBeWaitedForIsAnIllegalPollingTime) {
  for (const auto& [asked_ms, remaining_ms] : {std::pair(5'000, -100), {0, 0}, {-1, 10'000}}) {
    EXPECT_EQ(store::ReasonOf(PollMillis(asked_ms, remaining_ms, Limits()).status()),
              store::Reason::kIllegalPollingTime)
        << asked_ms << " " << remaining_ms;
  }
}

}  // namespace
}  // namespace raftmq::broker
