// Calling the application's code: listeners, callbacks, selectors, strategies. What it throws goes
// no further, whichever thread of the library it was called on.
#pragma once

#include <exception>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/strings.h"
#include "glog/logging.h"

namespace raftmq::client {

// Internal: `code` threw; the text says what.
inline absl::Status RunUserCode(absl::FunctionRef<void()> code) {
  try {
    code();
    return absl::OkStatus();
  } catch (const std::exception& e) {
    return absl::InternalError(StrCat("it threw an exception: ", e.what()));
  } catch (...) {
    return absl::InternalError("it threw something that is no std::exception");
  }
}

// `callback`, a void function of one argument that is the last to hear of something: what it throws
// is logged. `whose` is a literal, as "the callback of an asynchronous send".
template <typename Argument>
absl::AnyInvocable<void(Argument)> LogWhatItThrows(std::string_view whose,
                                                   absl::AnyInvocable<void(Argument)> callback) {
  return [whose, callback = std::move(callback)](Argument argument) mutable {
    const absl::Status ran = RunUserCode([&] { callback(std::move(argument)); });
    LOG_IF(ERROR, !ran.ok()) << whose << " failed: " << raftmq::Message(ran);
  };
}

}  // namespace raftmq::client
