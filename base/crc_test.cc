#include "base/crc.h"

#include <string>

#include "gtest/gtest.h"

namespace raftmq {
namespace {

TEST(Crc, MatchesThePublishedCheckValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32("123456789"), 0xCBF43926u);
}

TEST(Crc, RocketMqBodyCrcIsMaskedTo31Bits) { EXPECT_EQ(RocketBodyCrc("123456789"), 0x4BF43926u); }

TEST(Crc, ContinuesOverPieces) {
  const std::string all = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    EXPECT_EQ(Crc32c(all.substr(cut), Crc32c(all.substr(0, cut))), Crc32c(all));
    EXPECT_EQ(Crc32(all.substr(cut), Crc32(all.substr(0, cut))), Crc32(all));
  }
}

}  // namespace
}  // namespace raftmq
