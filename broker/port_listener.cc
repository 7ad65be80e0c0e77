#include "broker/port_listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio.hpp>
#include <atomic>
#include <condition_variable>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/event_loop_asio.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::broker {
namespace {

using asio::ip::tcp;

constexpr unsigned char kTlsHandshake = 0x16;

// Whether this end of the connection was closed by the one it was handed to, so that only our
// second descriptor keeps it.
bool ClosedByOwner(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  enum State { kEstablished = 1, kCloseWait = 8 };
  return info.tcpi_state != kEstablished && info.tcpi_state != kCloseWait;
}

// An IPv4 client of an IPv6 socket is an IPv4 client, as gRPC says too.
asio::ip::address Plain(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

std::string Text(const tcp::endpoint& endpoint) {
  const asio::ip::address address = Plain(endpoint.address());
  return address.is_v6() ? StrCat("[", address.to_string(), "]:", endpoint.port())
                         : StrCat(address.to_string(), ":", endpoint.port());
}

}  // namespace

struct PortListener::Impl : std::enable_shared_from_this<PortListener::Impl> {
  explicit Impl(Options o) : options(std::move(o)) {}

  // A connection whose first byte has not come yet.
  struct Silent {
    Silent(tcp::socket s, asio::io_context& io) : socket(std::move(s)), timer(io) {}
    tcp::socket socket;
    asio::steady_timer timer;
  };

  const Options options;
  asio::io_context bind_io;  // until Start gives us the loop's
  std::unique_ptr<tcp::acceptor> acceptor;
  int port = 0;
  Sink sink;
  asio::io_context* io = nullptr;
  std::unique_ptr<asio::steady_timer> sweep_timer;
  size_t silent = 0;
  bool accepting = false;

  // The second descriptor of a connection.
  struct Kept {
    int fd = -1;
    bool for_operator = false;
  };

  std::mutex mutex;
  std::map<std::string, Kept> kept;  // by the other end
  std::atomic<bool> penalty{false};  // a client of this machine was just sent off
  std::atomic<bool> refusing{false};

  void Accept() {
    acceptor->async_accept(
        [self = shared_from_this()](const asio::error_code& error, tcp::socket socket) {
          if (!self->accepting) return;
          if (!error) {
            self->Accepted(std::move(socket));
          } else if (error != asio::error::connection_aborted) {
            LOG_EVERY_N(ERROR, 100) << "accepting a client: " << error.message();
            // Out of descriptors, most likely: give them time to be freed.
            return self->AcceptLater();
          }
          self->Accept();
        });
  }

  void AcceptLater() {
    auto timer = std::make_shared<asio::steady_timer>(*io, std::chrono::milliseconds(100));
    timer->async_wait([self = shared_from_this(), timer](const asio::error_code&) {
      if (self->accepting) self->Accept();
    });
  }

  bool Admits(const tcp::endpoint& peer) const {
    return !refusing.load() || (Plain(peer.address()).is_loopback() && !penalty.load());
  }

  void Accepted(tcp::socket socket) {
    bool full;
    {
      std::lock_guard lock(mutex);
      full = kept.size() + silent >= options.max_connections;
    }
    asio::error_code unknown;
    const tcp::endpoint peer = socket.remote_endpoint(unknown);
    if (unknown || !Admits(peer) || full || silent >= options.max_silent) return;  // closed
    ++silent;
    auto connection = std::make_shared<Silent>(std::move(socket), *io);
    connection->timer.expires_after(std::chrono::milliseconds(options.first_byte_ms));
    connection->timer.async_wait([connection](const asio::error_code& error) {
      asio::error_code ignored;
      if (!error) connection->socket.close(ignored);
    });
    connection->socket.async_wait(tcp::socket::wait_read, [self = shared_from_this(), connection](
                                                              const asio::error_code& error) {
      connection->timer.cancel();
      --self->silent;
      if (!error) self->Peek(&connection->socket);
    });
  }

