// StrongInt: an integer that cannot be mixed up with another of the same width.
//
// A Term, a LogIndex and a LogPosition are all 64 bits wide; passing one for the other compiles
// with plain integers and corrupts data. Each gets its own type here: same-type arithmetic and
// comparison only, explicit construction, `value()` where bytes are read or written.
//
// Value type, trivially copyable; no thread rules.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>

namespace raftmq {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  using rep = Rep;

  constexpr StrongInt() = default;
  explicit constexpr StrongInt(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }

  constexpr auto operator<=>(const StrongInt&) const = default;

  // Distance between two of a kind, and movement by a plain count.
  friend constexpr Rep operator-(StrongInt a, StrongInt b) { return a.value_ - b.value_; }
  friend constexpr StrongInt operator+(StrongInt a, Rep n) { return StrongInt(a.value_ + n); }
  friend constexpr StrongInt operator-(StrongInt a, Rep n) { return StrongInt(a.value_ - n); }
  StrongInt& operator+=(Rep n) {
    value_ += n;
    return *this;
  }
  StrongInt& operator-=(Rep n) {
    value_ -= n;
    return *this;
  }
  StrongInt& operator++() {
    ++value_;
    return *this;
  }
  StrongInt& operator--() {
    --value_;
    return *this;
  }

  friend std::ostream& operator<<(std::ostream& os, StrongInt v) { return os << +v.value_; }

  template <typename H>
  friend H AbslHashValue(H h, StrongInt v) {
    return H::combine(std::move(h), v.value_);
  }

 private:
  Rep value_ = 0;
};

}  // namespace raftmq

template <typename Tag, typename Rep>
struct std::hash<raftmq::StrongInt<Tag, Rep>> {
  size_t operator()(raftmq::StrongInt<Tag, Rep> v) const { return std::hash<Rep>()(v.value()); }
};
