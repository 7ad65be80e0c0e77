#include <unistd.h>

#include <cstring>
#include <string>

#include "base/block_buffer.h"
#include "base/file_system.h"
#include "base/strings.h"
#include "gtest/gtest.h"

namespace raftmq {
namespace {

class PosixFileSystemTest : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { PosixFileSystem()->RemoveAll(path_).IgnoreError(); }

  std::string Content() { return *ReadFile(PosixFileSystem(), path_); }

  const std::string path_ = StrCat(
      std::string_view(GetParam()).empty() ? testing::TempDir() : std::string(GetParam()),
      "/raftmq-posix-file-system-test-", ::getpid());
};

// The first is on a disk, as a rule; the second has no way past the page cache.
INSTANTIATE_TEST_SUITE_P(Folders, PosixFileSystemTest, testing::Values("", "/dev/shm"));

TEST_P(PosixFileSystemTest, AllocatedRoomReadsAsZerosAndKeepsWhatIsThere) {
  auto file = *PosixFileSystem()->Open(path_, OpenMode::kCreateNew);
  ASSERT_TRUE(file->PWrite(10, "bytes").ok());
  const absl::Status allocated = file->Allocate(3 * kBlockSize);
  if (absl::IsUnimplemented(allocated)) GTEST_SKIP() << allocated;
  ASSERT_TRUE(allocated.ok()) << allocated;
  std::string expected(3 * kBlockSize, '\0');
  expected.replace(10, 5, "bytes");
  EXPECT_EQ(Content(), expected);
  ASSERT_TRUE(file->Allocate(kBlockSize).ok());
  EXPECT_EQ(*file->Size(), 3 * kBlockSize) << "nothing is cut";
}

TEST_P(PosixFileSystemTest, RoomThatIsNotThereIsRefusedWhenItIsAllocated) {
  auto file = *PosixFileSystem()->Open(path_, OpenMode::kCreateNew);
  const absl::Status allocated = file->Allocate(int64_t{1} << 43);
  if (absl::IsUnimplemented(allocated)) GTEST_SKIP() << allocated;
  EXPECT_FALSE(allocated.ok());
}

TEST_P(PosixFileSystemTest, BlocksAndBytesOfOneFileAreSeenByEachOther) {
  auto file = *PosixFileSystem()->Open(path_, OpenMode::kCreateNew);
  BlockBuffer buffer;
  char* const blocks = buffer.Reserve(3 * kBlockSize);
  std::memset(blocks, 'a', 3 * kBlockSize);
  ASSERT_TRUE(file->PWriteBlocks(0, {blocks, 3 * kBlockSize}).ok());
  EXPECT_EQ(Content(), std::string(3 * kBlockSize, 'a'));
  ASSERT_TRUE(file->PWrite(kBlockSize + 10, "bytes").ok());
  std::string expected(3 * kBlockSize, 'a');
  expected.replace(kBlockSize + 10, 5, "bytes");
  EXPECT_EQ(Content(), expected);
  // Over what the page cache holds now.
  std::memset(blocks, 'b', kBlockSize);
  ASSERT_TRUE(file->PWriteBlocks(kBlockSize, {blocks, kBlockSize}).ok());
  expected.replace(kBlockSize, kBlockSize, kBlockSize, 'b');
  EXPECT_EQ(Content(), expected);
  EXPECT_TRUE(file->DataSync().ok());
}

TEST_P(PosixFileSystemTest, BlocksAreWrittenToAFileThatWasRenamed) {
  auto file = *PosixFileSystem()->Open(path_ + ".tmp", OpenMode::kCreateNew);
  ASSERT_TRUE(PosixFileSystem()->Rename(path_ + ".tmp", path_).ok());
  BlockBuffer buffer;
  std::memset(buffer.Reserve(kBlockSize), 'x', kBlockSize);
  ASSERT_TRUE(file->PWriteBlocks(0, {buffer.Reserve(kBlockSize), kBlockSize}).ok());
  EXPECT_EQ(Content(), std::string(kBlockSize, 'x'));
}

}  // namespace
}  // namespace raftmq
