// Peer messages and greetings: what is written is read back, and nothing else is taken.
#include "base/random.h"
#include "base/strings.h"
#include "dledger/peer_message.h"
#include "dledger/peer_wire.h"
#include "gtest/gtest.h"

namespace raftmq::dledger {
namespace {

using raft::EntryMeta;
using raft::EntryType;
using raft::Message;
using raft::MessageType;

template <typename T>
T Draw(Random& random) {
  return random.Chance(0.4) ? T(0) : T(static_cast<typename T::rep>(random.Below(1 << 30)));
}

Message DrawMessage(Random& random) {
  Message m;
  m.type = static_cast<MessageType>(random.Between(1, 13));
  m.from = MemberId(static_cast<int32_t>(random.Between(1, 9)));
  m.to = MemberId(static_cast<int32_t>(random.Between(1, 9)));
  m.term = Draw<Term>(random);
  m.prev_index = Draw<LogIndex>(random);
  m.prev_term = Draw<Term>(random);
  m.prev_end = Draw<LogPosition>(random);
  m.commit = Draw<LogIndex>(random);
  m.last_log_index = Draw<LogIndex>(random);
  m.last_log_term = Draw<Term>(random);
  m.match_index = Draw<LogIndex>(random);
  m.durable_index = Draw<LogIndex>(random);
  m.hint_index = Draw<LogIndex>(random);
  m.hint_term = Draw<Term>(random);
  m.reject = random.Chance(0.5);
  m.force = random.Chance(0.5);
  m.ack_in_memory = random.Chance(0.5);
  m.quiet = random.Chance(0.5);
  m.damaged = random.Chance(0.5);
  LogIndex index = m.prev_index + 1;
  LogPosition position = m.prev_end;
  for (int64_t n = random.Between(-3, 5); n > 0; --n) {
    EntryMeta entry;
    entry.index = index;
    entry.term = Draw<Term>(random);
    entry.type = static_cast<EntryType>(random.Between(0, 2));
    entry.position = position;
    entry.size = static_cast<int32_t>(random.Between(48, 5000));
    index += 1;
    position = entry.end();
    m.entries.push_back(entry);
  }
  return m;
}

size_t BodySize(const Message& m) {
  size_t size = 0;
  for (const EntryMeta& entry : m.entries) size += static_cast<size_t>(entry.size);
  return size;
}

TEST(PeerMessageCodec, EveryMessageIsReadBackAsItWas) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const Message m = DrawMessage(random);
    const auto parsed = ParsePeerMessage(EncodePeerMessage(m), BodySize(m));
    ASSERT_TRUE(parsed.ok()) << parsed.status() << "\n" << m;
    ASSERT_EQ(*parsed, m);
  }
}

TEST(PeerMessageCodec, APartOfAMessageIsNone) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    const Message m = DrawMessage(random);
    const std::string bytes = EncodePeerMessage(m);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(ParsePeerMessage(std::string_view(bytes).substr(0, size), BodySize(m)).ok());
    }
    EXPECT_FALSE(ParsePeerMessage(bytes + "x", BodySize(m)).ok());
    EXPECT_FALSE(ParsePeerMessage(bytes, BodySize(m) + 1).ok()) << "the body must add up";
  }
}

// Under a sanitizer this shows reads out of bounds; what still parses must have sane entries.
TEST(PeerMessageCodec, SpoiledBytesAreRefusedOrHarmless) {
  Random random(3);
  for (int i = 0; i < 50'000; ++i) {
    const Message m = DrawMessage(random);
    std::string bytes = EncodePeerMessage(m);
    for (int64_t n = random.Between(1, 4); n > 0; --n) {
      bytes[static_cast<size_t>(random.Below(bytes.size()))] = static_cast<char>(random.Next());
    }
    const auto parsed = ParsePeerMessage(bytes, BodySize(m));
    if (!parsed.ok()) continue;
    EXPECT_EQ(BodySize(*parsed), BodySize(m));
    for (const EntryMeta& entry : parsed->entries) EXPECT_GE(entry.size, 48);
  }
}

TEST(PeerMessageCodec, ACountOfEntriesThatCannotFitIsRefusedWithoutMemory) {
  Message m;
  m.type = MessageType::kAppend;
  m.entries.push_back({LogIndex(1), Term(1), EntryType::kNormal, LogPosition(0), 48});
  std::string bytes = EncodePeerMessage(m);
  // The count lies before the only entry of 13 bytes.
  for (size_t i = bytes.size() - 17; i < bytes.size() - 13; ++i) bytes[i] = '\x7f';
  EXPECT_FALSE(ParsePeerMessage(bytes, 48).ok());
}

TEST(PeerWire, AGreetingIsReadBackAsItWas) {
  Greeting greeting;
  greeting.cluster = "DefaultCluster";
  greeting.group = "broker-a";
  greeting.sender = MemberId(3);
  greeting.incarnation = Incarnation(0xfedcba9876543210);
  greeting.receiver = MemberId(1);
  greeting.receiver_incarnation = Incarnation(5);
  greeting.boot_id = 77;
  greeting.client_address = "[::1]:8081";
  const auto parsed = ParseGreeting(EncodeGreeting(greeting));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, greeting);
}

TEST(PeerWire, AGreetingOfAnotherVersionIsToldFromAMalformedOne) {
  Greeting greeting;
  greeting.protocol_version = 2;
  const auto other = ParseGreeting(EncodeGreeting(greeting).substr(0, 10));
  EXPECT_NE(raftmq::Message(other.status()).find("version 2"), std::string_view::npos);
  const auto malformed = ParseGreeting(EncodeGreeting(Greeting()).substr(0, 10));
  EXPECT_NE(raftmq::Message(malformed.status()).find("malformed"), std::string_view::npos);
}

TEST(PeerWire, AnyFlippedBitOfHeaderOrMetaIsNoticed) {
  const std::string frame = EncodePeerFrame(PeerFrameKind::kMessage, "some meta", 1000);
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    std::string spoiled = frame;
    spoiled[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    const auto header = ParsePeerFrameHeader(spoiled, PeerWireLimits());
    const bool same_size = header.ok() && header->meta_size == 9;
    EXPECT_TRUE(!same_size || !PeerFrameCrcHolds(spoiled)) << "bit " << bit;
  }
  EXPECT_TRUE(PeerFrameCrcHolds(frame));
}

}  // namespace
}  // namespace raftmq::dledger
