#include "dledger/identity.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/random.h"
#include "base/strings.h"
#include "base/testing/memory_file_system.h"
#include "dledger/hard_state_file.h"
#include "dledger/log_files.h"

namespace raftmq::dledger {
namespace {

constexpr char kDir[] = "/var/raftmq/store";

Identity MakeIdentity(int32_t member = 2) {
  return {.cluster = "DefaultCluster",
          .group = "broker-a",
          .member = MemberId(member),
          .incarnation = Incarnation(0xFEDCBA9876543210u + static_cast<uint64_t>(member)),
          .segment_size = 8192};
}

GroupConfiguration MakeConfiguration() {
  GroupConfiguration configuration;
  for (int32_t i = 1; i <= 3; ++i) {
    configuration.members.push_back({.id = MemberId(i),
                                     .name = StrCat("n", i - 1),
                                     .peer_address = StrCat("host", i, ":40911"),
                                     .incarnation = MakeIdentity(i).incarnation});
  }
  return configuration;
}

TEST(Identity, IsReadBackAsFormatted) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  const auto identity = ReadIdentity(&fs, kDir);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity, MakeIdentity());
  const auto layout = ReadLayout(&fs, kDir);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->generation, "/var/raftmq/store/gen-00000001");
}

TEST(Identity, AnUnformattedDirectoryNeverStarts) {
  MemoryFileSystem fs;
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadIdentity(&fs, kDir).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadLayout(&fs, kDir).status()));
  ASSERT_TRUE(fs.CreateDirs(kDir).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadIdentity(&fs, kDir).status()));
}

TEST(Identity, ADirectoryWithAnythingInItIsNotFormatted) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(FormatDirectory(&fs, kDir, MakeIdentity(3))));
  EXPECT_EQ(*ReadIdentity(&fs, kDir), MakeIdentity());
  ASSERT_TRUE(fs.CreateDirs("/other/something").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(FormatDirectory(&fs, "/other", MakeIdentity())));
}

TEST(Identity, ALockAndLostAndFoundAreNothing) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDirs("/mount/lost+found").ok());
  const auto lock = LockDirectory(&fs, "/mount");
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(FormatDirectory(&fs, "/mount", MakeIdentity()).ok());
}

TEST(Identity, OneProcessAtATime) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  const auto lock = LockDirectory(&fs, kDir);
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(LockDirectory(&fs, kDir).status()));
}

TEST(Identity, FieldsThatMakeNoSenseAreRefused) {
  MemoryFileSystem fs;
  const auto format = [&](auto change) {
    Identity identity = MakeIdentity();
    change(identity);
    return FormatDirectory(&fs, kDir, identity).code();
  };
  using enum absl::StatusCode;
  EXPECT_EQ(format([](Identity& i) { i.cluster = ""; }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.group = "a\nb"; }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.member = kNoMember; }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.incarnation = Incarnation(0); }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.segment_size = 1000; }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.segment_size = 4097; }), kInvalidArgument);
  EXPECT_EQ(format([](Identity& i) { i.segment_size = int64_t{1} << 31; }), kInvalidArgument);
  EXPECT_FALSE(*fs.Exists(kDir));
}

TEST(Identity, AFlippedBitMakesItUnreadable) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  fs.FlipBit(StrCat(kDir, "/identity"), 20, 1);
  EXPECT_TRUE(absl::IsDataLoss(ReadIdentity(&fs, kDir).status()));
}

TEST(Identity, ACrashWhileFormattingLeavesNothingOrAllOfIt) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (int64_t step = 0;; ++step) {
      MemoryFileSystem fs;
      Random random(seed);
      fs.HaltBefore(step);
      const bool formatted = FormatDirectory(&fs, kDir, MakeIdentity()).ok();
      const bool halted = fs.halted();
      fs.Crash(&random);
      const auto identity = ReadIdentity(&fs, kDir);
      ASSERT_TRUE(identity.ok() || !formatted) << "seed " << seed << " step " << step;
      if (identity.ok()) {
        EXPECT_EQ(*identity, MakeIdentity());
        EXPECT_TRUE(ReadLayout(&fs, kDir).ok()) << "seed " << seed << " step " << step;
        EXPECT_TRUE(BootstrapMember(&fs, kDir, MakeConfiguration()).ok());
      } else {
        EXPECT_TRUE(absl::IsFailedPrecondition(identity.status())) << identity.status();
      }
      if (!halted) break;
      ASSERT_LT(step, 100);
    }
  }
}

