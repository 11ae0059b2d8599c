#include "apps/report_output.h"

#include <unistd.h>

#include "base/error.h"
#include "terminal/output.h"
#include "terminal/progress.h"
#include "terminal/terminal_mode.h"

namespace duet {
namespace {

constexpr int kPipedColumns = 120;  // where there is no terminal to fit into

}  // namespace

void with_progress(const std::function<void(const ReportProgress&)>& work) {
  ProgressDisplay display(ProgressDisplay::standard_error());
  const bool drawn = ::isatty(STDERR_FILENO) == 1;
  try {
    work([&](std::string_view what, int64_t done, int64_t total) {
      if (drawn) display.advance_steps(what, static_cast<uint64_t>(done), static_cast<uint64_t>(total));
    });
  } catch (...) {
    display.finish();
    throw;
  }
  display.finish();
}

void print_report(const ReportForms& forms, bool json, bool markdown) {
  const Output output(STDOUT_FILENO);
  if (json) {
    output.write(forms.json().dump() + "\n");
  } else if (markdown) {
    output.write(forms.markdown());
  } else {
    output.write(forms.text(output.is_terminal() ? terminal_columns() : kPipedColumns, output.colour()));
  }
}

void check_report_flags(bool json, bool markdown) {
  if (json && markdown) fail(ErrorCode::kUsageError, "--json and --md do not go together");
}

}  // namespace duet
