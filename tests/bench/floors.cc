#include "tests/bench/floors.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <asio.hpp>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/strings.h"
#include "client/mqbench/histogram.h"
#include "tests/bench/process_usage.h"

namespace raftmq::bench {
namespace {

using mqbench::Histogram;

constexpr int64_t kFileSize = 64 << 20;
constexpr int64_t kZeroStep = 1 << 20;

// What a child found out.
struct SyncReport {
  bool ok = false;
  double seconds = 0;
  double cpu_us = 0;
  Histogram micros;
};

int64_t Now() { return SystemClock()->MonotonicNanos(); }

absl::StatusOr<std::unique_ptr<File>> ZeroedFile(const std::string& path) {
  RAFTMQ_ASSIGN_OR_RETURN(auto file, PosixFileSystem()->Open(path, OpenMode::kCreateNew));
  const std::string zeros(kZeroStep, '\0');
  for (int64_t at = 0; at < kFileSize; at += kZeroStep) {
    RAFTMQ_RETURN_IF_ERROR(file->PWrite(at, zeros));
  }
  RAFTMQ_RETURN_IF_ERROR(file->DataSync());
  return file;
}

absl::Status WriteAndSync(File& file, int64_t bytes, int64_t millis, SyncReport* report) {
  const std::string data(static_cast<size_t>(bytes), 'x');
  const int64_t cpu = OwnCpuNanos();
  const int64_t start = Now();
  int64_t at = 0;
  int64_t before = start;
  while (before < start + millis * 1'000'000) {
    if (at + bytes > kFileSize) at = 0;
    RAFTMQ_RETURN_IF_ERROR(file.PWrite(at, data));
    RAFTMQ_RETURN_IF_ERROR(file.DataSync());
    at += bytes;
    const int64_t after = Now();
    report->micros.Record((after - before) / 1'000);
    before = after;
  }
  report->seconds = static_cast<double>(before - start) / 1e9;
  report->cpu_us = static_cast<double>(OwnCpuNanos() - cpu) / 1e3 /
                   static_cast<double>(std::max<int64_t>(1, report->micros.count()));
  report->ok = true;
  return absl::OkStatus();
}

bool WriteAll(int fd, const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = ::write(fd, at, size);
    if (done <= 0) return false;
    at += done;
    size -= static_cast<size_t>(done);
  }
  return true;
}

bool ReadAll(int fd, void* data, size_t size) {
  char* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t done = ::read(fd, at, size);
    if (done <= 0) return false;
    at += done;
    size -= static_cast<size_t>(done);
  }
  return true;
}

// Tells the parent that its file is ready, waits for the go, measures, reports.
void SyncChild(const std::string& path, int64_t bytes, int64_t millis, int report_fd, int go_fd) {
  SyncReport report;
  auto file = ZeroedFile(path);
  const char ready = file.ok() ? 1 : 0;
  char go = 0;
  if (!WriteAll(report_fd, &ready, 1)) return;
  (void)ReadAll(go_fd, &go, 1);  // ends with the parent's end of the pipe
  if (file.ok()) (void)WriteAndSync(**file, bytes, millis, &report).ok();
  (void)WriteAll(report_fd, &report, sizeof(report));
}

struct Child {
  pid_t pid = -1;
  int report_fd = -1;
};

absl::StatusOr<SyncFloor> Join(const std::vector<Child>& children, int go_fd) {
  bool ok = true;
  for (const Child& child : children) {
    char ready = 0;
    ok = ReadAll(child.report_fd, &ready, 1) && ready == 1 && ok;
  }
  ::close(go_fd);
  SyncFloor floor;
  Histogram all;
  for (const Child& child : children) {
    const auto report = std::make_unique<SyncReport>();
    if (!ReadAll(child.report_fd, report.get(), sizeof(SyncReport)) || !report->ok) {
      ok = false;
      continue;
    }
    all.Add(report->micros);
    const double rate = static_cast<double>(report->micros.count()) / report->seconds;
    floor.syncs_per_second =
        floor.syncs_per_second == 0 ? rate : std::min(rate, floor.syncs_per_second);
    floor.cpu_us += report->cpu_us / static_cast<double>(children.size());
  }
  if (!ok) return absl::InternalError("measuring write and fdatasync failed: no room, perhaps");
  floor.p50_us = all.Percentile(0.5);
  floor.p99_us = all.Percentile(0.99);
  floor.max_us = all.max();
  return floor;
}

void AnswerAll(asio::ip::tcp::acceptor& acceptor, size_t bytes) {
  asio::error_code error;
  auto socket = acceptor.accept(error);
  if (error) return;
  socket.set_option(asio::ip::tcp::no_delay(true), error);
  std::string data(bytes, '\0');
  const char answer[32] = {};
  while (!error) {
    asio::read(socket, asio::buffer(data), error);
    if (!error) asio::write(socket, asio::buffer(answer), error);
  }
}

absl::StatusOr<RoundTripFloor> AskMany(asio::io_context& io,
                                       const asio::ip::tcp::endpoint& endpoint, size_t bytes,
                                       int64_t millis) {
  asio::error_code error;
  asio::ip::tcp::socket socket(io);
  socket.connect(endpoint, error);
  if (!error) socket.set_option(asio::ip::tcp::no_delay(true), error);
  const std::string data(bytes, 'x');
  char answer[32];
  Histogram micros;
  int64_t before = Now();
  const int64_t end = before + millis * 1'000'000;
  while (!error && before < end) {
    asio::write(socket, asio::buffer(data), error);
    if (!error) asio::read(socket, asio::buffer(answer), error);
    const int64_t after = Now();
    micros.Record((after - before) / 1'000);
    before = after;
  }
  if (error) return absl::UnavailableError(StrCat("loopback round trips: ", error.message()));
  return RoundTripFloor{micros.Percentile(0.5), micros.Percentile(0.99)};
}

}  // namespace

absl::StatusOr<SyncFloor> MeasureSync(const std::string& dir, int processes, int64_t bytes,
                                      int64_t millis) {
  const std::string folder = dir + "/floor";
  RAFTMQ_RETURN_IF_ERROR(PosixFileSystem()->RemoveAll(folder));
  RAFTMQ_RETURN_IF_ERROR(PosixFileSystem()->CreateDirs(folder));
  int go[2];
  if (::pipe(go) != 0) return absl::InternalError("pipe failed");
  std::vector<Child> children;
  for (int i = 0; i < processes; ++i) {
    int report[2];
    if (::pipe(report) != 0) return absl::InternalError("pipe failed");
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(go[1]);
      ::close(report[0]);
      SyncChild(StrCat(folder, "/", i), bytes, millis, report[1], go[0]);
      ::_exit(0);
    }
    ::close(report[1]);
    if (pid < 0) return absl::InternalError("fork failed");
    children.push_back({pid, report[0]});
  }
  ::close(go[0]);
  auto floor = Join(children, go[1]);
  for (const Child& child : children) {
    ::close(child.report_fd);
    ::waitpid(child.pid, nullptr, 0);
  }
  RAFTMQ_RETURN_IF_ERROR(PosixFileSystem()->RemoveAll(folder));
  return floor;
}

absl::StatusOr<RoundTripFloor> MeasureRoundTrip(int64_t bytes, int64_t millis) {
  asio::io_context io;
  asio::error_code error;
  asio::ip::tcp::acceptor acceptor(io);
  const asio::ip::tcp::endpoint any(asio::ip::make_address("127.0.0.1"), 0);
  acceptor.open(any.protocol(), error);
  if (!error) acceptor.bind(any, error);
  if (!error) acceptor.listen(1, error);
  if (error) return absl::UnavailableError(StrCat("loopback round trips: ", error.message()));
  const auto endpoint = acceptor.local_endpoint();
  const pid_t child = ::fork();
  if (child < 0) return absl::InternalError("fork failed");
  if (child == 0) {
    AnswerAll(acceptor, static_cast<size_t>(bytes));
    ::_exit(0);
  }
  acceptor.close(error);
  auto floor = AskMany(io, endpoint, static_cast<size_t>(bytes), millis);
  ::waitpid(child, nullptr, 0);
  return floor;
}

}  // namespace raftmq::bench
