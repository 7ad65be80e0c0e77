#include "base/testing/reserved_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/strings.h"

namespace raftmq {
namespace {

// Below the usual ephemeral range (32768 and up), and below what deploy/local picks for its
// clusters.
constexpr int kFirst = 10'000;
constexpr int kEnd = 11'000;

template <typename Address>
bool Bind(int fd, const Address& address, size_t size) {
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) == 0;
}

// The descriptor that holds the port, or nothing if another process does.
std::optional<int> Lock(int port) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  // A leading zero byte: no file, gone when the last descriptor is closed.
  const std::string text = StrCat("raftmq-port-", port);
  std::memcpy(name.sun_path + 1, text.data(), text.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && Bind(fd, name, offsetof(sockaddr_un, sun_path) + 1 + text.size())) return fd;
  if (fd >= 0) ::close(fd);
  return std::nullopt;
}

// Whether nobody who does not reserve here listens on it.
bool IsFree(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const int one = 1;  // as servers do: ended connections of an earlier holder are no obstacle
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool is_free = Bind(fd, address, sizeof(address));
  ::close(fd);
  return is_free;
}

}  // namespace

uint16_t ReservePort() {
  static std::mutex mutex;
  static int next = kFirst;
  std::lock_guard guard(mutex);
  while (next < kEnd) {
    const int port = next++;
    const std::optional<int> lock = Lock(port);
    if (!lock) continue;
    if (IsFree(port)) return static_cast<uint16_t>(port);  // the lock stays open
    ::close(*lock);
  }
  std::fprintf(stderr, "no port between %d and %d is left to reserve for a test\n", kFirst, kEnd);
  std::abort();
}

std::vector<uint16_t> ReservePorts(size_t count) {
  std::vector<uint16_t> ports;
  for (size_t i = 0; i < count; ++i) ports.push_back(ReservePort());
  return ports;
}

std::vector<std::string> ReserveAddresses(size_t count) {
  std::vector<std::string> addresses;
  for (const uint16_t port : ReservePorts(count)) addresses.push_back(StrCat("127.0.0.1:", port));
  return addresses;
}

}  // namespace raftmq
