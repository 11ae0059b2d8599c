#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "chat/chat_template.h"
#include "chat/conversation.h"
#include "chat/reasoning.h"

namespace duet {

class Tokenizer;

/// How a conversation is put to the model.
struct ChatOptions {
  /// Whether the model thinks before it answers; std::nullopt: as its template has it. Where the template has no
  /// switch, false closes a thought as soon as it opens, and true is unsupported_feature unless the template opens one.
  std::optional<bool> think;
  /// The most tokens that a thought may have; then it is closed and the answer begins. std::nullopt: no limit. Where
  /// `think` is not set a limit asks for thinking, if the template has a switch.
  std::optional<int64_t> thought_tokens;
  /// A conversation that does not fit the context loses its oldest turns, and the reader is told (TurnsDropped);
  /// otherwise it is context_overflow.
  bool drop_oldest = false;
};

/// A conversation as the model reads it.
struct ChatPrompt {
  std::vector<TokenId> ids;
  bool in_thought = false;  // the prompt ends inside a thought that the template opened
};

/// template > text > ids: the template's own special tokens are recognised, and text of a message or a tool never
/// becomes a special token, whatever it spells. Apart from that the ids are those of the rendered text as a whole.
/// `input.special_tokens` may be empty: the tokenizer's are taken then. Throws template_error, template_limit,
/// bad_value, too_deep.
ChatPrompt encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, TemplateInput input);

/// A conversation ready for the engine.
struct PreparedChat {
  std::vector<TokenId> ids;
  std::optional<ThoughtRules> thought;  // std::nullopt: the model knows no thoughts
  int64_t dropped_messages = 0;         // the oldest, left out
};

/// messages > template > ids, as `options` ask for. With drop_oldest turns (a message of the user and what answers it)
/// are left out until `context_tokens` hold the rest and the answer: `max_new_tokens`, or an eighth of the context
/// where that is 0, but never more than half of it. A system message and the last turn always stay; what does not fit
/// then is for the engine to refuse. Throws what encode_chat() throws, unsupported_feature.
PreparedChat prepare_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                          std::span<const Message> messages, const ChatOptions& options, int64_t context_tokens,
                          int64_t max_new_tokens);

/// Whether a model with this template knows thoughts.
bool knows_thoughts(const ChatTemplate& chat_template);

}  // namespace duet
