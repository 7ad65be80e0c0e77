// Waiting for what an asynchronous call says.
//
// Any thread but one that the call's answer needs.
#pragma once

#include <optional>
#include <utility>

#include "absl/synchronization/notification.h"

namespace raftmq::client {

// Runs `begin` with a callback that takes a T, and returns what that was called with, once it was.
template <typename T, typename Begin>
T AwaitAnswer(Begin begin) {
  absl::Notification answered;
  std::optional<T> answer;
  begin([&](T a) {
    answer.emplace(std::move(a));
    answered.Notify();
  });
  answered.WaitForNotification();
  return *std::move(answer);
}

}  // namespace raftmq::client
