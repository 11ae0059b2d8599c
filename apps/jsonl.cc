#include "apps/jsonl.h"

#include <unistd.h>

#include <iostream>
#include <string>

#include "terminal/output.h"

namespace duet {

Json jsonl_failure(const Error& error) {
  return Json::Object{{"error", Json(error.message())}, {"code", Json(error_code_name(error.code()))}};
}

bool answer_jsonl(const JsonlAnswers& answers) {
  const Output out(STDOUT_FILENO);
  bool good = true;
  for (std::string line; std::getline(std::cin, line);) {
    Json result;
    try {
      const Json record = parse_json(line, "the record", answers.limits);
      if (!record.is_object()) {
        fail(ErrorCode::kBadJson, "the record is of kind {}, wanted object", record.kind_name());
      }
      result = answers.answer(record);
    } catch (const Error& error) {
      good = false;
      result = answers.failure(error);
    }
    out.write(result.dump() + "\n");
  }
  return good;
}

}  // namespace duet
