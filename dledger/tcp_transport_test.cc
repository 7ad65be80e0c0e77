// The peer transport over real loopback sockets.
#include "dledger/tcp_transport.h"

#include <asio.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/strings.h"
#include "dledger/peer_wire.h"
#include "gtest/gtest.h"

namespace raftmq::dledger {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(20);

// One member's end: an event loop, a transport, and what came.
class End final : public TransportListener {
 public:
  End(int id, uint64_t boot_id, std::function<void(TcpTransportOptions&)> adjust = nullptr)
      : loop_(StrCat("end-", id)) {
    TcpTransportOptions options;
    options.cluster = "test";
    options.group = "broker-a";
    options.self = MemberId(id);
    options.incarnation = IncarnationOf(id);
    options.boot_id = boot_id;
    options.bind_address = "127.0.0.1:0";
    options.client_address = StrCat("client-", id);
    options.backoff_min_ms = 5;
    options.backoff_max_ms = 50;
    if (adjust) adjust(options);
    auto created = TcpTransport::Create(&loop_, SystemClock(), Random(boot_id), options);
    EXPECT_TRUE(created.ok()) << created.status();
    transport_ = std::move(*created);
  }

  ~End() override {
    Run([this] { transport_->Stop(); });
    loop_.Stop();
  }

  static Incarnation IncarnationOf(int id) { return Incarnation(1000 + id); }
  Peer AsPeer(int id) const {
    return {MemberId(id), IncarnationOf(id), StrCat("127.0.0.1:", transport_->port())};
  }
  uint16_t port() const { return transport_->port(); }
  TcpTransport& transport() { return *transport_; }

  void Start(std::vector<Peer> peers) {
    Run([&] { EXPECT_TRUE(transport_->Start(this, std::move(peers)).ok()); });
  }

  // On the loop, and waits for it.
  void Run(const std::function<void()>& task) {
    absl::Notification done;
    loop_.Post([&] {
      task();
      done.Notify();
    });
    done.WaitForNotification();
  }

  void Send(int to, int64_t number, size_t body_size = 0) {
    PeerMessage message;
    message.message.type = raft::MessageType::kAppend;
    message.message.from = self_;
    message.message.to = MemberId(to);
    message.message.term = Term(1);
    message.message.commit = LogIndex(number);
    if (body_size > 0) {
      raft::EntryMeta entry;
      entry.index = LogIndex(1);
      entry.term = Term(1);
      entry.size = static_cast<int32_t>(body_size);
      message.message.entries.push_back(entry);
      // Two slices, as the log hands them out.
      std::string body(body_size, static_cast<char>('a' + number % 26));
      message.slices.emplace_back(body.substr(0, body_size / 3));
      message.slices.emplace_back(body.substr(body_size / 3));
    }
    Run([&] { transport_->Send(MemberId(to), std::move(message)); });
  }

  void set_self(int id) { self_ = MemberId(id); }

  // Waits until `holds()`, which may look at what came.
  bool Await(const std::function<bool()>& holds, absl::Duration deadline = kDeadline) {
    absl::MutexLock lock(&mutex_);
    const auto condition = [&] { return holds(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), deadline);
  }

  void OnMessage(PeerMessage message) override {
    absl::MutexLock lock(&mutex_);
    messages.push_back(std::move(message));
  }
  void OnConnected(MemberId peer, uint64_t boot_id, const std::string& address) override {
    absl::MutexLock lock(&mutex_);
    connected[peer] = true;
    boots[peer] = boot_id;
    addresses[peer] = address;
  }
  void OnDisconnected(MemberId peer, bool by_peer) override {
    absl::MutexLock lock(&mutex_);
    connected[peer] = false;
    closed_by_peer[peer] = by_peer;
  }

  // Read within Await only.
  std::vector<PeerMessage> messages;
  std::map<MemberId, bool> connected;
  std::map<MemberId, uint64_t> boots;
  std::map<MemberId, std::string> addresses;
  std::map<MemberId, bool> closed_by_peer;

