#include "base/random.h"

#include <random>

namespace raftmq {

Random Random::FromEntropy() {
  std::random_device device;
  return Random((static_cast<uint64_t>(device()) << 32) ^ device());
}

}  // namespace raftmq
