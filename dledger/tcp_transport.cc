#include "dledger/tcp_transport.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio.hpp>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/event_loop_asio.h"
#include "base/strings.h"
#include "dledger/peer_connection.h"
#include "dledger/peer_message.h"
#include "dledger/peer_wire.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

using asio::ip::tcp;

constexpr int64_t kNanosPerMilli = 1'000'000;
constexpr int64_t kLogIntervalNanos = 5'000'000'000;
// Before it has greeted, a peer may send a greeting and nothing large.
constexpr PeerWireLimits kDoorLimits{16 << 10, 0};

struct HostPort {
  std::string host;
  std::string port;
};

// "host:port", "1.2.3.4:port" or "[v6]:port".
absl::StatusOr<HostPort> SplitHostPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(
        StrCat("'", address, "' is not an address; expected host:port"));
  }
  HostPort split{address.substr(0, colon), address.substr(colon + 1)};
  if (split.host.size() > 2 && split.host.front() == '[' && split.host.back() == ']') {
    split.host = split.host.substr(1, split.host.size() - 2);
  }
  return split;
}

// Lets one line through per interval, so that a stranger cannot fill the log.
class LogThrottle {
 public:
  bool Allow(int64_t now_nanos) {
    if (last_ != 0 && now_nanos - last_ < kLogIntervalNanos) return false;
    last_ = now_nanos;
    return true;
  }

 private:
  int64_t last_ = 0;
};

}  // namespace

// Everything that a callback may come back to; callbacks hold it weakly or as long as they run.
struct TcpTransport::Impl : public std::enable_shared_from_this<TcpTransport::Impl> {
  using ConnectionPtr = std::shared_ptr<PeerConnection>;

  struct PeerState {
    Peer peer;
    ConnectionPtr dialed;    // greeted and answered
    ConnectionPtr accepted;  // has greeted
    uint64_t boot_id = 0;
    // The dial under way, if any; a later one makes it stale.
    uint64_t dial = 0;
    ConnectionPtr greeting;  // dialed, not answered yet
    std::shared_ptr<tcp::socket> connecting;
    bool dialing = false;
    int64_t backoff_ms = 0;
    LinkFaults faults;
    LogThrottle log;

    bool connected() const { return dialed != nullptr || accepted != nullptr; }
  };

  Impl(EventLoop* loop, Clock* clock, Random random, TcpTransportOptions options)
      : loop(loop),
        io(loop->impl()->io),
        clock(clock),
        random(random),
        options(std::move(options)),
        acceptor(io),
        resolver(io) {}

  absl::Status Bind();
  void Accept();
  void OnAccepted(tcp::socket socket);
  void OnDoorFrame(const ConnectionPtr& connection, PeerFrameKind kind, std::string_view meta);
  absl::Status CheckGreeting(const Greeting& greeting, MemberId expected) const;
  void Admit(const ConnectionPtr& connection, const Greeting& greeting);
  void Refuse(const ConnectionPtr& connection, const absl::Status& why);

  void Dial(MemberId id);
  void Connect(MemberId id, uint64_t dial, const std::vector<tcp::endpoint>& endpoints);
  void OnConnect(MemberId id, uint64_t dial, std::shared_ptr<tcp::socket> socket);
  void OnAnswer(MemberId id, uint64_t dial, PeerFrameKind kind, std::string_view meta);
  void DialFailed(MemberId id, uint64_t dial, const absl::Status& why);
  bool CurrentDial(MemberId id, uint64_t dial);

  void SettleBoot(PeerState& state, uint64_t boot_id);
  void Adopt(const ConnectionPtr& connection, MemberId id);
  void OnFrame(MemberId id, PeerFrameKind kind, std::string_view meta, Bytes body);
  void OnClosed(MemberId id, PeerConnection* connection, const absl::Status& why, bool by_peer);
  void SetSocketOptions(tcp::socket& socket);
  Greeting OwnGreeting(MemberId receiver, Incarnation receiver_incarnation) const;

  void Send(MemberId to, PeerMessage message);
  void SendNow(MemberId to, const PeerMessage& message);
  void Stop();

