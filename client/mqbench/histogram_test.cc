#include "client/mqbench/histogram.h"

#include "gtest/gtest.h"

namespace raftmq::mqbench {
namespace {

TEST(Histogram, PercentilesOfAKnownSpreadAreWithinABucket) {
  Histogram h;
  for (int i = 1; i <= 100'000; ++i) h.Record(i);
  EXPECT_EQ(h.count(), 100'000);
  EXPECT_EQ(h.max(), 100'000);
  EXPECT_NEAR(h.mean(), 50'000.5, 0.01);
  EXPECT_NEAR(h.Percentile(0.5), 50'000, 50'000 * 0.016);
  EXPECT_NEAR(h.Percentile(0.999), 99'900, 99'900 * 0.016);
  EXPECT_EQ(h.Percentile(1.0), 100'000);
}

TEST(Histogram, SmallValuesAreExactAndHugeOnesAreNotLost) {
  Histogram h;
  EXPECT_EQ(h.Percentile(0.5), 0);
  h.Record(7);
  EXPECT_EQ(h.Percentile(0.5), 7);
  h.Record(-5);
  h.Record(int64_t{1} << 50);
  EXPECT_EQ(h.count(), 3);
  EXPECT_EQ(h.max(), int64_t{1} << 50);
}

TEST(Histogram, AddJoinsTwo) {
  Histogram a;
  Histogram b;
  a.Record(10);
  b.Record(1000);
  a.Add(b);
  EXPECT_EQ(a.count(), 2);
  EXPECT_EQ(a.max(), 1000);
}

}  // namespace
}  // namespace raftmq::mqbench
