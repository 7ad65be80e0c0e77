// Joins a fuzz target to libFuzzer. With no corpus at hand, start it on a folder made by
// `tests/fuzz/run`, which holds the target's seeds.

#include <cstddef>
#include <cstdint>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  raftmq::fuzz::FuzzOne({reinterpret_cast<const char*>(data), size});
  return 0;
}

// The target's seeds become part of every input's neighbourhood: an input of one byte names one.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  static const std::vector<std::string> seeds = raftmq::fuzz::Seeds();
  if (size == 0 || seed % 1000 == 0) {
    const std::string& chosen = seeds[seed / 1000 % seeds.size()];
    size = chosen.size() < max_size ? chosen.size() : max_size;
    for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(chosen[i]);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