TEST(Bootstrap, GivesEveryMemberTheIdenticalFirstEntry) {
  std::string first_bytes;
  for (int32_t member = 1; member <= 3; ++member) {
    MemoryFileSystem fs;
    ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity(member)).ok());
    EXPECT_TRUE(absl::IsNotFound(ReadBootstrapConfiguration(&fs, kDir).status()));
    const absl::Status bootstrapped = BootstrapMember(&fs, kDir, MakeConfiguration());
    ASSERT_TRUE(bootstrapped.ok()) << bootstrapped;
    Random random(1);
    fs.Crash(&random);
    const auto configuration = ReadBootstrapConfiguration(&fs, kDir);
    ASSERT_TRUE(configuration.ok()) << configuration.status();
    EXPECT_EQ(*configuration, MakeConfiguration());
    EXPECT_EQ(HardStateFile(&fs, StrCat(kDir, "/hardstate")).Read()->term, Term(1));
    const std::string segment =
        *ReadFile(&fs, StrCat(kDir, "/gen-00000001/commitlog/00000000000000000000"));
    if (first_bytes.empty()) first_bytes = segment.substr(0, 8192);
    EXPECT_EQ(segment.substr(0, 8192), first_bytes);
  }
}

TEST(Bootstrap, RepeatingItIsSafeAndAnotherConfigurationIsRefused) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  ASSERT_TRUE(BootstrapMember(&fs, kDir, MakeConfiguration()).ok());
  EXPECT_TRUE(BootstrapMember(&fs, kDir, MakeConfiguration()).ok());
  GroupConfiguration other = MakeConfiguration();
  other.members[0].peer_address = "elsewhere:1";
  EXPECT_TRUE(absl::IsFailedPrecondition(BootstrapMember(&fs, kDir, other)));
  EXPECT_EQ(*ReadBootstrapConfiguration(&fs, kDir), MakeConfiguration());
}

TEST(Bootstrap, AConfigurationWithoutThisIncarnationIsRefused) {
  MemoryFileSystem fs;
  EXPECT_TRUE(absl::IsFailedPrecondition(BootstrapMember(&fs, kDir, MakeConfiguration())));
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  GroupConfiguration other = MakeConfiguration();
  other.members[1].incarnation = Incarnation(1);
  EXPECT_TRUE(absl::IsFailedPrecondition(BootstrapMember(&fs, kDir, other)));
  other.members.erase(other.members.begin() + 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(BootstrapMember(&fs, kDir, other)));
  EXPECT_TRUE(absl::IsNotFound(ReadBootstrapConfiguration(&fs, kDir).status()));
}

TEST(Bootstrap, WhoBelongsToTheGroupIsKnownThoughTheLogsFirstEntryIsNot) {
  const std::string segment = StrCat(kDir, "/gen-00000001/commitlog/00000000000000000000");
  const auto rot = [&](MemoryFileSystem& fs) { fs.FlipBit(segment, 60, 1); };
  const auto gone = [&](MemoryFileSystem& fs) { ASSERT_TRUE(fs.Remove(segment).ok()); };
  const auto no_roll = [&](MemoryFileSystem& fs) {
    fs.FlipBit(StrCat(kDir, "/gen-00000001/roll"), 3, 1);
  };
  for (const std::function<void(MemoryFileSystem&)>& harm :
       std::vector<std::function<void(MemoryFileSystem&)>>{rot, gone, no_roll}) {
    MemoryFileSystem fs;
    ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
    ASSERT_TRUE(BootstrapMember(&fs, kDir, MakeConfiguration()).ok());
    harm(fs);
    const auto found = ReadBootstrapConfiguration(&fs, kDir);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, MakeConfiguration());
    fs.FlipBit(StrCat(kDir, "/configuration"), 10, 1);
    const absl::Status without = ReadBootstrapConfiguration(&fs, kDir).status();
    EXPECT_TRUE(without.ok() || absl::IsDataLoss(without))
        << "a member that lost all is none that waits to be bootstrapped: " << without;
  }
}

