#include "store/commands.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "base/random.h"
#include "base/strings.h"

namespace raftmq::store {
namespace {

Command With(CommandBody body) { return {0x0102030405060708, 0x1112, std::move(body)}; }

// One of each, in the order of their types.
std::vector<Command> OneOfEach() {
  TopicConfig topic;
  topic.name = "orders";
  topic.read_queues = 4;
  topic.write_queues = 3;
  topic.type = TopicType::kFifo;
  GroupConfig group;
  group.name = "billing";
  group.orderly = true;
  group.retry_max_times = 7;
  group.consume_from = ConsumeFrom::kTimestamp;
  group.consume_timestamp_ms = 99;
  Grant grant{"g", "t", 5000, "c@1", "try", {}, {}};
  grant.items = {{QueueId(1), QueueOffset(9), 2, 77}, {QueueId(2), QueueOffset(3), 1, 78}};
  grant.filtered = {{QueueId(2), QueueOffset(4), QueueOffset(6)}};
  return {
      With(PutTopic{topic}),
      With(DeleteTopic{"orders"}),
      With(PutGroup{group}),
      With(DeleteGroup{"billing"}),
      With(InitPositions{"g", "t", {{QueueId(0), QueueOffset(0)}, {QueueId(1), QueueOffset(5)}}}),
      With(grant),
      With(Ack{"g", "t", {{QueueId(1), QueueOffset(9), 77}}}),
      With(ChangeInvisible{"g", "t", QueueId(1), QueueOffset(9), 77, 6000}),
      With(UpdateOffset{"g", "t", QueueId(1), QueueOffset(9)}),
      With(Settle{TimerRef{1'700'000'000'000, LogPosition(4096)}}),
      With(CheckTransactions{{{LogPosition(4096), 3, 1'700'000'000'000}}}),
      With(Retain{LogPosition(65536),
                  {{"orders", QueueId(1), QueueOffset(9)}, {"t", QueueId(0), QueueOffset(2)}},
                  {{LogPosition(4096), 300}}}),
      With(LockQueues{"g", "t", "c@1", 5000, {QueueId(0), QueueId(2)}}),
      With(MoveOffsets{"g",
                       "t",
                       OffsetMoveKind::kUndo,
                       7,
                       "me@host",
                       "oops",
                       {{QueueId(0), QueueOffset(5)}, {QueueId(3), QueueOffset(9)}}}),
      With(SubscribeLite{"g", "t", "c@1", {"a", "bc"}, {"d"}}),
  };
}

std::string Hex(std::string_view bytes) { return absl::BytesToHexString(ToAbsl(bytes)); }

// Type and version, then log time and lease time.
std::string Head(std::string_view type) {
  return StrCat(type, "01", "0102030405060708", "0000000000001112");
}

TEST(Commands, BytesOnDiskNeverChange) {
  const std::vector<std::string> golden = {
      Head("01") +
          "0006"
          "6f7264657273"
          "00000004"
          "00000003"
          "06"
          "02",
      Head("02") +
          "0006"
          "6f7264657273",
      Head("03") +
          "0007"
          "62696c6c696e67"
          "01"
          "01"
          "00000007"
          "03"
          "0000000000000063",
      Head("04") +
          "0007"
          "62696c6c696e67",
      Head("05") +
          "000167"
          "000174"
          "00000002"
          "00000000"
          "0000000000000000"
          "00000001"
          "0000000000000005",
      Head("06") +
          "000167"
          "000174"
          "0000000000001388"
          "0003634031"
          "0003747279"
          "00000002"
          "00000001"
          "0000000000000009"
          "00000002"
          "000000000000004d"
          "00000002"
          "0000000000000003"
          "00000001"
          "000000000000004e"
          "00000001"
          "00000002"
          "0000000000000004"
          "0000000000000006",
      Head("07") +
          "000167"
          "000174"
          "00000001"
          "00000001"
          "0000000000000009"
          "000000000000004d",
      Head("08") +
          "000167"
          "000174"
          "00000001"
          "0000000000000009"
          "000000000000004d"
          "0000000000001770",
      Head("09") +
          "000167"
          "000174"
          "00000001"
          "0000000000000009",
      Head("0a") +
          "0014"
          "543a313730303030303030303030303a34303936",
      Head("0b") +
          "00000001"
          "0000000000001000"
          "00000003"
          "0000018bcfe56800",
      Head("0c") +
          "0000000000010000"
          "00000002"
          "0006"
          "6f7264657273"
          "00000001"
          "0000000000000009"
          "000174"
          "00000000"
          "0000000000000002"
          "00000001"
          "0000000000001000"
          "0000012c",
      Head("0d") +
          "000167"
          "000174"
          "0003634031"
          "0000000000001388"
          "00000002"
          "00000000"
          "00000002",
      Head("0e") +
          "000167"
          "000174"
          "04"
          "0000000000000007"
          "00076d6540686f7374"
          "00046f6f7073"
          "00000002"
          "00000000"
          "0000000000000005"
          "00000003"
          "0000000000000009",
      Head("0f") +
          "000167"
          "000174"
          "0003634031"
          "00000002"
          "000161"
          "00026263"
          "00000001"
          "000164",
  };
  std::vector<Command> commands = OneOfEach();
  ASSERT_EQ(commands.size(), golden.size());
  ASSERT_EQ(golden.size(), std::variant_size_v<CommandBody>);
  for (size_t i = 0; i < commands.size(); ++i) {
    EXPECT_EQ(Hex(EncodeCommand(commands[i])), golden[i]) << CommandName(commands[i].body);
  }
}

TEST(Commands, AGrantInOrderHasTheMessageGroupsAndIsVersionTwo) {
  Grant grant{"g", "t", 5000, "c@1", "try", {}, {}, true};
  grant.items = {{QueueId(1), QueueOffset(9), 0, 77, 0x0102030405060708},
                 {QueueId(1), QueueOffset(10), 1, 78, 1}};
  const Command command = With(grant);
  const std::string bytes = EncodeCommand(command);
  EXPECT_EQ(Hex(bytes),
            "0602"
            "0102030405060708"
            "0000000000001112"
            "000167"
            "000174"
            "0000000000001388"
            "0003634031"
            "0003747279"
            "00000002"
            "00000001"
            "0000000000000009"
            "00000000"
            "000000000000004d"
            "0102030405060708"
            "00000001"
            "000000000000000a"
            "00000001"
            "000000000000004e"
            "0000000000000001"
            "00000000");
  const auto parsed = ParseCommand(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(*parsed == command);
  std::string other_type = bytes;
  other_type[0] = 7;
  EXPECT_EQ(ParseCommand(other_type).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(Commands, ATopicWithAnAckLevelOfItsOwnIsVersionTwo) {
  TopicConfig topic;
  topic.name = "t";
  topic.read_queues = topic.write_queues = 1;
  topic.ack_level = dledger::AckLevel::kAllDisks;
  const Command command = With(PutTopic{topic});
  const std::string bytes = EncodeCommand(command);
  EXPECT_EQ(Hex(bytes),
            "0102"
            "0102030405060708"
            "0000000000001112"
            "000174"
            "00000001"
            "00000001"
            "06"
            "01"
            "04");
  const auto parsed = ParseCommand(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(*parsed == command);
  for (const char bad : {'\0', '\5'}) {
    std::string other = bytes;
    other.back() = bad;
    EXPECT_EQ(ParseCommand(other).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(Commands, AGroupWithARetryPolicyOfItsOwnIsVersionTwo) {
  GroupConfig group;
  group.name = "g";
  group.retry_policy.delays_ms = {1'000, 5'000};
  const std::string head =
      "0302"
      "0102030405060708"
      "0000000000001112"
      "000167"
      "01"
      "00"
      "00000010"
      "01"
      "0000000000000000";
  const std::string customized = EncodeCommand(With(PutGroup{group}));
  EXPECT_EQ(Hex(customized), head +
                                 "01"
                                 "00000002"
                                 "00000000000003e8"
                                 "0000000000001388");
  EXPECT_TRUE(*ParseCommand(customized) == With(PutGroup{group}));
  group.retry_policy = {RetryPolicy::Kind::kExponential, {}, 10, 640, 4};
  const std::string exponential = EncodeCommand(With(PutGroup{group}));
  EXPECT_EQ(Hex(exponential), head +
                                  "02"
                                  "000000000000000a"
                                  "0000000000000280"
                                  "00000004");
  EXPECT_TRUE(*ParseCommand(exponential) == With(PutGroup{group}));
  // What its writer does not write: the default policy, a policy that is not one.
  std::string none = customized.substr(0, customized.size() - 16);
  none[none.size() - 1] = 0;
  EXPECT_EQ(ParseCommand(none).status().code(), absl::StatusCode::kDataLoss);
  std::string bad = exponential;
  bad[bad.size() - 1] = 0;
  EXPECT_EQ(ParseCommand(bad).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Commands, ATopicWithAReserveTimeOfItsOwnIsVersionFour) {
  TopicConfig topic;
  topic.name = "t";
  topic.read_queues = topic.write_queues = 1;
  topic.reserve_hours = 72;
  const std::string bytes = EncodeCommand(With(PutTopic{topic}));
  EXPECT_EQ(Hex(bytes),
            "0104"
            "0102030405060708"
            "0000000000001112"
            "000174"
            "00000001"
            "00000001"
            "06"
            "01"
            "00"
            "ffffffff"
            "00000048");
  EXPECT_TRUE(*ParseCommand(bytes) == With(PutTopic{topic}));
  topic.ack_level = dledger::AckLevel::kAllDisks;
  topic.lite_expiration_minutes = 5;
  EXPECT_TRUE(*ParseCommand(EncodeCommand(With(PutTopic{topic}))) == With(PutTopic{topic}));
  std::string none = bytes;
  none.replace(none.size() - 4, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(ParseCommand(none).status().code(), absl::StatusCode::kDataLoss)
      << "its writer would have left it out";
}

TEST(Commands, WhatIsSaidOfLiteTopicsIsVersionThree) {
  TopicConfig topic;
  topic.name = "t";
  topic.read_queues = topic.write_queues = 1;
  topic.type = TopicType::kLite;
  topic.lite_expiration_minutes = 30;
  const std::string put_topic = EncodeCommand(With(PutTopic{topic}));
  EXPECT_EQ(Hex(put_topic),
            "0103"
            "0102030405060708"
            "0000000000001112"
            "000174"
            "00000001"
            "00000001"
            "06"
            "06"
            "00"
            "0000001e");
  EXPECT_TRUE(*ParseCommand(put_topic) == With(PutTopic{topic}));
  topic.ack_level = dledger::AckLevel::kAllDisks;
  EXPECT_TRUE(*ParseCommand(EncodeCommand(With(PutTopic{topic}))) == With(PutTopic{topic}));
  GroupConfig group;
  group.name = "g";
  group.lite_exclusive = true;
  group.lite_client_quota = 5;
  const std::string put_group = EncodeCommand(With(PutGroup{group}));
  EXPECT_EQ(Hex(put_group),
            "0303"
            "0102030405060708"
            "0000000000001112"
            "000167"
            "01"
            "00"
            "00000010"
            "01"
            "0000000000000000"
            "01"
            "00000000"
            "01"
            "00000005");
  EXPECT_TRUE(*ParseCommand(put_group) == With(PutGroup{group}));
  // What its writer does not write.
  std::string bad = put_topic;
  bad.replace(bad.size() - 4, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(ParseCommand(bad).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Commands, WhatWasWrittenIsRead) {
  for (const Command& command : OneOfEach()) {
    absl::StatusOr<Command> parsed = ParseCommand(EncodeCommand(command));
    ASSERT_TRUE(parsed.ok()) << CommandName(command.body) << ": " << parsed.status();
    EXPECT_TRUE(*parsed == command) << CommandName(command.body);
  }
}

TEST(Commands, EveryTruncationIsRefused) {
  for (const Command& command : OneOfEach()) {
    std::string bytes = EncodeCommand(command);
    for (size_t size = 0; size < bytes.size(); ++size) {
      absl::StatusOr<Command> parsed = ParseCommand(std::string_view(bytes).substr(0, size));
      EXPECT_EQ(parsed.status().code(), absl::StatusCode::kDataLoss)
          << CommandName(command.body) << " cut to " << size << " bytes";
    }
    EXPECT_EQ(ParseCommand(bytes + '\0').status().code(), absl::StatusCode::kDataLoss);
  }
}

// A flipped bit is refused, or it is another command, which then is written with the very bytes it
// was read from: nothing is read loosely.
TEST(Commands, AFlippedBitIsRefusedOrAnotherCommand) {
  for (const Command& command : OneOfEach()) {
    std::string bytes = EncodeCommand(command);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string bad = bytes;
      bad[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      absl::StatusOr<Command> parsed = ParseCommand(bad);
      if (!parsed.ok()) continue;
      EXPECT_FALSE(*parsed == command) << CommandName(command.body) << " bit " << bit;
      EXPECT_EQ(Hex(EncodeCommand(*parsed)), Hex(bad)) << CommandName(command.body) << " " << bit;
    }
  }
}

TEST(Commands, RandomBytesNeverBreakTheParser) {
  const uint64_t seed = Random::FromEntropy().Next();
  SCOPED_TRACE(StrCat("seed ", seed));
  Random random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random.Below(120), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Below(random.Chance(0.7) ? 4 : 256));
    if (bytes.size() > 1) {
      bytes[0] = static_cast<char>(random.Between(1, 10));
      bytes[1] = 1;
    }
    absl::StatusOr<Command> parsed = ParseCommand(bytes);
    if (parsed.ok()) EXPECT_EQ(EncodeCommand(*parsed), bytes);
  }
}

TEST(Commands, UnknownTypesAndVersionsAreNamedAsSuch) {
  std::string bytes = EncodeCommand(With(DeleteTopic{"t"}));
  std::string newer_type = bytes;
  newer_type[0] = 100;
  std::string newer_version = bytes;
  newer_version[1] = 2;
  for (const std::string& newer : {newer_type, newer_version}) {
    EXPECT_EQ(ParseCommand(newer).status().code(), absl::StatusCode::kUnimplemented);
  }
}

TEST(Commands, FieldsOutOfRangeAreRefused) {
  auto refused = [](CommandBody body) {
    return ParseCommand(EncodeCommand(With(std::move(body)))).status().code() ==
           absl::StatusCode::kDataLoss;
  };
  EXPECT_TRUE(refused(UpdateOffset{"g", "t", QueueId(-1), QueueOffset(0)}));
  EXPECT_TRUE(refused(UpdateOffset{"g", "t", QueueId(kMaxQueues), QueueOffset(0)}));
  EXPECT_TRUE(refused(UpdateOffset{"g", "t", QueueId(0), QueueOffset(-1)}));
  Grant empty_range{"g", "t", 0, "", "", {}, {{QueueId(0), QueueOffset(4), QueueOffset(4)}}};
  EXPECT_TRUE(refused(empty_range));
  Grant no_attempt{"g", "t", 0, "", "", {{QueueId(0), QueueOffset(4), 0, 1}}, {}};
  EXPECT_TRUE(refused(no_attempt));
  TopicConfig topic;
  topic.name = "t";
  topic.type = static_cast<TopicType>(8);
  EXPECT_TRUE(refused(PutTopic{topic}));
}

TEST(Commands, AnEntryIsSplitByItsLengths) {
  std::string body = std::string("\0\0\0\2ab", 6) + std::string("\0\0\0\1c", 5);
  absl::StatusOr<std::vector<std::string_view>> commands = SplitCommands(body);
  ASSERT_TRUE(commands.ok()) << commands.status();
  EXPECT_EQ(*commands, (std::vector<std::string_view>{"ab", "c"}));
  EXPECT_TRUE(SplitCommands("")->empty());
  for (size_t cut : {1, 3, 4, 5, 7, 9, 10}) {
    EXPECT_FALSE(SplitCommands(body.substr(0, cut)).ok()) << cut;
  }
  EXPECT_FALSE(SplitCommands(std::string(4, '\0')).ok());
}

}  // namespace
}  // namespace raftmq::store
