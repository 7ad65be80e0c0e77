#include "base/testing/reserved_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::Lt;
using ::testing::Not;

// A listening socket at the port, or -1.
int Listen(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      ::listen(fd, 1) == 0) {
    return fd;
  }
  ::close(fd);
  return -1;
}

// Another process: answers each byte with a port that it reserved.
class Other {
 public:
  Other() {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends_), 0);
    pid_ = ::fork();
    if (pid_ != 0) {
      ::close(ends_[1]);
      return;
    }
    ::close(ends_[0]);
    char byte;
    while (::read(ends_[1], &byte, 1) == 1) {
      const uint16_t port = ReservePort();
      if (::write(ends_[1], &port, sizeof(port)) != sizeof(port)) break;
    }
    ::_exit(0);
  }
  ~Other() { End(); }

  uint16_t Reserve() {
    uint16_t port = 0;
    EXPECT_EQ(::write(ends_[0], "?", 1), 1);
    EXPECT_EQ(::read(ends_[0], &port, sizeof(port)), static_cast<ssize_t>(sizeof(port)));
    return port;
  }

  void End() {
    if (pid_ == 0) return;
    ::close(ends_[0]);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  int ends_[2];
  pid_t pid_;
};

TEST(ReservedPorts, AreNotOnesThatTheKernelPicks) {
  int first_ephemeral = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first_ephemeral;
  if (first_ephemeral < 11'000) GTEST_SKIP() << "this machine's range leaves no room";
  EXPECT_THAT(ReservePorts(20), Each(Lt(first_ephemeral)));
}

TEST(ReservedPorts, AServerCanListenOnEachAgainAndAgain) {
  for (const uint16_t port : ReservePorts(5)) {
    for (int i = 0; i < 3; ++i) {
      const int fd = Listen(port);
      EXPECT_GE(fd, 0) << port;
      ::close(fd);
    }
  }
}

TEST(ReservedPorts, AreNotGivenToTwoProcesses) {
  Other other;  // begins where this one began: the descriptors are shared, but not what is held
  std::vector<uint16_t> theirs;
  std::vector<uint16_t> ours;
  for (int i = 0; i < 20; ++i) {
    theirs.push_back(other.Reserve());
    ours.push_back(ReservePort());
  }
  std::sort(theirs.begin(), theirs.end());
  EXPECT_EQ(std::unique(theirs.begin(), theirs.end()), theirs.end());
  for (const uint16_t port : ours) EXPECT_THAT(theirs, Not(Contains(port)));
}

TEST(ReservedPorts, AreFreeAgainWhenTheirProcessEnds) {
  for (int i = 0; i < 30; ++i) {  // 1,500 ports; there are 1,000
    Other other;
    for (int k = 0; k < 50; ++k) ASSERT_NE(other.Reserve(), 0) << "process " << i;
  }
}

TEST(ReservedPorts, OneThatAStrangerListensOnIsPassedOver) {
  int stranger = -1;
  uint16_t port = 0;
  while (stranger < 0) {  // a test beside this one may be quicker
    port = Other().Reserve();
    stranger = Listen(port);
  }
  Other other;
  for (int i = 0; i < 20; ++i) EXPECT_NE(other.Reserve(), port);
  ::close(stranger);
}

}  // namespace
}  // namespace raftmq
