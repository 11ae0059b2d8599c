#pragma once

#include <span>
#include <string_view>

namespace duet {

/// The same few everyday sentences in one language, written for this project.
struct LanguageSample {
  std::string_view code;  // ISO 639-1 or 639-3, with a script where one language has two: "zh-Hant"
  std::string_view name;  // in English
  std::string_view text;
};

/// Languages of many scripts: what a text costs in tokens differs most by script.
std::span<const LanguageSample> language_samples();

}  // namespace duet
