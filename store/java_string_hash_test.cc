#include "store/java_string_hash.h"

#include <limits>

#include "gtest/gtest.h"

namespace raftmq::store {
namespace {

TEST(JavaStringHash, AgreesWithJava) {
  EXPECT_EQ(JavaStringHash(""), 0);
  EXPECT_EQ(JavaStringHash("a"), 97);
  EXPECT_EQ(JavaStringHash("hello"), 99162322);
  EXPECT_EQ(JavaStringHash("Aa"), JavaStringHash("BB"));
  EXPECT_EQ(JavaStringHash("TagA"), 2598919);
  EXPECT_EQ(JavaStringHash("TopicTest#key1"), -1655984460);
  EXPECT_EQ(JavaStringHash("polygenelubricants"), std::numeric_limits<int32_t>::min());
}

TEST(JavaStringHash, ContinuesOverPieces) {
  EXPECT_EQ(JavaStringHash("key1", JavaStringHash("#", JavaStringHash("TopicTest"))),
            JavaStringHash("TopicTest#key1"));
}

TEST(JavaStringHash, CountsUtf16CodeUnits) {
  EXPECT_EQ(JavaStringHash("café"), 3045921);
  EXPECT_EQ(JavaStringHash("标签"), 857175);
  // Two code units: a surrogate pair.
  EXPECT_EQ(JavaStringHash("😀"), 0xD83D * 31 + 0xDE00);
}

TEST(JavaStringHash, WhatIsNotUtf8CountsAsReplacementCharacters) {
  EXPECT_EQ(JavaStringHash("\xFF"), 0xFFFD);
  EXPECT_EQ(JavaStringHash("\xE6\xA0"), 0xFFFD);                // cut off
  EXPECT_EQ(JavaStringHash("\xC0\x80"), 0xFFFD * 31 + 0xFFFD);  // overlong
  EXPECT_EQ(JavaStringHash("\xE6"
                           "a"),
            0xFFFD * 31 + 'a');
}

TEST(TagHash, IsSignExtended) {
  EXPECT_EQ(TagHash("TopicTest#key1"), int64_t{-1655984460});
  EXPECT_EQ(TagHash(""), 0);
}

}  // namespace
}  // namespace raftmq::store
