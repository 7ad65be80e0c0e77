#include "raft/types.h"

#include "gtest/gtest.h"

namespace raftmq::raft {
namespace {

constexpr int64_t kSegment = 1000;

int64_t Place(int64_t end, int64_t size) {
  return PlaceFrame(LogPosition(end), size, kSegment).value();
}

TEST(PlaceFrame, FollowsTheLastFrameIfItFits) {
  EXPECT_EQ(Place(0, 100), 0);
  EXPECT_EQ(Place(100, 250), 100);
  EXPECT_EQ(Place(3200, 48), 3200);
}

TEST(PlaceFrame, MayFillASegmentExactly) { EXPECT_EQ(Place(900, 100), 900); }

TEST(PlaceFrame, GoesToTheNextSegmentIfItDoesNotFit) {
  EXPECT_EQ(Place(900, 101), 1000);
  EXPECT_EQ(Place(1900, 250), 2000);
}

TEST(PlaceFrame, NeverLeavesARestTooSmallForABlankFrame) {
  EXPECT_EQ(Place(852, 100), 852);   // leaves 48
  EXPECT_EQ(Place(853, 100), 1000);  // would leave 47
  EXPECT_EQ(Place(899, 100), 1000);  // would leave 1
}

TEST(PlaceFrame, StartsASegmentThatTheLastFrameEndedAt) { EXPECT_EQ(Place(2000, 100), 2000); }

TEST(PlaceFrame, KeepsItsPromiseFromAnyEndThatItProducedItself) {
  LogPosition end{0};
  for (int64_t i = 0; i < 100000; ++i) {
    const int64_t size = kFrameHeaderSize + (i * 7919) % (MaxFrameSize(kSegment) - 47);
    const LogPosition at = PlaceFrame(end, size, kSegment);
    const int64_t gap = at - end;
    ASSERT_TRUE(gap == 0 || gap >= kFrameHeaderSize) << gap;
    ASSERT_TRUE(gap == 0 || at.value() % kSegment == 0);
    ASSERT_EQ(at.value() / kSegment, (at + size - 1).value() / kSegment);
    end = at + size;
  }
}

}  // namespace
}  // namespace raftmq::raft