  void After(int64_t millis, std::function<void()> task) {
    loop->RunAfter(millis * kNanosPerMilli, [weak = weak_from_this(), task = std::move(task)] {
      const auto self = weak.lock();
      if (self != nullptr && !self->stopped) task();
    });
  }

  EventLoop* const loop;
  asio::io_context& io;
  Clock* const clock;
  Random random;
  const TcpTransportOptions options;
  tcp::acceptor acceptor;
  tcp::resolver resolver;
  uint16_t port = 0;
  TransportListener* listener = nullptr;
  bool stopped = false;
  std::map<MemberId, PeerState> peers;
  std::set<ConnectionPtr> at_door;  // accepted, not greeted yet
  LogThrottle refusal_log;
};

// ---- Accepting ----

absl::Status TcpTransport::Impl::Bind() {
  RAFTMQ_ASSIGN_OR_RETURN(const HostPort at, SplitHostPort(options.bind_address));
  asio::error_code error;
  const auto endpoints = resolver.resolve(at.host, at.port, tcp::resolver::passive, error);
  const auto failed = [&](std::string_view what) {
    return absl::UnavailableError(
        StrCat("peer transport: cannot ", what, " ", options.bind_address, ": ", error.message()));
  };
  if (error || endpoints.empty()) return failed("resolve");
  const tcp::endpoint endpoint = *endpoints.begin();
  acceptor.open(endpoint.protocol(), error);
  if (error) return failed("open a socket for");
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  acceptor.bind(endpoint, error);
  if (error) return failed("bind");
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("listen on");
  port = acceptor.local_endpoint(error).port();
  return absl::OkStatus();
}

void TcpTransport::Impl::Accept() {
  acceptor.async_accept(
      [self = shared_from_this()](const asio::error_code& error, tcp::socket socket) {
        if (self->stopped) return;
        if (!error) {
          self->OnAccepted(std::move(socket));
          self->Accept();
          return;
        }
        LOG_EVERY_N(WARNING, 100) << "peer transport: accepting failed: " << error.message();
        self->After(10, [self] { self->Accept(); });  // out of descriptors, most likely
      });
}

void TcpTransport::Impl::OnAccepted(tcp::socket socket) {
  if (at_door.size() >= static_cast<size_t>(options.max_ungreeted)) return;  // closes it
  SetSocketOptions(socket);
  const auto connection =
      std::make_shared<PeerConnection>(std::move(socket), options.max_queued_bytes);
  at_door.insert(connection);
  const std::weak_ptr<PeerConnection> weak = connection;
  const auto leave = [this, weak] {
    if (const auto gone = weak.lock()) at_door.erase(gone);
  };
  connection->Start({[this, weak](PeerFrameKind kind, std::string_view meta, Bytes) {
                       if (const auto here = weak.lock()) OnDoorFrame(here, kind, meta);
                     },
                     [this, leave, weak](const absl::Status& why, bool by_peer) {
                       if (!by_peer && refusal_log.Allow(clock->MonotonicNanos())) {
                         const auto here = weak.lock();
                         LOG(WARNING) << "peer transport: closed a connection from "
                                      << (here ? here->remote() : "?") << ": " << why;
                       }
                       leave();
                     }},
                    kDoorLimits);
  After(options.greeting_timeout_ms, [this, weak, leave] {
    const auto here = weak.lock();
    if (here == nullptr || at_door.count(here) == 0) return;
    here->Close();
    leave();
  });
}

void TcpTransport::Impl::OnDoorFrame(const ConnectionPtr& connection, PeerFrameKind kind,
                                     std::string_view meta) {
  if (kind != PeerFrameKind::kGreeting) {
    Refuse(connection, absl::InvalidArgumentError("the first frame must be a greeting"));
    return;
  }
  const auto greeting = ParseGreeting(meta);
  if (!greeting.ok()) {
    Refuse(connection, greeting.status());
    return;
  }
  const absl::Status checked = CheckGreeting(*greeting, kNoMember);
  if (!checked.ok()) {
    Refuse(connection, checked);
    return;
  }
  Admit(connection, *greeting);
}

