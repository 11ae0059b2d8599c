#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace duet {

/// Stand-ins for texts that spell special tokens, while a template moves the text around them. A stand-in is one
/// private-use character that occurs in no text, then its number in private-use digits, then that character again: what
/// no template looks for, trims, or changes the case of.
class StandIns {
 public:
  /// What a text may keep of the added tokens that it spells.
  enum class Keep {
    kNothing,
    kOrdinary,  // an assistant's: added tokens that are not special, since its template may look for them ("</think>")
  };

  /// `texts` holds every text that will be hidden. Throws bad_value when they use up the private characters.
  explicit StandIns(const Json& texts);

  /// Messages with every string in them hidden, keys included; a message of role "assistant" keeps ordinary tokens.
  Json hide_messages(const Json& messages, const Tokenizer& tokenizer);
  /// Any value with every string in it hidden, keys included.
  Json hide(const Json& value, const Tokenizer& tokenizer, Keep keep = Keep::kNothing);

  /// Puts the texts back and appends where they are now. Throws template_error when a stand-in was cut or changed.
  std::string reveal(std::string_view rendered, std::vector<TextSpan>& spans) const;

 private:
  std::string hide_text(std::string_view text, const Tokenizer& tokenizer, Keep keep);

  std::string mark_;
  std::string escaped_mark_;  // as JSON spells it in ASCII
  std::vector<std::string> hidden_;
};

}  // namespace duet