TEST(Bootstrap, AMemberThatLostItsLogIsNotBootstrappedWithOtherMembers) {
  MemoryFileSystem fs;
  ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
  ASSERT_TRUE(BootstrapMember(&fs, kDir, MakeConfiguration()).ok());
  ASSERT_TRUE(WriteRoll(&fs, StrCat(kDir, "/gen-00000001"), std::nullopt).ok());
  GroupConfiguration other = MakeConfiguration();
  other.members[0].peer_address = "elsewhere:1";
  EXPECT_TRUE(absl::IsFailedPrecondition(BootstrapMember(&fs, kDir, other)));
}

TEST(Bootstrap, CanBeRepeatedAfterACrashAtAnyStep) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t step = 0;; ++step) {
      MemoryFileSystem fs;
      Random random(seed);
      ASSERT_TRUE(FormatDirectory(&fs, kDir, MakeIdentity()).ok());
      fs.HaltBefore(step);
      const bool done = BootstrapMember(&fs, kDir, MakeConfiguration()).ok();
      const bool halted = fs.halted();
      fs.Crash(&random);
      const auto found = ReadBootstrapConfiguration(&fs, kDir);
      ASSERT_TRUE(found.ok() || !done) << "seed " << seed << " step " << step;
      ASSERT_TRUE(found.ok() || absl::IsNotFound(found.status())) << found.status();
      const absl::Status again = BootstrapMember(&fs, kDir, MakeConfiguration());
      ASSERT_TRUE(again.ok()) << "seed " << seed << " step " << step << ": " << again;
      EXPECT_EQ(*ReadBootstrapConfiguration(&fs, kDir), MakeConfiguration());
      if (!halted) break;
      ASSERT_LT(step, 200);
    }
  }
}

TEST(GroupConfiguration, IsReadBackAsEncoded) {
  GroupConfiguration configuration = MakeConfiguration();
  configuration.members[2].learner = true;
  configuration.old_members = MakeConfiguration().members;
  const auto parsed = ParseConfiguration(EncodeConfiguration(configuration));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, configuration);
  EXPECT_TRUE(parsed->joint());
  EXPECT_EQ(parsed->Find(MemberId(3))->name, "n2");
  EXPECT_EQ(parsed->Find(MemberId(4)), nullptr);
}

TEST(GroupConfiguration, OneThatMakesNoSenseIsRefused) {
  const auto valid = [](auto change) {
    GroupConfiguration configuration = MakeConfiguration();
    change(configuration.members);
    EXPECT_EQ(ValidateConfiguration(configuration).ok(),
              ParseConfiguration(EncodeConfiguration(configuration)).ok());
    return ValidateConfiguration(configuration).ok();
  };
  using Members = std::vector<ConfiguredMember>;
  EXPECT_TRUE(valid([](Members&) {}));
  EXPECT_FALSE(valid([](Members& m) { m.clear(); }));
  EXPECT_FALSE(valid([](Members& m) { m[1].id = m[0].id; }));
  EXPECT_FALSE(valid([](Members& m) { m[1].name = m[0].name; }));
  EXPECT_FALSE(valid([](Members& m) { m[1].id = kNoMember; }));
  EXPECT_FALSE(valid([](Members& m) { m[1].peer_address = ""; }));
  EXPECT_FALSE(valid([](Members& m) { m[1].incarnation = Incarnation(0); }));
  EXPECT_FALSE(valid([](Members& m) {
    for (ConfiguredMember& member : m) member.learner = true;
  }));
}

TEST(GroupConfiguration, GarbageAndCutsAreRefused) {
  const std::string good = EncodeConfiguration(MakeConfiguration());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ParseConfiguration(good.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseConfiguration(good + "x").ok());
  std::string newer = good;
  newer[3] = 2;
  EXPECT_TRUE(absl::IsUnimplemented(ParseConfiguration(newer).status()));
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    Random random(seed);
    std::string bad = good;
    for (int i = 0; i < 3; ++i) bad[random.Below(bad.size())] = static_cast<char>(random.Next());
    (void)ParseConfiguration(bad).ok();  // must not crash, whatever it says
  }
}

}  // namespace
}  // namespace raftmq::dledger
