// Sealed text: bytes that a client keeps for us and shows again (a receipt handle, a recall handle,
// a transaction id), as base64url without padding, their CRC-32C at the end. It says whether they
// came back as they were given out; it keeps no secret and proves nobody's right.
//
// Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace raftmq::store {

std::string SealText(std::string_view bytes);

// How long the text of `size` bytes is.
constexpr size_t SealedCharacters(size_t size) { return ((size + 4) * 8 + 5) / 6; }

// The `size` bytes that SealText was given. InvalidArgument for anything that it did not make,
// saying what is wrong with it: "has 3 characters, expected 39".
absl::StatusOr<std::string> UnsealText(std::string_view text, size_t size);

}  // namespace raftmq::store
