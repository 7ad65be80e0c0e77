#include "base/thread.h"

#include <pthread.h>

#include <utility>

#include "absl/synchronization/mutex.h"

namespace raftmq {

namespace {

#ifdef NDEBUG
// Debian builds Abseil with its deadlock detector on: each Lock of a Mutex takes one lock for the
// whole process and searches a graph. That is for debug builds.
[[maybe_unused]] const bool detector_is_off = [] {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return true;
}();
#endif

}  // namespace

std::thread StartThread(const std::string& name, absl::AnyInvocable<void()> body) {
  return std::thread([name, body = std::move(body)]() mutable {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    body();
  });
}

}  // namespace raftmq
