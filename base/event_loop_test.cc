#include "base/event_loop.h"

#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace raftmq {
namespace {

// What was posted to `loop` has run.
void Wait(EventLoop* loop) {
  absl::Notification done;
  // RunAfter is not gathered.
  loop->RunAfter(0, [&] { done.Notify(); });
  done.WaitForNotification();
}

TEST(PostCorkTest, PostsOfItsThreadWaitForFlushAndKeepTheirOrder) {
  EventLoop loop("test");
  std::vector<int> ran;
  PostCork cork;
  for (int i = 0; i < 3; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  EXPECT_EQ(cork.size(), 3u);
  Wait(&loop);
  EXPECT_TRUE(ran.empty());

  cork.Flush();
  EXPECT_EQ(cork.size(), 0u);
  Wait(&loop);
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
}

TEST(PostCorkTest, ItsEndPostsWhatIsLeft) {
  EventLoop loop("test");
  bool ran = false;
  {
    PostCork cork;
    loop.Post([&] { ran = true; });
  }
  Wait(&loop);
  EXPECT_TRUE(ran);
}

TEST(PostCorkTest, OtherThreadsPostsDoNotWait) {
  EventLoop loop("test"), other("other");
  bool ran = false;
  PostCork cork;
  absl::Notification posted;
  other.RunAfter(0, [&] {
    loop.Post([&] { ran = true; });
    posted.Notify();
  });
  posted.WaitForNotification();
  Wait(&loop);
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace raftmq
