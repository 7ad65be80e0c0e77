#include "base/bytes.h"
#include "base/endian.h"
#include "glog/logging.h"
#include "store/commands.h"
#include "store/receipt_handle.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::store;

void FuzzOne(std::string_view bytes) {
  if (auto command = ParseCommand(bytes); command.ok()) {
    // There is one encoding of each command, so nothing is lost or made up.
    CHECK(EncodeCommand(*command) == bytes);
  }
  if (auto commands = SplitCommands(bytes); commands.ok()) {
    size_t size = 0;
    for (std::string_view one : *commands) size += one.size() + 4;
    CHECK_EQ(size, bytes.size());
  }
  if (auto handle = ParseReceiptHandle(bytes); handle.ok()) {
    CHECK(EncodeReceiptHandle(*handle) == bytes);
  }
}

std::vector<std::string> Seeds() {
  Command command;
  command.log_time_ms = 1'700'000'000'000;
  command.lease_time_ms = 12'345;
  std::vector<std::string> seeds;
  auto add = [&](CommandBody body) {
    command.body = std::move(body);
    seeds.push_back(EncodeCommand(command));
  };
  PutTopic topic;
  topic.config.name = "orders";
  add(topic);
  add(DeleteTopic{"orders"});
  PutGroup group;
  group.config.name = "billing";
  add(group);
  add(DeleteGroup{"billing"});
  add(InitPositions{
      "billing", "orders", {{QueueId(0), QueueOffset(0)}, {QueueId(1), QueueOffset(9)}}});
  Grant grant;
  grant.group = "billing";
  grant.topic = "orders";
  grant.lease_until_ms = 60'000;
  grant.client_id = "client";
  grant.attempt_id = "attempt";
  grant.items = {{QueueId(0), QueueOffset(5), 1, 17}, {QueueId(0), QueueOffset(6), 2, 18}};
  grant.filtered = {{QueueId(0), QueueOffset(7), QueueOffset(9)}};
  add(grant);
  grant.in_order = true;
  grant.items[0].message_group = 0x1234;
  grant.items[1].attempt = 0;
  add(grant);
  add(Ack{"billing", "orders", {{QueueId(0), QueueOffset(5), 17}}});
  ChangeInvisible change;
  change.group = "billing";
  change.topic = "orders";
  change.lease_id = 17;
  add(change);
  add(UpdateOffset{"billing", "orders", QueueId(1), QueueOffset(100)});
  add(MoveOffsets{"billing",
                  "orders",
                  OffsetMoveKind::kReset,
                  0,
                  "me",
                  "why",
                  {{QueueId(1), QueueOffset(100)}}});
  add(SubscribeLite{"billing", "orders", "client@1", {"a", "b"}, {"c"}});

  std::string frame;
  for (const std::string& one : seeds) {
    AppendBe<uint32_t>(&frame, static_cast<uint32_t>(one.size()));
    frame += one;
  }
  seeds.push_back(frame);
  seeds.push_back(
      EncodeReceiptHandle({ReceiptNamesCrc("billing", "orders"), QueueId(3), QueueOffset(77), 12}));
  return seeds;
}

}  // namespace raftmq::fuzz