 private:
  EventLoop loop_;
  MemberId self_;
  std::unique_ptr<TcpTransport> transport_;
  absl::Mutex mutex_;
};

std::unique_ptr<End> MakeEnd(int id, uint64_t boot_id,
                             std::function<void(TcpTransportOptions&)> adjust = nullptr) {
  auto end = std::make_unique<End>(id, boot_id, std::move(adjust));
  end->set_self(id);
  return end;
}

constexpr MemberId kA{1};
constexpr MemberId kB{2};

TEST(TcpTransport, MembersGreetAndMessagesArriveWholeAndInOrder) {
  auto a = MakeEnd(1, 11), b = MakeEnd(2, 22);
  a->Start({b->AsPeer(2)});
  b->Start({a->AsPeer(1)});
  ASSERT_TRUE(a->Await([&] { return a->connected[kB]; }));
  ASSERT_TRUE(b->Await([&] { return b->connected[kA]; }));
  a->Await([&] {
    EXPECT_EQ(a->boots[kB], 22u);
    EXPECT_EQ(a->addresses[kB], "client-2");
    return true;
  });
  const std::vector<size_t> sizes = {0, 48, 100, 65'000, 1'000'000, 0, 5'000'000, 49};
  for (size_t i = 0; i < sizes.size(); ++i) a->Send(2, static_cast<int64_t>(i), sizes[i]);
  ASSERT_TRUE(b->Await([&] { return b->messages.size() == sizes.size(); }));
  b->Await([&] {
    for (size_t i = 0; i < sizes.size(); ++i) {
      const PeerMessage& message = b->messages[i];
      EXPECT_EQ(message.message.commit, LogIndex(static_cast<int64_t>(i)));
      std::string body;
      for (const Bytes& slice : message.slices) body.append(slice.view());
      EXPECT_EQ(body, std::string(sizes[i], static_cast<char>('a' + i % 26)));
    }
    return true;
  });
}

TEST(TcpTransport, OneDirectionIsEnoughToTalkBothWays) {
  auto a = MakeEnd(1, 11), b = MakeEnd(2, 22);
  b->Start({});  // no configuration yet: it knows nobody's address
  a->Start({b->AsPeer(2)});
  ASSERT_TRUE(a->Await([&] { return a->connected[kB]; }));
  ASSERT_TRUE(b->Await([&] { return b->connected[kA]; }));
  b->Send(1, 7);
  ASSERT_TRUE(a->Await([&] { return a->messages.size() == 1; }));
}

TEST(TcpTransport, APeerThatDiesIsNoticedAtOnceAndItsNextBootIsTold) {
  auto a = MakeEnd(1, 11), b = MakeEnd(2, 22);
  const uint16_t port = b->port();
  a->Start({b->AsPeer(2)});
  b->Start({a->AsPeer(1)});
  const Peer a_as_peer = a->AsPeer(1);
  ASSERT_TRUE(a->Await([&] { return a->connected[kB]; }));
  ASSERT_TRUE(b->Await([&] { return b->connected[kA]; }));
  b.reset();
  ASSERT_TRUE(a->Await([&] { return !a->connected[kB]; }));
  a->Await([&] {
    EXPECT_TRUE(a->closed_by_peer[kB]);
    return true;
  });
  b = MakeEnd(2, 23, [&](TcpTransportOptions& options) {
    options.bind_address = StrCat("127.0.0.1:", port);
  });
  b->Start({a_as_peer});
  ASSERT_TRUE(a->Await([&] { return a->connected[kB] && a->boots[kB] == 23; }));
  ASSERT_TRUE(b->Await([&] { return b->connected[kA]; }));
  a->Send(2, 1);
  ASSERT_TRUE(b->Await([&] { return b->messages.size() == 1; }));
}

// What a stranger is told. Each case differs from a proper greeting in one point.
class TcpTransportDoor : public ::testing::Test {
 protected:
  Greeting Proper() const {
    Greeting greeting;
    greeting.cluster = "test";
    greeting.group = "broker-a";
    greeting.sender = kA;
    greeting.incarnation = End::IncarnationOf(1);
    greeting.receiver = kB;
    greeting.receiver_incarnation = End::IncarnationOf(2);
    greeting.boot_id = 11;
    return greeting;
  }

  // Sends bytes to a fresh acceptor and returns all that it answers until it closes, or its first
  // frame.
  std::string Answer(const std::string& bytes, bool close_after = false) {
    asio::io_context io;
    asio::ip::tcp::socket socket(io);
    socket.connect({asio::ip::make_address("127.0.0.1"), b_->port()});
    asio::error_code error;
    asio::write(socket, asio::buffer(bytes), error);
    if (close_after) socket.shutdown(asio::ip::tcp::socket::shutdown_send, error);
    std::string answer;
    char chunk[4096];
    for (;;) {
      const size_t size = socket.read_some(asio::buffer(chunk), error);
      if (error) break;
      answer.append(chunk, size);
      if (answer.size() >= kPeerHeaderSize) {
        const auto header = ParsePeerFrameHeader(answer, PeerWireLimits());
        if (header.ok() && answer.size() >= kPeerHeaderSize + header->meta_size) break;
      }
    }
    return answer;
  }

  static PeerFrameKind KindOf(const std::string& answer) {
    if (answer.size() < kPeerHeaderSize) return PeerFrameKind(0);
    const auto header = ParsePeerFrameHeader(answer, PeerWireLimits());
    return header.ok() ? header->kind : PeerFrameKind(0);
  }

  std::string Greet(const Greeting& greeting) {
    return Answer(EncodePeerFrame(PeerFrameKind::kGreeting, EncodeGreeting(greeting), 0));
  }

  void SetUp() override {
    b_ = MakeEnd(2, 22);
    b_->Start({{kA, End::IncarnationOf(1), "127.0.0.1:1"}});
  }

  std::unique_ptr<End> b_;
};

TEST_F(TcpTransportDoor, AProperGreetingIsAnsweredWithOne) {
  EXPECT_EQ(KindOf(Greet(Proper())), PeerFrameKind::kGreeting);
}

TEST_F(TcpTransportDoor, StrangersAreRefusedInWords) {
  const auto refused_because = [&](const std::string& why,
                                   const std::function<void(Greeting&)>& alter) {
    Greeting greeting = Proper();
    alter(greeting);
    const std::string answer = Greet(greeting);
    EXPECT_EQ(KindOf(answer), PeerFrameKind::kRefusal) << why;
    EXPECT_NE(answer.find(why), std::string::npos) << "expected '" << why << "' in: " << answer;
  };
  refused_because("cluster 'other'", [](Greeting& g) { g.cluster = "other"; });
  refused_because("group 'broker-b'", [](Greeting& g) { g.group = "broker-b"; });
  refused_because("looks for member 3", [](Greeting& g) { g.receiver = MemberId(3); });
  refused_because("formatted anew", [](Greeting& g) { g.incarnation = Incarnation(99); });
  refused_because("formatted anew", [](Greeting& g) { g.receiver_incarnation = Incarnation(99); });
  refused_because("this member's own id", [](Greeting& g) { g.sender = kB; });
  refused_because("not in this member's configuration", [](Greeting& g) {
    g.sender = MemberId(9);
    g.receiver_incarnation = Incarnation(0);
  });
  refused_because("speaks version 7", [](Greeting& g) { g.protocol_version = 7; });
  EXPECT_FALSE(b_->Await([&] { return b_->connected[kA]; }, absl::ZeroDuration()));
}

TEST_F(TcpTransportDoor, RandomBytesOnThePortDoNoHarm) {
  Random random(7);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(static_cast<size_t>(random.Between(0, 300)), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.Next());
    if (random.Chance(0.5)) {
      // A frame that starts well.
      std::string frame = EncodePeerFrame(PeerFrameKind::kGreeting, EncodeGreeting(Proper()), 0);
      frame[static_cast<size_t>(random.Below(frame.size()))] ^= static_cast<char>(random.Next());
      bytes = frame.substr(0, static_cast<size_t>(random.Below(frame.size())));
    }
    EXPECT_NE(KindOf(Answer(bytes, /*close_after=*/true)), PeerFrameKind::kGreeting);
  }
  EXPECT_EQ(KindOf(Greet(Proper())), PeerFrameKind::kGreeting) << "the door still works";
}

TEST_F(TcpTransportDoor, AHugeFrameIsRefusedBeforeItIsRead) {
  std::string frame = EncodePeerFrame(PeerFrameKind::kGreeting, "", 0);
  frame[8] = 0x7f;  // meta size
  EXPECT_EQ(Answer(frame), "");
}

TEST_F(TcpTransportDoor, ASilentConnectionIsClosedInTime) {
  auto quick =
      MakeEnd(2, 22, [](TcpTransportOptions& options) { options.greeting_timeout_ms = 20; });
  quick->Start({});
  std::swap(b_, quick);
  EXPECT_EQ(Answer(""), "");  // returns only once it is closed
}

TEST(TcpTransport, FaultsDropDuplicateAndDelay) {
  auto a = MakeEnd(1, 11), b = MakeEnd(2, 22);
  a->Start({b->AsPeer(2)});
  b->Start({a->AsPeer(1)});
  ASSERT_TRUE(a->Await([&] { return a->connected[kB]; }));
  LinkFaults all_lost;
  all_lost.drop = 1;
  a->Run([&] { a->transport().SetLinkFaults(kB, all_lost); });
  for (int i = 0; i < 10; ++i) a->Send(2, i);
  LinkFaults twice;
  twice.duplicate = 1;
  twice.min_delay_nanos = 1'000'000;
  twice.max_delay_nanos = 2'000'000;
  a->Run([&] { a->transport().SetLinkFaults(kB, twice); });
  a->Send(2, 100);
  ASSERT_TRUE(b->Await([&] { return b->messages.size() == 2; }));
  b->Await([&] {
    EXPECT_EQ(b->messages[0].message.commit, LogIndex(100));
    EXPECT_EQ(b->messages[1].message.commit, LogIndex(100));
    return true;
  });
}

TEST(TcpTransport, AnAddressInUseIsSaidByName) {
  auto a = MakeEnd(1, 11);
  EventLoop loop("other");
  TcpTransportOptions options;
  options.boot_id = 1;
  options.bind_address = StrCat("127.0.0.1:", a->port());
  const auto second = TcpTransport::Create(&loop, SystemClock(), Random(1), options);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(Message(second.status()).find(options.bind_address), std::string_view::npos)
      << second.status();
}

TEST(TcpTransport, NamesAreResolved) {
  auto a = MakeEnd(1, 11), b = MakeEnd(2, 22);
  Peer by_name = b->AsPeer(2);
  by_name.address = StrCat("localhost:", b->port());
  a->Start({by_name});
  b->Start({});
  ASSERT_TRUE(a->Await([&] { return a->connected[kB]; }));
}

}  // namespace
}  // namespace raftmq::dledger