// `expected`: whom we dialed, kNoMember if they dialed us.
absl::Status TcpTransport::Impl::CheckGreeting(const Greeting& greeting, MemberId expected) const {
  const auto refused = [](const auto&... text) {
    return absl::PermissionDeniedError(StrCat(text...));
  };
  if (greeting.cluster != options.cluster || greeting.group != options.group) {
    return refused("it belongs to cluster '", greeting.cluster, "', group '", greeting.group,
                   "', this member to cluster '", options.cluster, "', group '", options.group,
                   "'");
  }
  if (greeting.receiver != options.self) {
    return refused("it looks for member ", greeting.receiver, ", this is member ", options.self,
                   ": check the members' addresses");
  }
  if (expected != kNoMember && greeting.sender != expected) {
    return refused("member ", expected, " was expected there, member ", greeting.sender,
                   " answered: check the members' addresses");
  }
  if (greeting.sender == options.self || greeting.sender <= kNoMember) {
    return refused("it calls itself member ", greeting.sender, ", which is this member's own id");
  }
  const bool knows_us = greeting.receiver_incarnation == options.incarnation;
  if (greeting.receiver_incarnation != Incarnation(0) && !knows_us) {
    return refused("its configuration has another incarnation for member ", options.self,
                   " than this data directory: the directory was formatted anew; such a member "
                   "joins under a new id");
  }
  const auto peer = peers.find(greeting.sender);
  if (peer == peers.end()) {
    if (knows_us) return absl::OkStatus();
    return refused("member ", greeting.sender, " is not in this member's configuration");
  }
  if (peer->second.peer.incarnation != greeting.incarnation) {
    return refused("member ", greeting.sender,
                   " has another incarnation than the group's "
                   "configuration says: its data directory was formatted anew; such a member joins "
                   "under a new id");
  }
  return absl::OkStatus();
}

void TcpTransport::Impl::Refuse(const ConnectionPtr& connection, const absl::Status& why) {
  if (refusal_log.Allow(clock->MonotonicNanos())) {
    LOG(WARNING) << "peer transport: refused a connection from " << connection->remote() << ": "
                 << Message(why);
  }
  at_door.erase(connection);
  connection->Send(EncodePeerFrame(PeerFrameKind::kRefusal, Message(why), 0), {});
  connection->CloseAfterSending();
}

void TcpTransport::Impl::Admit(const ConnectionPtr& connection, const Greeting& greeting) {
  at_door.erase(connection);
  PeerState& state = peers[greeting.sender];
  state.peer.id = greeting.sender;
  if (state.peer.incarnation == Incarnation(0)) state.peer.incarnation = greeting.incarnation;
  SettleBoot(state, greeting.boot_id);
  if (state.accepted != nullptr) state.accepted->Close();  // dialed anew: the old one is dead
  state.accepted = connection;
  Adopt(connection, greeting.sender);
  const Greeting answer = OwnGreeting(greeting.sender, state.peer.incarnation);
  connection->Send(EncodePeerFrame(PeerFrameKind::kGreeting, EncodeGreeting(answer), 0), {});
  listener->OnConnected(greeting.sender, greeting.boot_id, greeting.client_address);
  if (stopped) return;
  // It lives: no need to wait until its address is tried again.
  if (state.dialed == nullptr && !state.dialing && !state.peer.address.empty()) {
    state.backoff_ms = 0;
    Dial(greeting.sender);
  }
}

// ---- Dialing ----

bool TcpTransport::Impl::CurrentDial(MemberId id, uint64_t dial) {
  return !stopped && peers.at(id).dial == dial;
}

void TcpTransport::Impl::Dial(MemberId id) {
  PeerState& state = peers.at(id);
  const uint64_t dial = ++state.dial;
  state.dialing = true;
  const auto address = SplitHostPort(state.peer.address);
  if (!address.ok()) {
    DialFailed(id, dial, address.status());
    return;
  }
  After(options.connect_timeout_ms, [this, id, dial] {
    if (CurrentDial(id, dial) && peers.at(id).dialing && peers.at(id).greeting == nullptr) {
      DialFailed(id, dial, absl::DeadlineExceededError("no connection within the time allowed"));
    }
  });
  asio::error_code error;
  const auto numeric = asio::ip::make_address(address->host, error);
  uint16_t number = 0;
  const char* const end = address->port.data() + address->port.size();
  if (!error && std::from_chars(address->port.data(), end, number).ptr == end) {
    Connect(id, dial, {tcp::endpoint(numeric, number)});
    return;
  }
  resolver.async_resolve(
      address->host, address->port,
      [self = shared_from_this(), id, dial](const asio::error_code& failed,
                                            const tcp::resolver::results_type& results) {
        if (!self->CurrentDial(id, dial)) return;
        if (failed) {
          self->DialFailed(
              id, dial, absl::UnavailableError(StrCat("resolving its name: ", failed.message())));
          return;
        }
        self->Connect(id, dial, {results.begin(), results.end()});
      });
}

