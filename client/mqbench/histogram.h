// Histogram: latencies in buckets of at most 1.6 % width, from 1 µs to over an hour, in fixed
// memory (log-linear buckets, as HdrHistogram has them).
//
// Not thread-safe: each recorder has its own, Add joins them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace raftmq::mqbench {

class Histogram {
 public:
  void Record(int64_t micros) {
    const uint64_t v = micros < 0 ? 0 : static_cast<uint64_t>(micros);
    ++counts_[BucketOf(v)];
    ++total_;
    sum_ += v;
    if (v > max_) max_ = v;
  }

  void Add(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ += other.sum_;
    if (other.max_ > max_) max_ = other.max_;
  }

  int64_t count() const { return static_cast<int64_t>(total_); }
  double mean() const { return total_ == 0 ? 0 : static_cast<double>(sum_) / total_; }
  int64_t max() const { return static_cast<int64_t>(max_); }

  // The smallest recorded value (rounded up to its bucket's end) that at least `fraction` of all
  // values do not exceed; 0 if nothing was recorded.
  int64_t Percentile(double fraction) const {
    if (total_ == 0) return 0;
    uint64_t wanted = static_cast<uint64_t>(fraction * static_cast<double>(total_) + 0.5);
    if (wanted < 1) wanted = 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return static_cast<int64_t>(EndOf(i) < max_ ? EndOf(i) : max_);
    }
    return max();
  }

 private:
  static constexpr int kSubBits = 6;  // 64 buckets for each power of two
  static constexpr int kPowers = 34;

  static size_t BucketOf(uint64_t v) {
    if (v < (1u << kSubBits)) return v;
    const int power = std::bit_width(v) - 1 - kSubBits;
    const size_t index =
        (static_cast<size_t>(power + 1) << kSubBits) + ((v >> power) - (1u << kSubBits));
    return index < kBuckets ? index : kBuckets - 1;
  }
  static uint64_t EndOf(size_t index) {
    if (index < (1u << kSubBits)) return index;
    const int power = static_cast<int>(index >> kSubBits) - 1;
    const uint64_t sub = (index & ((1u << kSubBits) - 1)) + (1u << kSubBits);
    return ((sub + 1) << power) - 1;
  }

  static constexpr size_t kBuckets = static_cast<size_t>(kPowers) << kSubBits;
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t total_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace raftmq::mqbench
