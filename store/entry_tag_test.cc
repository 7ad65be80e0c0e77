#include "store/entry_tag.h"

#include <gtest/gtest.h>

namespace raftmq::store {
namespace {

EntryTagFilter Of(std::string_view group, const std::vector<std::string>& tags = {}) {
  return {group, tags};
}

TEST(EntryTag, OfAMessageForAllGroupsIsItsTagsHashAlone) {
  EXPECT_EQ(EntryTag("TopicTest#key1", ""), int64_t{-1655984460});
  EXPECT_EQ(EntryTag("", ""), 0);
  for (const std::string tag : {"", "A", "TopicTest#key1"}) {
    EXPECT_FALSE(IsForOneGroup(EntryTag(tag, ""))) << tag;
    EXPECT_TRUE(IsForOneGroup(EntryTag(tag, "g"))) << tag;
  }
}

TEST(EntryTag, NeverChanges) {
  // They are on disks.
  EXPECT_EQ(EntryTag("", "billing"), int64_t{7662432246900457472});
  EXPECT_EQ(EntryTag("TopicTest#key1", "billing"), int64_t{7662432249539440308});
}

TEST(EntryTagFilter, PassesWhatIsForAllGroupsByItsTag) {
  EXPECT_TRUE(Of("g").MayPass(EntryTag("A", "")));
  EXPECT_TRUE(Of("g").MayPass(EntryTag("", "")));
  EXPECT_TRUE(Of("g", {"A", "B"}).MayPass(EntryTag("B", "")));
  EXPECT_FALSE(Of("g", {"A", "B"}).MayPass(EntryTag("C", "")));
  EXPECT_TRUE(EntryTagFilter().MayPass(EntryTag("C", "")));
}

TEST(EntryTagFilter, PassesWhatIsForOneGroupToThatGroupByItsTag) {
  for (const std::string tag : {"A", "", "TopicTest#key1"}) {
    const int64_t entry = EntryTag(tag, "g");
    EXPECT_TRUE(Of("g").MayPass(entry)) << tag;
    EXPECT_TRUE(Of("g", {"X", tag}).MayPass(entry)) << tag;
    EXPECT_FALSE(Of("g", {"X"}).MayPass(entry)) << tag;
    EXPECT_FALSE(Of("h").MayPass(entry)) << tag;
    EXPECT_FALSE(Of("h", {tag}).MayPass(entry)) << tag;
    EXPECT_FALSE(EntryTagFilter().MayPass(entry)) << tag;
  }
}

TEST(EntryTagFilter, PassesSeveralIfItPassesOneOfThem) {
  EXPECT_TRUE(Of("g", {"A"}).MayPassAny({EntryTag("A", "h"), EntryTag("A", "")}));
  EXPECT_FALSE(Of("g", {"A"}).MayPassAny({EntryTag("A", "h"), EntryTag("B", "g")}));
}

}  // namespace
}  // namespace raftmq::store
