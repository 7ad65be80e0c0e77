#include "base/testing/memory_file_system.h"

#include <gtest/gtest.h>

#include <set>

#include "base/strings.h"

namespace raftmq {
namespace {

std::unique_ptr<File> MustOpen(FileSystem* fs, const std::string& path,
                               OpenMode mode = OpenMode::kCreate) {
  auto file = fs->Open(path, mode);
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::string Contents(FileSystem* fs, const std::string& path) {
  const auto data = ReadFile(fs, path);
  return data.ok() ? *data : data.status().ToString();
}

TEST(MemoryFileSystem, ReadsSeeWhatWasWrittenAndEndAtTheFilesEnd) {
  MemoryFileSystem fs;
  auto file = MustOpen(&fs, "/a");
  ASSERT_TRUE(file->PWrite(2, "cd").ok());
  const std::string_view pieces[] = {"e", "", "fg"};
  ASSERT_TRUE(file->PWriteV(4, pieces).ok());
  EXPECT_EQ(Contents(&fs, "/a"), std::string("\0\0cdefg", 7));
  std::string out;
  ASSERT_TRUE(file->PRead(5, 100, &out).ok());
  EXPECT_EQ(out, "fg");
  ASSERT_TRUE(file->PRead(50, 100, &out).ok());
  EXPECT_EQ(out, "");
  ASSERT_TRUE(file->Truncate(3).ok());
  EXPECT_EQ(*file->Size(), 3);
}

TEST(MemoryFileSystem, NamesBehaveLikeThoseOfADisk) {
  MemoryFileSystem fs;
  EXPECT_TRUE(absl::IsNotFound(fs.Open("/d/a", OpenMode::kCreate).status()));
  ASSERT_TRUE(fs.CreateDirs("/d/e").ok());
  ASSERT_TRUE(fs.CreateDirs("/d/e").ok());
  EXPECT_TRUE(absl::IsNotFound(fs.Open("/d/a", OpenMode::kReadWrite).status()));
  MustOpen(&fs, "/d/b", OpenMode::kCreateNew);
  EXPECT_TRUE(absl::IsAlreadyExists(fs.Open("/d/b", OpenMode::kCreateNew).status()));
  ASSERT_TRUE(fs.Rename("/d/b", "/d/a").ok());
  EXPECT_EQ(*fs.List("/d"), (std::vector<std::string>{"a", "e"}));
  EXPECT_FALSE(fs.Remove("/d").ok());
  EXPECT_TRUE(absl::IsNotFound(fs.Remove("/d/b")));
  ASSERT_TRUE(fs.RemoveAll("/d").ok());
  ASSERT_TRUE(fs.RemoveAll("/d").ok());
  EXPECT_FALSE(*fs.Exists("/d/a"));
}

TEST(MemoryFileSystem, ACrashKeepsWhatWasSyncedAndLosesOrTearsTheRest) {
  const std::string old_data(4096, 'o');
  const std::string new_data(4096, 'n');
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    auto file = MustOpen(&fs, "/a");
    ASSERT_TRUE(fs.SyncDir("/").ok());
    ASSERT_TRUE(file->PWrite(0, old_data).ok());
    ASSERT_TRUE(file->DataSync().ok());
    ASSERT_TRUE(file->PWrite(0, new_data).ok());
    fs.Crash(&random);
    EXPECT_TRUE(absl::IsUnavailable(file->PWrite(0, "x"))) << "a file of the dead process";
    const std::string data = Contents(&fs, "/a");
    ASSERT_EQ(data.size(), 4096u) << "seed " << seed;
    for (size_t at = 0; at < data.size(); at += 512) {
      const std::string sector = data.substr(at, 512);
      ASSERT_TRUE(sector == std::string(512, 'o') || sector == std::string(512, 'n'))
          << "seed " << seed << ": a sector is written whole or not at all";
    }
    outcomes.insert(data);
  }
  EXPECT_TRUE(outcomes.contains(old_data));
  EXPECT_TRUE(outcomes.contains(new_data));
  EXPECT_GT(outcomes.size(), 20u) << "torn in many ways";
}

TEST(MemoryFileSystem, AFileWhoseFolderWasNeverSyncedMayVanishThoughItsDataWasSynced) {
  int vanished = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    auto file = MustOpen(&fs, "/a");
    ASSERT_TRUE(file->PWrite(0, "data").ok());
    ASSERT_TRUE(file->DataSync().ok());
    fs.Crash(&random);
    if (!*fs.Exists("/a")) {
      ++vanished;
    } else {
      EXPECT_EQ(Contents(&fs, "/a"), "data");
    }
  }
  EXPECT_GT(vanished, 10);
  EXPECT_LT(vanished, 90);
}

TEST(MemoryFileSystem, DirectoryChangesAreLostFromTheLastOneOn) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    for (int i = 0; i < 5; ++i) MustOpen(&fs, StrCat("/f", i));
    fs.Crash(&random);
    const std::vector<std::string> left = *fs.List("/");
    for (size_t i = 0; i < left.size(); ++i) EXPECT_EQ(left[i], StrCat("f", i)) << "seed " << seed;
  }
}

