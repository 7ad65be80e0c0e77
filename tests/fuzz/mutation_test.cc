// Drives a fuzz target without libFuzzer: every truncation and single bit flip of its seeds, then
// random mutations. FUZZ_SEED replays a run, FUZZ_ROUNDS makes it longer.

#include <cstdlib>

#include "base/random.h"
#include "gtest/gtest.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {
namespace {

TEST(Fuzz, EveryTruncationOfAValidInputIsSurvived) {
  for (const std::string& seed : Seeds()) {
    for (size_t size = 0; size <= seed.size(); ++size) FuzzOne(seed.substr(0, size));
  }
}

TEST(Fuzz, EverySingleBitFlipIsSurvived) {
  for (const std::string& seed : Seeds()) {
    std::string bytes = seed;
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
      FuzzOne(bytes);
      bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    }
  }
}

std::string Mutate(std::string bytes, const std::vector<std::string>& seeds, Random& random) {
  static constexpr uint8_t kInteresting[] = {0, 1, 0x7f, 0x80, 0xff};
  for (uint64_t times = random.Below(6) + 1; times > 0; --times) {
    const size_t at = bytes.empty() ? 0 : random.Below(bytes.size());
    switch (random.Below(5)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<char>(random.Next());
        break;
      case 1:
        if (!bytes.empty()) bytes[at] = static_cast<char>(kInteresting[random.Below(5)]);
        break;
      case 2:
        bytes.erase(at, random.Below(16));
        break;
      case 3:
        bytes.insert(at, random.Below(16), static_cast<char>(random.Next()));
        break;
      default: {
        const std::string& other = seeds[random.Below(seeds.size())];
        bytes = bytes.substr(0, at) + other.substr(random.Below(other.size() + 1));
      }
    }
  }
  return bytes;
}

TEST(Fuzz, RandomMutationsAreSurvived) {
  const char* seed_text = std::getenv("FUZZ_SEED");
  const char* rounds_text = std::getenv("FUZZ_ROUNDS");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 20'260'101;
  const int rounds = rounds_text != nullptr ? std::atoi(rounds_text) : 50'000;
  SCOPED_TRACE(seed);
  std::fprintf(stderr, "replay: FUZZ_SEED=%llu\n", static_cast<unsigned long long>(seed));
  Random random(seed);
  const std::vector<std::string> seeds = Seeds();
  for (int i = 0; i < rounds; ++i) {
    FuzzOne(Mutate(seeds[random.Below(seeds.size())], seeds, random));
  }
}

}  // namespace
}  // namespace raftmq::fuzz
