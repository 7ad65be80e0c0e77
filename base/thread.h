// Threads are made here and nowhere else (tools/lint), each with a name that `top -H` shows and
// docs/threads.md lists.
#pragma once

#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"

namespace raftmq {

// Starts a thread called `name` (15 characters at most are kept by Linux). The owner joins it.
std::thread StartThread(const std::string& name, absl::AnyInvocable<void()> body);

}  // namespace raftmq
