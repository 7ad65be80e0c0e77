#include "glog/logging.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::store;

namespace {

bool Within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

void FuzzOne(std::string_view bytes) {
  if (auto record = ParseRecord(bytes); record.ok()) {
    CHECK(record->bytes == bytes);
    CHECK(Within(record->topic, bytes));
    CHECK(Within(record->body, bytes));
    CHECK(Within(record->tags(), bytes));
    CHECK(Within(record->keys(), bytes));
    CHECK(Within(record->unique_key(), bytes));
  }
  if (auto header = ReadRecordHeader(bytes); header.ok()) {
    CHECK(Within(header->topic, bytes));
    CHECK(Within(header->keys, bytes));
  }
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const size_t before = rest.size();
    auto one = TakeRecord(&rest);
    if (!one.ok()) break;
    CHECK(Within(*one, bytes));
    CHECK_LT(rest.size(), before);
  }
  (void)ReadStoreTimestamp(bytes);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const std::string topic : {std::string("orders"), std::string(200, 't')}) {
    MessageFields fields;
    fields.topic = topic;
    fields.body = "a body";
    fields.properties = "KEYS\x01key1 key2\x02TAGS\x01tag\x02UNIQ_KEY\x01id\x02";
    std::string record;
    CHECK(EncodeRecord(fields, &record).ok());
    FinishRecord(record.data(), record.size(), QueueId(3), QueueOffset(4), LogPosition(48),
                 1'700'000'000'000);
    seeds.push_back(record);
    seeds.push_back(record + record);
  }
  return seeds;
}

}  // namespace raftmq::fuzz
