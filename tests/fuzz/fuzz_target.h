// What each fuzz target defines. mutation_test.cc drives it with seeds and simple mutations in
// every test run; tests/fuzz/run builds it with libFuzzer for a campaign.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace raftmq::fuzz {

// Parses `bytes` as they might come from outside. Must neither crash nor read outside them; what is
// accepted must hold together (CHECK).
void FuzzOne(std::string_view bytes);

// Valid inputs to start from.
std::vector<std::string> Seeds();

}  // namespace raftmq::fuzz