  void Peek(tcp::socket* socket) {
    unsigned char first = 0;
    asio::error_code error;
    const tcp::endpoint peer = socket->remote_endpoint(error);
    if (error || !accepting || !Admits(peer) ||
        recv(socket->native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) {
      return;  // closed
    }
    const int fd = socket->release(error);
    if (error) return;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    const int second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (second >= 0) {
      std::lock_guard lock(mutex);
      const auto [it, fresh] = kept.try_emplace(Text(peer), Kept{second, false});
      if (!fresh) {  // an earlier connection from the same port, which must be over
        close(it->second.fd);
        it->second = Kept{second, false};
      }
    }
    sink(fd, first == kTlsHandshake);
    // Checked again: SetRefusing may have closed what it knew just before this one.
    if (!Admits(peer)) Close(Text(peer));
  }

  void Sweep() {
    sweep_timer->expires_after(std::chrono::milliseconds(options.sweep_ms));
    sweep_timer->async_wait([self = shared_from_this()](const asio::error_code& error) {
      if (error) return;
      {
        std::lock_guard lock(self->mutex);
        for (auto it = self->kept.begin(); it != self->kept.end();) {
          if (ClosedByOwner(it->second.fd)) {
            close(it->second.fd);
            it = self->kept.erase(it);
          } else {
            ++it;
          }
        }
      }
      self->Sweep();
    });
  }

  void CloseClients() {
    std::lock_guard lock(mutex);
    for (auto it = kept.begin(); it != kept.end();) {
      it = it->second.for_operator ? std::next(it) : Close(it);
    }
  }

  void Close(const std::string& peer) {
    std::lock_guard lock(mutex);
    if (const auto it = kept.find(peer); it != kept.end()) Close(it);
  }

  // Under the lock.
  std::map<std::string, Kept>::iterator Close(std::map<std::string, Kept>::iterator it) {
    shutdown(it->second.fd, SHUT_RDWR);
    close(it->second.fd);
    return kept.erase(it);
  }

  // On the loop.
  void EndPenaltyLater() {
    auto timer =
        std::make_shared<asio::steady_timer>(*io, std::chrono::milliseconds(options.penalty_ms));
    timer->async_wait([self = shared_from_this(), timer](const asio::error_code&) {
      self->penalty.store(false);
    });
  }
};

absl::StatusOr<std::unique_ptr<PortListener>> PortListener::Bind(Options options) {
  auto impl = std::make_shared<Impl>(std::move(options));
  const std::string address = StrCat(impl->options.host, ":", impl->options.port);
  asio::error_code error;
  tcp::resolver resolver(impl->bind_io);
  const auto found =
      resolver.resolve(impl->options.host, StrCat(impl->options.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return absl::UnavailableError(
        StrCat("cannot resolve the listening address ", address, ": ", error.message()));
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  impl->acceptor = std::make_unique<tcp::acceptor>(impl->bind_io);
  impl->acceptor->open(endpoint.protocol(), error);
  if (!error) impl->acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) impl->acceptor->bind(endpoint, error);
  if (!error) impl->acceptor->listen(1024, error);
  if (error) {
    return absl::UnavailableError(StrCat("cannot listen on ", address, ": ", error.message(),
                                         ": is the port taken by another process?"));
  }
  impl->port = impl->acceptor->local_endpoint().port();
  return std::unique_ptr<PortListener>(new PortListener(std::move(impl)));
}

PortListener::PortListener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

PortListener::~PortListener() {
  std::lock_guard lock(impl_->mutex);
  for (const auto& [peer, connection] : impl_->kept) close(connection.fd);
  impl_->kept.clear();
}

int PortListener::port() const { return impl_->port; }

void PortListener::Start(EventLoop* loop, Sink sink) {
  impl_->sink = std::move(sink);
  impl_->io = &loop->impl()->io;
  // Moves the listening socket to the loop.
  const tcp protocol = impl_->acceptor->local_endpoint().protocol();
  const int fd = impl_->acceptor->release();
  impl_->acceptor = std::make_unique<tcp::acceptor>(*impl_->io, protocol, fd);
  impl_->sweep_timer = std::make_unique<asio::steady_timer>(*impl_->io);
  loop->Post([impl = impl_] {
    impl->accepting = true;
    impl->Accept();
    impl->Sweep();
  });
}

void PortListener::SetRefusing(bool refusing) {
  const bool was = impl_->refusing.exchange(refusing);
  if (refusing && !was) impl_->CloseClients();
}

void PortListener::KeepForOperator(const std::string& peer) {
  std::lock_guard lock(impl_->mutex);
  if (const auto it = impl_->kept.find(peer); it != impl_->kept.end()) {
    it->second.for_operator = true;
  }
}

void PortListener::CloseClient(const std::string& peer) {
  impl_->Close(peer);
  if (impl_->penalty.exchange(true)) return;
  asio::post(*impl_->io, [impl = impl_] { impl->EndPenaltyLater(); });
}

void PortListener::Stop() {
  if (impl_->io == nullptr) return;
  struct Wait {
    std::mutex mutex;
    std::condition_variable done;
    bool stopped = false;
  };
  auto wait = std::make_shared<Wait>();
  asio::post(*impl_->io, [impl = impl_, wait] {
    impl->accepting = false;
    asio::error_code ignored;
    impl->acceptor->close(ignored);
    impl->sweep_timer->cancel();
    std::lock_guard lock(wait->mutex);
    wait->stopped = true;
    wait->done.notify_all();
  });
  std::unique_lock lock(wait->mutex);
  wait->done.wait(lock, [&] { return wait->stopped; });
}

size_t PortListener::connections() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->kept.size();
}

}  // namespace raftmq::broker
