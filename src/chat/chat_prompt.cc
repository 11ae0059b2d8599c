#include "chat/chat_prompt.h"

#include <algorithm>

#include "base/error.h"
#include "chat/stand_ins.h"
#include "text/tokenizer.h"

namespace duet {
namespace {

/// Whether the text ends in a thought: its last opening tag, which only white space follows, is the template's own.
bool ends_in_thought(std::string_view text, const std::vector<TextSpan>& hidden) {
  const size_t open = text.rfind(kThoughtTags.open);
  if (open == std::string_view::npos) return false;
  const std::string_view rest = text.substr(open + kThoughtTags.open.size());
  if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) return false;
  return std::none_of(hidden.begin(), hidden.end(), [&](const TextSpan& span) { return span.begin == open; });
}

constexpr std::string_view kSwitch = "enable_thinking";

/// Where each turn but the system message begins, in messages; the first is the beginning, whatever stands there.
std::vector<size_t> turn_begins(std::span<const Message> messages) {
  std::vector<size_t> begins;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "user" || (begins.empty() && messages[i].role != "system")) begins.push_back(i);
  }
  return begins;
}

ChatPrompt encode_messages(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                           std::span<const Message> messages, size_t drop_begin, size_t drop_end,
                           const ChatOptions& options) {
  std::vector<Message> kept(messages.begin(), messages.begin() + static_cast<ptrdiff_t>(drop_begin));
  kept.insert(kept.end(), messages.begin() + static_cast<ptrdiff_t>(drop_end), messages.end());
  TemplateInput input;
  input.messages = messages_json(kept);
  input.kwargs = Json::Object{{"add_generation_prompt", true}};
  const bool limited = options.thought_tokens.has_value();
  if (options.think || limited) {
    input.kwargs.object().emplace_back(std::string(kSwitch), options.think.value_or(limited));
  }
  return encode_chat(chat_template, tokenizer, std::move(input));
}

}  // namespace

bool knows_thoughts(const ChatTemplate& chat_template) { return chat_template.mentions(kThoughtTags.close); }

PreparedChat prepare_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                          std::span<const Message> messages, const ChatOptions& options, int64_t context_tokens,
                          int64_t max_new_tokens) {
  const std::vector<size_t> turns = turn_begins(messages);
  const size_t first = turns.empty() ? 0 : turns.front();
  const auto encode = [&](size_t dropped_turns) {
    return encode_messages(chat_template, tokenizer, messages, first, turns.empty() ? 0 : turns[dropped_turns],
                           options);
  };
  PreparedChat prepared;
  ChatPrompt prompt = encode(0);
  const int64_t answer_tokens =
      std::min(max_new_tokens > 0 ? max_new_tokens : std::max<int64_t>(1, context_tokens / 8), context_tokens / 2);
  const auto fits = [&](const ChatPrompt& candidate) {
    return static_cast<int64_t>(candidate.ids.size()) + answer_tokens <= context_tokens;
  };
  if (options.drop_oldest && !fits(prompt) && turns.size() > 1) {
    // Fewer turns make a shorter prompt, so the fewest that must go are found by halving.
    size_t low = 1, high = turns.size() - 1;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (fits(encode(middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    prompt = encode(low);
    prepared.dropped_messages = static_cast<int64_t>(turns[low] - first);
  }
  prepared.ids = std::move(prompt.ids);
  const bool has_switch = chat_template.mentions(kSwitch);
  if (options.think.value_or(false) && !has_switch && !prompt.in_thought) {
    throw Error(ErrorCode::kUnsupportedFeature, "the model's chat template has no switch for thinking",
                "leave --think out: the model answers as it was trained to");
  }
  if (!knows_thoughts(chat_template)) return prepared;
  prepared.thought = ThoughtRules{.in_thought = prompt.in_thought, .max_tokens = options.thought_tokens};
  if (options.think == false && !has_switch) prepared.thought->max_tokens = 0;
  return prepared;
}

ChatPrompt encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, TemplateInput input) {
  StandIns stand_ins(Json::Array{input.messages, input.tools});
  input.messages = stand_ins.hide_messages(input.messages, tokenizer);
  input.tools = stand_ins.hide(input.tools, tokenizer);
  if (input.special_tokens.empty()) input.special_tokens = tokenizer.special_token_strings();
  std::vector<TextSpan> hidden;
  const std::string text = stand_ins.reveal(chat_template.render(input).text, hidden);
  return {tokenizer.encode(text, {.parse_special = true, .add_special = false, .plain_spans = hidden}),
          ends_in_thought(text, hidden)};
}

}  // namespace duet
