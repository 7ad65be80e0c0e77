#include "tests/bench/process_usage.h"

#include <sys/resource.h>

namespace raftmq::bench {

int64_t OwnCpuNanos() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto nanos = [](const timeval& t) {
    return t.tv_sec * int64_t{1'000'000'000} + t.tv_usec * int64_t{1'000};
  };
  return nanos(usage.ru_utime) + nanos(usage.ru_stime);
}

}  // namespace raftmq::bench
