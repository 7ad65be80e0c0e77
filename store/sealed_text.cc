#include "store/sealed_text.h"

#include "absl/strings/escaping.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::store {
namespace {

constexpr size_t kCrcBytes = 4;

absl::Status NotBase64() { return absl::InvalidArgumentError("is not base64url text"); }

}  // namespace

std::string SealText(std::string_view bytes) {
  std::string sealed(bytes);
  AppendBe(&sealed, Crc32c(bytes));
  std::string text;
  absl::WebSafeBase64Escape(sealed, &text);
  return text;
}

absl::StatusOr<std::string> UnsealText(std::string_view text, size_t size) {
  const size_t characters = SealedCharacters(size);
  if (text.size() != characters) {
    return absl::InvalidArgumentError(
        StrCat("has ", text.size(), " characters, expected ", characters));
  }
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(ToAbsl(text), &bytes) || bytes.size() != size + kCrcBytes) {
    return NotBase64();
  }
  // The decoder also takes white space, padding and stray last bits.
  std::string canonical;
  absl::WebSafeBase64Escape(bytes, &canonical);
  if (canonical != text) return NotBase64();
  if (LoadBe<uint32_t>(bytes.data() + size) != Crc32c(std::string_view(bytes).substr(0, size))) {
    return absl::InvalidArgumentError("has a wrong checksum: it was changed on the way");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace raftmq::store
