#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace duet {

/// How chat templates are called: what transformers 5 (render_jinja_template) checks and changes before rendering, and
/// cuts after it. What it refuses with a TypeError or ValueError is a template error of kind `type` here.

/// Messages, tools and documents must be lists of objects (tools and documents may be null).
void check_conversation(const Json& messages, const Json& tools, const Json& documents);

/// Reasoning may come under three names; templates look for two of them. Of the object that a message with reasoning
/// becomes, `thinking` is the first member.
void copy_reasoning(Json& message);

/// continue_final_message: puts a tag behind the text that the model is to go on with, and finds it again.
class ContinuedMessage {
 public:
  /// `wanted` is true or the name of a field; `source` is the template, which must mention that field.
  ContinuedMessage(Json& messages, const Json& wanted, std::string_view source);
  /// Cuts the tag and what the template wrote after it.
  void cut(std::string& rendered) const;

 private:
  std::string original_;  // the text to be continued
};

}  // namespace duet
