#pragma once

#include <functional>

#include "base/error.h"
#include "base/json.h"

namespace duet {

/// {"error","code"}: the line of a record that failed.
Json jsonl_failure(const Error& error);

/// What a command with --jsonl says of one record, and of one that failed.
struct JsonlAnswers {
  std::function<Json(const Json& record)> answer;  // may throw Error
  std::function<Json(const Error& error)> failure = jsonl_failure;
  JsonLimits limits = {};  // of one record
};

/// Reads one JSON object a line from standard input and writes one line for each, in order, each before the next is
/// read. Returns whether every record succeeded. Throws io_error where standard output cannot be written.
bool answer_jsonl(const JsonlAnswers& answers);

}  // namespace duet
