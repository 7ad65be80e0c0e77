// What an EventLoop is made of, for the few that put sockets on its thread (dledger's transport).
#pragma once

#include <asio.hpp>
#include <thread>

#include "base/event_loop.h"

namespace raftmq {

struct EventLoop::Impl {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;
  std::thread::id id;
};

}  // namespace raftmq
