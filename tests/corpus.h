#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace duet::test {

/// One case of the corpus of damaged and hostile model files (oracle/malformed.py of the assets;
/// golden/malformed_codes.md says what the fields mean).
struct CorpusCase {
  std::filesystem::path path;  // absolute
  std::string name;            // relative to the corpus
  std::string command;         // inspect, logits, tokenize or template
  std::string code;
  std::vector<std::string> also;
  std::vector<std::string> names;
  std::optional<std::string> output;
  std::optional<int64_t> truncate;  // run on the first bytes only
  bool every_prefix = false;        // each strict prefix must fail
  Json args;
};

/// The corpus, written anew into a temporary folder on first use. Empty without the assets: skip with
/// DUET_SKIP_WITHOUT_ASSETS("oracle/malformed.py").
const std::vector<CorpusCase>& corpus();

/// The bytes of the case's file, cut as `truncate` says.
std::string corpus_bytes(const CorpusCase& c);

/// What `run` did: "ok", or the code and message of the duet::Error that it threw. Anything else that it throws goes
/// on.
struct Outcome {
  std::string code = "ok";
  std::string message;
};
Outcome outcome_of(const std::function<void()>& run);

/// What is wrong with an outcome in words; empty if it is as the case says.
std::string judge(const CorpusCase& c, const Outcome& outcome);

}  // namespace duet::test
