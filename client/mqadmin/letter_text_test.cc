#include "client/mqadmin/letter_text.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::mqadmin {
namespace {

using testing::EndsWith;
using testing::StartsWith;

ExportedLetter Letter() {
  ExportedLetter letter;
  letter.group = "billing";
  letter.broker = "broker-a";
  letter.offset = 7;
  letter.message_id = "M7";
  letter.origin_topic = "orders";
  letter.reason = "MAX_ATTEMPTS";
  letter.attempts = 17;
  letter.keys = "a b";
  letter.properties = {{"amount", "5"}};
  letter.body = "said \"no\",\nand left";
  return letter;
}

TEST(LetterText, JsonHasOneLetterOnALine) {
  const std::string line = JsonLine(Letter());
  EXPECT_THAT(line, EndsWith("}\n"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["body"], Letter().body);
  EXPECT_EQ(json["body_encoding"], "text");
  EXPECT_EQ(json["attempts"], 17);
  EXPECT_EQ(json["properties"]["amount"], "5");
}

TEST(LetterText, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(CsvHeading(),
            "group,broker,queue,offset,message_id,origin_topic,reason,attempts,born_ms,dead_ms,tag,"
            "keys,properties,body_encoding,body\r\n");
  EXPECT_EQ(
      CsvLine(Letter()),
      "billing,broker-a,0,7,M7,orders,MAX_ATTEMPTS,17,0,0,,a b,\"{\"\"amount\"\":\"\"5\"\"}\","
      "text,\"said \"\"no\"\",\nand left\"\r\n");
}

TEST(LetterText, AnEmptyFirstCellIsACell) {
  ExportedLetter letter = Letter();
  letter.group.clear();
  EXPECT_THAT(CsvLine(letter), StartsWith(",broker-a,0,7,"));
}

TEST(LetterText, ABodyThatIsNoTextSaysSo) {
  ExportedLetter letter = Letter();
  letter.body = "/wA=";
  letter.body_is_base64 = true;
  EXPECT_EQ(nlohmann::json::parse(JsonLine(letter))["body_encoding"], "base64");
}

}  // namespace
}  // namespace raftmq::mqadmin
