// MessageIdGenerator: RocketMQ's message id, V1 form: 34 upper-case hexadecimal characters for
// version 01, a MAC address (6 bytes), the process id's low 2 bytes, seconds since
// 2021-01-01T00:00:00Z (4 bytes) and a counter (4 bytes), all big-endian.
//
// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace raftmq::client {

class MessageIdGenerator {
 public:
  // `node`: 6 bytes that tell this machine from others. Seconds are those of construction, so ids
  // of one generator differ by the counter alone.
  MessageIdGenerator(std::array<uint8_t, 6> node, uint16_t process, const Clock* clock);

  // With this machine's first MAC address (random bytes if it has none) and process id.
  static MessageIdGenerator ForThisProcess(const Clock* clock);

  std::string Next();

  MessageIdGenerator(const MessageIdGenerator& other)
      : prefix_(other.prefix_), counter_(other.counter_.load()) {}

 private:
  std::string prefix_;  // 26 characters
  std::atomic<uint32_t> counter_{0};
};

}  // namespace raftmq::client
