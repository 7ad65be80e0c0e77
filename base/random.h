// Random: the only source of chance, so that a run can be repeated from its seed.
//
// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, equidistributed, fast. Not for secrets.
// Not thread-safe: each owner has its own, forked with Fork().
#pragma once

#include <cstdint>

namespace raftmq {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // Seeded from the operating system; for production wiring only.
  static Random FromEntropy();

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  // Uniform in [0, n). REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return Next() % n; }

  // Uniform in [lo, hi], both included. REQUIRES: lo <= hi.
  int64_t Between(int64_t lo, int64_t hi) {
    return lo + static_cast<int64_t>(Below(static_cast<uint64_t>(hi - lo) + 1));
  }

  // True with probability `p`.
  bool Chance(double p) { return static_cast<double>(Next() >> 11) * 0x1.0p-53 < p; }

  // An independent generator, for a part that draws at its own pace.
  Random Fork() { return Random(Next()); }

 private:
  uint64_t state_;
};

}  // namespace raftmq