void TcpTransport::Impl::Connect(MemberId id, uint64_t dial,
                                 const std::vector<tcp::endpoint>& endpoints) {
  auto socket = std::make_shared<tcp::socket>(io);
  peers.at(id).connecting = socket;
  asio::async_connect(*socket, endpoints,
                      [self = shared_from_this(), id, dial, socket](const asio::error_code& error,
                                                                    const tcp::endpoint&) {
                        if (!self->CurrentDial(id, dial)) return;
                        if (error) {
                          self->DialFailed(id, dial, absl::UnavailableError(error.message()));
                        } else {
                          self->OnConnect(id, dial, socket);
                        }
                      });
}

void TcpTransport::Impl::OnConnect(MemberId id, uint64_t dial,
                                   std::shared_ptr<tcp::socket> socket) {
  PeerState& state = peers.at(id);
  state.connecting = nullptr;
  SetSocketOptions(*socket);
  auto connection = std::make_shared<PeerConnection>(std::move(*socket), options.max_queued_bytes);
  state.greeting = connection;
  connection->Start({[this, id, dial](PeerFrameKind kind, std::string_view meta, Bytes) {
                       if (CurrentDial(id, dial)) OnAnswer(id, dial, kind, meta);
                     },
                     [this, id, dial](const absl::Status& why, bool) {
                       if (CurrentDial(id, dial)) DialFailed(id, dial, why);
                     }},
                    kDoorLimits);
  const Greeting greeting = OwnGreeting(id, state.peer.incarnation);
  connection->Send(EncodePeerFrame(PeerFrameKind::kGreeting, EncodeGreeting(greeting), 0), {});
  After(options.greeting_timeout_ms, [this, id, dial] {
    if (CurrentDial(id, dial) && peers.at(id).greeting != nullptr) {
      DialFailed(id, dial, absl::DeadlineExceededError("it did not answer the greeting in time"));
    }
  });
}

void TcpTransport::Impl::OnAnswer(MemberId id, uint64_t dial, PeerFrameKind kind,
                                  std::string_view meta) {
  PeerState& state = peers.at(id);
  if (kind == PeerFrameKind::kRefusal) {
    DialFailed(id, dial, absl::PermissionDeniedError(StrCat("it refuses us: ", meta)));
    return;
  }
  if (kind != PeerFrameKind::kGreeting) {
    DialFailed(id, dial, absl::InvalidArgumentError("it did not answer with a greeting"));
    return;
  }
  const auto greeting = ParseGreeting(meta);
  const absl::Status checked = greeting.ok() ? CheckGreeting(*greeting, id) : greeting.status();
  if (!checked.ok()) {
    DialFailed(id, dial, checked);
    return;
  }
  const ConnectionPtr connection = std::exchange(state.greeting, nullptr);
  SettleBoot(state, greeting->boot_id);
  state.dialing = false;
  state.backoff_ms = 0;
  state.dialed = connection;
  Adopt(connection, id);
  listener->OnConnected(id, greeting->boot_id, greeting->client_address);
}

void TcpTransport::Impl::DialFailed(MemberId id, uint64_t dial, const absl::Status& why) {
  PeerState& state = peers.at(id);
  if (state.log.Allow(clock->MonotonicNanos())) {
    LOG(WARNING) << "peer transport: no connection to member " << id << " at " << state.peer.address
                 << " (tried again and again): " << why;
  }
  if (const auto greeting = std::exchange(state.greeting, nullptr)) greeting->Close();
  if (const auto connecting = std::exchange(state.connecting, nullptr)) {
    asio::error_code ignored;
    connecting->close(ignored);
  }
  state.dialing = false;
  const uint64_t next = ++state.dial;  // whatever of the old dial comes late is stale
  state.backoff_ms =
      std::clamp(state.backoff_ms * 2, options.backoff_min_ms, options.backoff_max_ms);
  const int64_t wait = state.backoff_ms / 2 + random.Between(0, state.backoff_ms / 2);
  After(wait, [this, id, next] {
    if (CurrentDial(id, next)) Dial(id);
  });
}

