#include "client/message_id.h"

#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

class FixedClock final : public Clock {
 public:
  // 2021-01-01T00:00:00Z and 4660 (0x1234) seconds.
  int64_t WallMillis() const override { return (1'609'459'200 + 0x1234) * 1000LL; }
  int64_t MonotonicNanos() const override { return 0; }
};

TEST(MessageId, HasRocketMqsV1Form) {
  FixedClock clock;
  MessageIdGenerator ids({0xAB, 0x01, 0x02, 0x03, 0x04, 0xEF}, 0xBEEF, &clock);
  EXPECT_EQ(ids.Next(), "01AB01020304EFBEEF0000123400000000");
  EXPECT_EQ(ids.Next(), "01AB01020304EFBEEF0000123400000001");
}

TEST(MessageId, OfThisMachineHas34Characters) {
  MessageIdGenerator ids = MessageIdGenerator::ForThisProcess(SystemClock());
  EXPECT_EQ(ids.Next().size(), 34u);
}

}  // namespace
}  // namespace raftmq::client