TEST(MemoryFileSystem, ARenameIsNeverHalfDone) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    ASSERT_TRUE(fs.CreateDirs("/x").ok());
    ASSERT_TRUE(fs.CreateDirs("/y").ok());
    MustOpen(&fs, "/x/a");
    ASSERT_TRUE(fs.SyncDir("/").ok());
    ASSERT_TRUE(fs.SyncDir("/x").ok());
    ASSERT_TRUE(fs.Rename("/x/a", "/y/b").ok());
    fs.Crash(&random);
    EXPECT_NE(*fs.Exists("/x/a"), *fs.Exists("/y/b")) << "seed " << seed;
  }
}

TEST(MemoryFileSystem, WriteFileAtomicallyLeavesTheOldOrTheNewContentAtEveryStep) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    for (int64_t step = 0;; ++step) {
      MemoryFileSystem fs;
      Random random(seed * 100 + static_cast<uint64_t>(step));
      ASSERT_TRUE(WriteFileAtomically(&fs, "/f", "old").ok());
      fs.HaltBefore(step);
      const bool written = WriteFileAtomically(&fs, "/f", "new").ok();
      const bool halted = fs.halted();
      fs.Crash(&random);
      const std::string data = Contents(&fs, "/f");
      if (written) {
        EXPECT_EQ(data, "new") << "seed " << seed << " step " << step;
      } else {
        EXPECT_TRUE(data == "old" || data == "new") << "seed " << seed << " step " << step;
      }
      if (!halted) break;
      ASSERT_LT(step, 20);
    }
  }
}

TEST(MemoryFileSystem, KillLosesNothing) {
  MemoryFileSystem fs;
  auto file = MustOpen(&fs, "/a");
  ASSERT_TRUE(file->PWrite(0, "data").ok());
  auto lock = fs.Lock("/lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(fs.Lock("/lock").status()));
  fs.Kill();
  EXPECT_EQ(Contents(&fs, "/a"), "data");
  auto second = fs.Lock("/lock");
  EXPECT_TRUE(second.ok());
  lock->reset();
  EXPECT_FALSE(fs.Lock("/lock").ok()) << "the dead holder's release must not free it";
}

TEST(MemoryFileSystem, AFailedSyncLosesTheDataThoughALaterOneSucceeds) {
  MemoryFileSystem fs;
  auto file = MustOpen(&fs, "/a");
  ASSERT_TRUE(fs.SyncDir("/").ok());
  ASSERT_TRUE(file->PWrite(0, "lost").ok());
  fs.AddFault({.op = FileOp::kDataSync, .status = absl::UnavailableError("EIO")});
  EXPECT_TRUE(absl::IsUnavailable(file->DataSync()));
  EXPECT_EQ(Contents(&fs, "/a"), "lost");
  EXPECT_TRUE(file->DataSync().ok());
  Random random(1);
  fs.Crash(&random);
  EXPECT_NE(Contents(&fs, "/a"), "lost");
}

TEST(MemoryFileSystem, FaultsHitTheCallsTheyName) {
  MemoryFileSystem fs;
  auto a = MustOpen(&fs, "/a");
  auto b = MustOpen(&fs, "/b");
  fs.AddFault({.op = FileOp::kWrite,
               .path_contains = "a",
               .skip = 1,
               .times = 2,
               .status = absl::ResourceExhaustedError("ENOSPC"),
               .partial = true});
  EXPECT_TRUE(a->PWrite(0, "1234").ok());
  EXPECT_TRUE(b->PWrite(0, "1234").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(a->PWrite(0, "5678")));
  EXPECT_EQ(Contents(&fs, "/a"), "5634");
  EXPECT_TRUE(absl::IsResourceExhausted(a->PWrite(0, "5678")));
  EXPECT_TRUE(a->PWrite(0, "5678").ok());
  fs.AddFault({.op = FileOp::kWrite, .times = -1, .phantom = true});
  EXPECT_TRUE(a->PWrite(0, "zzzz").ok());
  EXPECT_EQ(Contents(&fs, "/a"), "5678");
}

TEST(MemoryFileSystem, CapacityBoundsGrowth) {
  MemoryFileSystem fs;
  fs.SetCapacity(10);
  auto file = MustOpen(&fs, "/a");
  EXPECT_TRUE(file->PWrite(0, "12345678").ok());
  EXPECT_EQ(*fs.FreeBytes("/"), 2);
  EXPECT_TRUE(absl::IsResourceExhausted(file->PWrite(8, "abc")));
  EXPECT_TRUE(file->PWrite(0, "overwrite").ok());
  ASSERT_TRUE(fs.Remove("/a").ok());
  EXPECT_EQ(*fs.FreeBytes("/"), 10);
}

TEST(MemoryFileSystem, FlippedBitsOutliveACrash) {
  MemoryFileSystem fs;
  auto file = MustOpen(&fs, "/a");
  ASSERT_TRUE(fs.SyncDir("/").ok());
  ASSERT_TRUE(file->PWrite(0, "abc").ok());
  ASSERT_TRUE(file->DataSync().ok());
  fs.FlipBit("/a", 1, 0);
  Random random(3);
  fs.Crash(&random);
  EXPECT_EQ(Contents(&fs, "/a"), "acc");
}

}  // namespace
}  // namespace raftmq
