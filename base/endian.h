// Big-endian loads and stores: every format of RaftMQ, like RocketMQ's, is big-endian.
//
// Pure functions over raw pointers; the caller guarantees the bytes are there.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

namespace raftmq {

template <typename T>
inline T ByteSwapIfLittle(T v) {
  static_assert(std::endian::native == std::endian::little);
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(v)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(v)));
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(v)));
  if constexpr (sizeof(T) == 1) return v;
}

template <typename T>
inline T LoadBe(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof(v));
  return ByteSwapIfLittle(v);
}

template <typename T>
inline void StoreBe(char* p, T v) {
  v = ByteSwapIfLittle(v);
  std::memcpy(p, &v, sizeof(v));
}

template <typename T>
inline void AppendBe(std::string* out, T v) {
  v = ByteSwapIfLittle(v);
  out->append(reinterpret_cast<const char*>(&v), sizeof(v));
}

}  // namespace raftmq