Greeting TcpTransport::Impl::OwnGreeting(MemberId receiver,
                                         Incarnation receiver_incarnation) const {
  Greeting greeting;
  greeting.cluster = options.cluster;
  greeting.group = options.group;
  greeting.sender = options.self;
  greeting.incarnation = options.incarnation;
  greeting.receiver = receiver;
  greeting.receiver_incarnation = receiver_incarnation;
  greeting.boot_id = options.boot_id;
  greeting.client_address = options.client_address;
  return greeting;
}

// ---- Connections in use ----

// A new boot ends what the peer's earlier process left behind.
void TcpTransport::Impl::SettleBoot(PeerState& state, uint64_t boot_id) {
  if (state.boot_id != 0 && state.boot_id != boot_id) {
    if (const auto old = std::exchange(state.dialed, nullptr)) old->Close();
    if (const auto old = std::exchange(state.accepted, nullptr)) old->Close();
    if (!state.dialing) {
      // The one dialed was to the earlier process.
      const uint64_t next = ++state.dial;
      After(0, [this, id = state.peer.id, next] {
        if (CurrentDial(id, next) && !peers.at(id).peer.address.empty()) Dial(id);
      });
    }
  }
  state.boot_id = boot_id;
}

void TcpTransport::Impl::Adopt(const ConnectionPtr& connection, MemberId id) {
  PeerConnection* const raw = connection.get();
  connection->SetEvents(
      {[this, id](PeerFrameKind kind, std::string_view meta, Bytes body) {
         OnFrame(id, kind, meta, std::move(body));
       },
       [this, id, raw](const absl::Status& why, bool by_peer) { OnClosed(id, raw, why, by_peer); }},
      PeerWireLimits());
}

void TcpTransport::Impl::OnFrame(MemberId id, PeerFrameKind kind, std::string_view meta,
                                 Bytes body) {
  if (stopped || kind != PeerFrameKind::kMessage) return;
  auto message = ParsePeerMessage(meta, body.size());
  if (message.ok() && message->from != id) {
    message = absl::InvalidArgumentError(StrCat("it says to be from member ", message->from));
  }
  if (!message.ok()) {
    LOG_EVERY_N(WARNING, 100) << "peer transport: a message of member " << id
                              << " was dropped: " << message.status();
    return;
  }
  PeerMessage out;
  out.message = std::move(*message);
  if (!body.empty()) out.slices.push_back(std::move(body));
  listener->OnMessage(std::move(out));
}

void TcpTransport::Impl::OnClosed(MemberId id, PeerConnection* connection, const absl::Status& why,
                                  bool by_peer) {
  if (stopped) return;
  PeerState& state = peers.at(id);
  const bool dialed = state.dialed.get() == connection;
  if (dialed) state.dialed = nullptr;
  if (state.accepted.get() == connection) state.accepted = nullptr;
  if (state.log.Allow(clock->MonotonicNanos())) {
    LOG(INFO) << "peer transport: lost a connection with member " << id << ": " << why;
  }
  if (dialed && !state.dialing) {
    const uint64_t next = ++state.dial;
    state.backoff_ms = options.backoff_min_ms;
    After(random.Between(1, options.backoff_min_ms), [this, id, next] {
      if (CurrentDial(id, next)) Dial(id);
    });
  }
  if (!state.connected()) listener->OnDisconnected(id, by_peer);
}

