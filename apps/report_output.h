#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace duet {

/// Told what a report measures: step `done` of `total` of `what`.
using ReportProgress = std::function<void(std::string_view what, int64_t done, int64_t total)>;

/// Calls `work` with a progress that is drawn on standard error, where that is a terminal.
void with_progress(const std::function<void(const ReportProgress&)>& work);

/// One report in the forms that a command offers.
struct ReportForms {
  std::function<Json()> json;
  std::function<std::string()> markdown;
  std::function<std::string(int width, bool bold)> text;  // columns
};
/// Prints the form that was asked for: text without a flag.
void print_report(const ReportForms& forms, bool json, bool markdown);
/// Throws usage_error where both flags are given.
void check_report_flags(bool json, bool markdown);

}  // namespace duet
