// Joining text for messages. Debian's Abseil has a string_view type of its own; the project uses
// std::string_view everywhere and crosses over here only.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/strong_int.h"

namespace raftmq {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view FromAbsl(absl::string_view s) { return {s.data(), s.size()}; }

namespace strings_internal {

template <typename T>
decltype(auto) Printable(const T& v) {
  return (v);
}
inline absl::string_view Printable(std::string_view v) { return ToAbsl(v); }
inline absl::string_view Printable(const std::string& v) { return v; }
inline absl::string_view Printable(const char* v) { return v; }
template <typename Tag, typename Rep>
Rep Printable(StrongInt<Tag, Rep> v) {
  return v.value();
}

}  // namespace strings_internal

// absl::StrCat that also takes std::string_view and StrongInt.
template <typename... Args>
std::string StrCat(const Args&... args) {
  return absl::StrCat(strings_internal::Printable(args)...);
}

// The text of a status, without its code.
inline std::string_view Message(const absl::Status& status) { return FromAbsl(status.message()); }

// The same status with `context` and ": " in front of its text.
inline absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(context, ": ", Message(status)));
}

}  // namespace raftmq

// Leaves the enclosing function with the status if it is not OK.
#define RAFTMQ_RETURN_IF_ERROR(expr)                 \
  do {                                               \
    if (absl::Status _st = (expr); !_st.ok()) {      \
      return _st;                                    \
    }                                                \
  } while (false)

#define RAFTMQ_CONCAT_INNER(a, b) a##b
#define RAFTMQ_CONCAT(a, b) RAFTMQ_CONCAT_INNER(a, b)

// RAFTMQ_ASSIGN_OR_RETURN(auto x, F()): declares or assigns from a StatusOr, or leaves with its
// status.
#define RAFTMQ_ASSIGN_OR_RETURN(lhs, expr) \
  RAFTMQ_ASSIGN_OR_RETURN_IMPL(RAFTMQ_CONCAT(_statusor_, __LINE__), lhs, expr)
#define RAFTMQ_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.status();                \
  lhs = std::move(tmp).value()