void TcpTransport::Impl::SetSocketOptions(tcp::socket& socket) {
  asio::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  const int fd = socket.native_handle();
  const auto set = [fd](int level, int name, const void* value, size_t size) {
    // Only tuning: a kernel that lacks one of these still carries the bytes.
    (void)::setsockopt(fd, level, name, value, static_cast<socklen_t>(size));
  };
  set(IPPROTO_TCP, TCP_CONGESTION, options.congestion_control.data(),
      options.congestion_control.size());
  const int user_timeout = static_cast<int>(options.user_timeout_ms);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
  // The accepting side of a quiet connection learns by probes that the host is gone.
  const int on = 1, idle_s = 5, interval_s = 1, probes = 5;
  set(SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  set(IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  set(IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  set(IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

// ---- Sending ----

void TcpTransport::Impl::Send(MemberId to, PeerMessage message) {
  const auto found = peers.find(to);
  if (stopped || found == peers.end()) return;
  const LinkFaults& faults = found->second.faults;
  if (!faults.Any()) {
    SendNow(to, message);
    return;
  }
  if (random.Chance(faults.drop)) return;
  const int copies = random.Chance(faults.duplicate) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    int64_t delay = random.Between(faults.min_delay_nanos, faults.max_delay_nanos);
    if (random.Chance(faults.reorder)) delay += random.Between(0, 5 * kNanosPerMilli);
    if (delay == 0) {
      SendNow(to, message);
      continue;
    }
    loop->RunAfter(delay, [weak = weak_from_this(), to, message] {
      const auto self = weak.lock();
      if (self != nullptr && !self->stopped) self->SendNow(to, message);
    });
  }
}

void TcpTransport::Impl::SendNow(MemberId to, const PeerMessage& message) {
  const PeerState& state = peers.at(to);
  const ConnectionPtr& connection = state.dialed != nullptr ? state.dialed : state.accepted;
  if (connection == nullptr) return;
  size_t body_size = 0;
  for (const Bytes& slice : message.slices) body_size += slice.size();
  connection->Send(EncodePeerFrame(PeerFrameKind::kMessage, EncodePeerMessage(message.message),
                                   static_cast<uint32_t>(body_size)),
                   message.slices);
}

void TcpTransport::Impl::Stop() {
  if (std::exchange(stopped, true)) return;
  asio::error_code ignored;
  acceptor.close(ignored);
  resolver.cancel();
  for (const ConnectionPtr& connection : at_door) connection->Close();
  at_door.clear();
  for (auto& [id, state] : peers) {
    for (ConnectionPtr* connection : {&state.dialed, &state.accepted, &state.greeting}) {
      if (*connection != nullptr) (*connection)->Close();
      *connection = nullptr;
    }
    if (state.connecting != nullptr) state.connecting->close(ignored);
    state.connecting = nullptr;
  }
}

// ---- TcpTransport ----

absl::StatusOr<std::unique_ptr<TcpTransport>> TcpTransport::Create(EventLoop* loop, Clock* clock,
                                                                   Random random,
                                                                   TcpTransportOptions options) {
  CHECK_NE(options.boot_id, 0u) << "a boot id is drawn at each start";
  auto impl = std::make_shared<Impl>(loop, clock, random, std::move(options));
  RAFTMQ_RETURN_IF_ERROR(impl->Bind());
  return std::unique_ptr<TcpTransport>(new TcpTransport(std::move(impl)));
}

TcpTransport::TcpTransport(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

TcpTransport::~TcpTransport() { impl_->Stop(); }

uint16_t TcpTransport::port() const { return impl_->port; }

absl::Status TcpTransport::Start(TransportListener* listener, std::vector<Peer> peers) {
  impl_->listener = listener;
  for (Peer& peer : peers) {
    const MemberId id = peer.id;
    RAFTMQ_RETURN_IF_ERROR(SplitHostPort(peer.address).status());
    impl_->peers[id].peer = std::move(peer);
  }
  impl_->Accept();
  for (const auto& [id, state] : impl_->peers) impl_->Dial(id);
  return absl::OkStatus();
}

void TcpTransport::Send(MemberId to, PeerMessage message) { impl_->Send(to, std::move(message)); }

void TcpTransport::Stop() { impl_->Stop(); }

void TcpTransport::SetLinkFaults(MemberId peer, LinkFaults faults) {
  const auto found = impl_->peers.find(peer);
  if (found != impl_->peers.end()) found->second.faults = faults;
}

}  // namespace raftmq::dledger
