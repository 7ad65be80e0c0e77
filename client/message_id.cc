#include "client/message_id.h"

#include <ifaddrs.h>
#include <netpacket/packet.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/random.h"

namespace raftmq::client {
namespace {

constexpr int64_t kEpoch2021Seconds = 1'609'459'200;

std::array<uint8_t, 6> FirstMacAddress() {
  std::array<uint8_t, 6> mac{};
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) == 0) {
    for (ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
      if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_PACKET) continue;
      const auto* link = reinterpret_cast<const sockaddr_ll*>(i->ifa_addr);
      if (link->sll_halen != 6) continue;
      std::memcpy(mac.data(), link->sll_addr, 6);
      if (mac != std::array<uint8_t, 6>{}) break;
    }
    ::freeifaddrs(list);
  }
  if (mac == std::array<uint8_t, 6>{}) {
    const uint64_t chance = Random::FromEntropy().Next();
    std::memcpy(mac.data(), &chance, 6);
  }
  return mac;
}

}  // namespace

MessageIdGenerator::MessageIdGenerator(std::array<uint8_t, 6> node, uint16_t process,
                                       const Clock* clock) {
  const uint32_t seconds = static_cast<uint32_t>(clock->WallMillis() / 1000 - kEpoch2021Seconds);
  char text[27];
  std::snprintf(text, sizeof(text), "01%02X%02X%02X%02X%02X%02X%04X%08X", node[0], node[1], node[2],
                node[3], node[4], node[5], process, seconds);
  prefix_ = text;
}

MessageIdGenerator MessageIdGenerator::ForThisProcess(const Clock* clock) {
  return MessageIdGenerator(FirstMacAddress(), static_cast<uint16_t>(::getpid()), clock);
}

std::string MessageIdGenerator::Next() {
  char counter[9];
  std::snprintf(counter, sizeof(counter), "%08X", counter_.fetch_add(1, std::memory_order_relaxed));
  return prefix_ + counter;
}

}  // namespace raftmq::client
