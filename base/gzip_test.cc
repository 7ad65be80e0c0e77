#include "base/gzip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

namespace raftmq {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMax = 1 << 20;

std::string Text(size_t bytes) {
  std::string text;
  for (int i = 0; text.size() < bytes; ++i) text += std::to_string(i * 7919) + " ";
  text.resize(bytes);
  return text;
}

// What RocketMQ's classic clients send: RFC 1950.
std::string ZlibOf(const std::string& body) {
  uLongf size = compressBound(body.size());
  std::string out(size, '\0');
  EXPECT_EQ(compress(reinterpret_cast<Bytef*>(out.data()), &size,
                     reinterpret_cast<const Bytef*>(body.data()), body.size()),
            Z_OK);
  out.resize(size);
  return out;
}

TEST(Gzip, WhatIsCompressedComesBack) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{4'096}, size_t{300'000}}) {
    const std::string body = Text(bytes);
    for (const int level : {1, 5, 9}) {
      const std::string smaller = GzipCompress(body, level);
      EXPECT_EQ(smaller, GzipCompress(body, level)) << "a repeated send has the same body";
      const auto back = GzipDecompress(smaller, kMax);
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_EQ(*back, body);
    }
  }
}

TEST(Gzip, ItIsGzipAndZlibIsReadToo) {
  const std::string body = Text(10'000);
  const std::string gzip = GzipCompress(body, 5);
  EXPECT_EQ(gzip.substr(0, 2), "\x1f\x8b");
  EXPECT_LT(gzip.size(), body.size() / 2);
  EXPECT_EQ(*GzipDecompress(ZlibOf(body), kMax), body);
}

TEST(Gzip, WhatIsNotCompressedOrCutShortIsAnError) {
  const std::string gzip = GzipCompress(Text(10'000), 5);
  for (const std::string& bad : {std::string(), std::string("plain text"), gzip.substr(0, 1),
                                 gzip.substr(0, 100), gzip.substr(0, gzip.size() - 1)}) {
    const absl::Status status = GzipDecompress(bad, kMax).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.size();
  }
  std::string flipped = gzip;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_FALSE(GzipDecompress(flipped, kMax).ok()) << "gzip has a checksum";
}

TEST(Gzip, ASmallBodyThatBecomesHugeIsRefused) {
  const std::string bomb = GzipCompress(std::string(50 << 20, '\0'), 9);
  EXPECT_LT(bomb.size(), 100'000u);
  const absl::Status status = GzipDecompress(bomb, kMax).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 1048576 bytes"));
  EXPECT_EQ(GzipDecompress(GzipCompress(std::string(kMax, 'x'), 5), kMax)->size(), kMax);
}

}  // namespace
}  // namespace raftmq
