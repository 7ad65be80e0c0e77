#include "store/java_string_hash.h"

namespace raftmq::store {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;

uint32_t Add(uint32_t hash, uint32_t unit) { return hash * 31 + unit; }

uint32_t AddCodePoint(uint32_t hash, uint32_t code_point) {
  if (code_point < 0x10000) return Add(hash, code_point);
  const uint32_t above = code_point - 0x10000;
  return Add(Add(hash, 0xD800 + (above >> 10)), 0xDC00 + (above & 0x3FF));
}

// The lowest and highest second byte that may follow `lead` (Unicode, table 3-7), and how many
// bytes follow it altogether; 0 for a byte that can't lead.
struct Follow {
  int count = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Follow FollowOf(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {1};
  if (lead == 0xE0) return {2, 0xA0};
  if (lead == 0xED) return {2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {2};
  if (lead == 0xF0) return {3, 0x90};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  if (lead >= 0xF1 && lead <= 0xF3) return {3};
  return {};
}

// Decodes one code point at `*at`, which is not ASCII, and moves past it; kReplacement, past the
// maximal part that could have begun one, if it is invalid.
uint32_t DecodeMultiByte(std::string_view text, size_t* at) {
  const uint8_t lead = static_cast<uint8_t>(text[(*at)++]);
  Follow follow = FollowOf(lead);
  if (follow.count == 0) return kReplacement;
  uint32_t code_point = lead & (0x3F >> follow.count);
  for (int i = 0; i < follow.count; ++i) {
    if (*at == text.size()) return kReplacement;
    const uint8_t next = static_cast<uint8_t>(text[*at]);
    if (next < follow.low || next > follow.high) return kReplacement;
    code_point = (code_point << 6) | (next & 0x3F);
    follow.low = 0x80;
    follow.high = 0xBF;
    ++*at;
  }
  return code_point;
}

}  // namespace

int32_t JavaStringHash(std::string_view utf8, int32_t before) {
  uint32_t hash = static_cast<uint32_t>(before);
  size_t at = 0;
  while (at < utf8.size()) {
    const uint8_t byte = static_cast<uint8_t>(utf8[at]);
    if (byte < 0x80) {
      hash = Add(hash, byte);
      ++at;
    } else {
      hash = AddCodePoint(hash, DecodeMultiByte(utf8, &at));
    }
  }
  return static_cast<int32_t>(hash);
}

}  // namespace raftmq::store
