#include "client/mqadmin/charset.h"

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::mqadmin {
namespace {

using testing::HasSubstr;

TEST(Charset, TextBecomesUtf8) {
  EXPECT_EQ(ToUtf8("plain", "UTF-8").value(), "plain");
  EXPECT_EQ(ToUtf8("Zo\xEB", "ISO-8859-1").value(), "Zoë");
  EXPECT_EQ(ToUtf8(std::string("a\0b\0", 4), "UTF-16LE").value(), "ab");
  EXPECT_EQ(ToUtf8("", "UTF-8").value(), "");
}

TEST(Charset, LongTextIsWhole) {
  const std::string text(10'000, '\xEB');
  EXPECT_EQ(ToUtf8(text, "ISO-8859-1").value().size(), 20'000);
}

TEST(Charset, WhatIsNoTextIsMarked) {
  EXPECT_EQ(ToUtf8("a\xFF"
                   "b",
                   "UTF-8")
                .value(),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(ToUtf8("a\xC3", "UTF-8").value(), "a\xEF\xBF\xBD") << "a character that is cut off";
}

TEST(Charset, AnUnknownCharsetIsRefused) {
  const auto text = ToUtf8("a", "KLINGON");
  ASSERT_FALSE(text.ok());
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("KLINGON"));
}

}  // namespace
}  // namespace raftmq::mqadmin
