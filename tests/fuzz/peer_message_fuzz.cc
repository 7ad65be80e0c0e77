#include "dledger/group_configuration.h"
#include "dledger/peer_message.h"
#include "dledger/peer_wire.h"
#include "glog/logging.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::dledger;

void FuzzOne(std::string_view bytes) {
  if (bytes.size() >= kPeerHeaderSize) {
    (void)ParsePeerFrameHeader(bytes, PeerWireLimits());
    (void)PeerFrameCrcHolds(bytes);
  }
  for (const size_t body_size : {size_t{0}, size_t{96}}) {
    if (auto message = ParsePeerMessage(bytes, body_size); message.ok()) {
      int64_t sum = 0;
      for (const raft::EntryMeta& entry : message->entries) {
        CHECK_GT(entry.size, 0);
        sum += entry.size;
      }
      CHECK_EQ(sum, static_cast<int64_t>(body_size));
      // Reserved bits are not kept, all else is.
      const std::string again = EncodePeerMessage(*message);
      auto reparsed = ParsePeerMessage(again, body_size);
      CHECK(reparsed.ok()) << reparsed.status();
      CHECK(EncodePeerMessage(*reparsed) == again);
    }
  }
  if (auto greeting = ParseGreeting(bytes); greeting.ok()) {
    CHECK(EncodeGreeting(*greeting) == bytes);
  }
  if (auto configuration = ParseConfiguration(bytes); configuration.ok()) {
    auto reparsed = ParseConfiguration(EncodeConfiguration(*configuration));
    CHECK(reparsed.ok() && *reparsed == *configuration);
  }
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  raft::Message message;
  message.from = MemberId(1);
  message.to = MemberId(2);
  message.term = Term(5);
  message.type = raft::MessageType::kAppend;
  message.prev_index = LogIndex(9);
  message.prev_term = Term(4);
  message.prev_end = LogPosition(1000);
  message.commit = LogIndex(8);
  message.entries = {{LogIndex(10), Term(5), raft::EntryType::kNormal, LogPosition(1000), 48},
                     {LogIndex(11), Term(5), raft::EntryType::kNormal, LogPosition(1048), 48}};
  seeds.push_back(EncodePeerMessage(message));
  seeds.push_back(EncodePeerFrame(PeerFrameKind::kMessage, seeds[0], 96));
  message.entries.clear();
  for (const raft::MessageType type :
       {raft::MessageType::kVote, raft::MessageType::kPreVote, raft::MessageType::kAppendResponse,
        raft::MessageType::kHeartbeat}) {
    message.type = type;
    seeds.push_back(EncodePeerMessage(message));
  }
  Greeting greeting;
  greeting.cluster = "c";
  greeting.group = "broker-a";
  greeting.sender = MemberId(1);
  greeting.receiver = MemberId(2);
  greeting.incarnation = Incarnation(77);
  greeting.boot_id = 88;
  greeting.client_address = "host:8081";
  seeds.push_back(EncodeGreeting(greeting));
  GroupConfiguration configuration;
  configuration.members = {{MemberId(1), "n0", "host0:10911", Incarnation(11)},
                           {MemberId(2), "n1", "host1:10911", Incarnation(12)}};
  seeds.push_back(EncodeConfiguration(configuration));
  return seeds;
}

}  // namespace raftmq::fuzz
