// What the chat's commands do; what they are called is in chat_commands.cc.
#include <algorithm>
#include <charconv>
#include <tuple>

#include "base/file.h"
#include "engine/sampling_fields.h"
#include "terminal/attachments.h"
#include "terminal/chat_commands.h"
#include "terminal/chat_screen.h"
#include "terminal/external_editor.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr uint64_t kMaxChatFileBytes = uint64_t{64} << 20;
constexpr int64_t kQuoteColumns = 60;  // of a message that is named

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t end = 0;;) {
    const size_t begin = text.find_first_not_of(" \t=", end);
    if (begin == std::string::npos) return words;
    end = std::min(text.find_first_of(" \t=", begin), text.size());
    words.push_back(text.substr(begin, end - begin));
  }
}

void set_fields(OpenedModel& model, const std::string& name, const std::string& value) {
  SamplingParams sampling = model.sampling, retry = model.retry_sampling;
  set_sampling_field(sampling, name, value);
  set_sampling_field(retry, name, value);
  model.sampling = std::move(sampling);
  model.retry_sampling = std::move(retry);
}

const Message* last_question(const Conversation& conversation) {
  const auto& messages = conversation.messages();
  const auto found =
      std::find_if(messages.rbegin(), messages.rend(), [](const Message& message) { return message.role == "user"; });
  return found == messages.rend() ? nullptr : &*found;
}

}  // namespace

bool ChatScreen::obey(const ChatEntry& entry) {
  const std::string& command = entry.command;
  try {
    check_chat_command(command, entry.text);
    if (command == "quit" || command == "exit" || command == "bye") return false;
    if (command == "help" || command == "?") {
      output_.write(chat_help(terminal_columns()));
    } else if (command == "clear") {
      clear();
    } else if (command == "system") {
      set_system(entry.text);
    } else if (command == "undo") {
      undo();
    } else if (command == "regen") {
      regenerate();
    } else if (command == "edit") {
      edit();
    } else if (command == "model") {
      switch_model(entry.text);
    } else if (command == "params") {
      change_params(entry.text);
    } else if (command == "think") {
      change_thinking(entry.text);
    } else if (command == "save") {
      save(entry.text);
    } else if (command == "load") {
      load(entry.text);
    } else {
      show_statistics();
    }
  } catch (const Error& error) {
    if (!interactive_ || error.code() == ErrorCode::kCancelled) throw;
    report(error);
  }
  return true;
}

/// So that a person who goes on with a conversation knows where it is.
void ChatScreen::tell_last_question(std::string_view begin) const {
  const Message* question = last_question(conversation_);
  note(question == nullptr
           ? std::string(begin)
           : fmt::format("{}; the last question was: {}", begin, one_line(question->content, kQuoteColumns)));
}

void ChatScreen::clear() {
  conversation_.clear();
  store_.begin();
  before_edit_.reset();
  typed_.clear();
  last_ = {};
  note("the conversation is forgotten");
}

void ChatScreen::set_system(const std::string& text) {
  if (!text.empty()) {
    conversation_.set_system(text == "-" ? "" : text);
    return note(text == "-" ? "the system message is removed" : "the system message is set");
  }
  const auto& messages = conversation_.messages();
  if (messages.empty() || messages.front().role != "system")
    return note("there is no system message but the template's own");
  output_.write_untrusted(messages.front().content + "\n");
}

void ChatScreen::regenerate() {
  Conversation before = conversation_;
  conversation_.drop_last("assistant");
  if (conversation_.messages().empty() || conversation_.messages().back().role != "user") {
    conversation_ = std::move(before);
    throw Error(ErrorCode::kUsageError, "there is no message to answer once more");
  }
  if (!answer(model_.retry_sampling)) conversation_ = std::move(before);  // no new answer: the old one stays
}

void ChatScreen::undo() {
  const Message* question = last_question(conversation_);
  if (question == nullptr) throw Error(ErrorCode::kUsageError, "there is nothing to take back");
  const std::string shown = one_line(question->content, kQuoteColumns);
  const bool answered = conversation_.drop_last("assistant");
  conversation_.drop_last("user");
  keep();
  note(fmt::format("taken back{}: {}", answered ? ", with its answer" : "", shown));
}

void ChatScreen::edit() {
  const Message* question = last_question(conversation_);
  if (question == nullptr) throw Error(ErrorCode::kUsageError, "there is no message to change");
  if (!interactive_) throw Error(ErrorCode::kUsageError, "/edit needs a terminal");
  const std::string content = question->content;
  const auto typed = typed_.find(content);
  const std::string text = typed == typed_.end() ? content : typed->second;
  Conversation before = conversation_;
  if (const std::string command = editor_command(); !command.empty()) {
    const std::string changed = edit_in_editor(command, text);
    if (changed == text || changed.find_first_not_of(" \t\n") == std::string::npos)
      return note(changed == text ? "the message was not changed" : "the message is empty: nothing is asked");
    conversation_.drop_last("assistant");
    conversation_.drop_last("user");
    before_edit_ = std::move(before);
    output_.write_untrusted("> " + one_line(changed, terminal_columns() - 3) + "\n");
    // A message without attachments is taken as it is: what it says with an @ was text before.
    const std::vector<std::string> as_it_is = {changed};
    ask({ChatEntry::Kind::kText, changed, "", changed, typed == typed_.end() ? as_it_is : std::vector<std::string>{}});
    if (before_edit_) conversation_ = *std::exchange(before_edit_, std::nullopt);
    return;
  }
  conversation_.drop_last("assistant");
  conversation_.drop_last("user");
  before_edit_ = std::move(before);
  editor()->prefill(text, typed == typed_.end() ? std::vector<std::string>{text} : std::vector<std::string>{});
  note("change the message and press Enter; Ctrl-C leaves it as it was");
}

void ChatScreen::switch_model(const std::string& name) {
  if (name.empty()) {
    note(fmt::format("the model is {}", model_.name));
    std::string others;
    for (const std::string& other : options_.model_names ? options_.model_names() : std::vector<std::string>{})
      if (other != model_.name) others += (others.empty() ? "" : ", ") + other;
    if (!others.empty()) note("there are also: " + others);
    return;
  }
  if (!options_.open_model) throw Error(ErrorCode::kUsageError, "the model cannot be changed here");
  OpenedModel opened;
  std::pair<SamplingParams, SamplingParams> defaults;
  try {
    opened = options_.open_model(name);
    defaults = {opened.sampling, opened.retry_sampling};
    for (const auto& [field, value] : params_) set_fields(opened, field, value);
  } catch (const Error& error) {
    if (!interactive_ || termination_requested()) throw;
    if (error.code() != ErrorCode::kCancelled) {
      report(error);
    } else {
      take_interrupt();
    }
    return note(fmt::format("{} stays", model_.name));
  }
  model_ = std::move(opened);
  default_sampling_ = std::move(defaults);
  if ((options_.chat.think || options_.chat.thought_tokens) && !model_.session->can_think()) {
    options_.chat.think.reset();
    options_.chat.thought_tokens.reset();
    note(fmt::format("{} knows no thinking: /think is as by default", model_.name));
  }
  note(fmt::format("the model is {} now, with a context of {} tokens; the conversation goes on", model_.name,
                   model_.session->context_tokens()));
}

void ChatScreen::show_params() const {
  size_t widest = 0;
  for (const SamplingField& field : sampling_fields()) widest = std::max(widest, field.name.size());
  constexpr int64_t kValueColumns = 10;  // but for a seed, beside which nothing need be aligned
  HelpTable table(static_cast<int64_t>(widest) + 2 + kValueColumns, terminal_columns());
  for (const SamplingField& field : sampling_fields()) {
    const std::string value = sampling_field_text(model_.sampling, field.name);
    table.add(fmt::format("{:<{}}  {}", field.name, widest, value), field.help);
  }
  output_.write(table.take());
}

void ChatScreen::change_params(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  if (words.empty()) return show_params();
  if (words.size() == 1 && words[0] == "default") {
    std::tie(model_.sampling, model_.retry_sampling) = default_sampling_;
    params_.clear();
    return note("answers are sampled as at the beginning");
  }
  if (words.size() % 2 != 0) {
    const bool known = std::any_of(sampling_fields().begin(), sampling_fields().end(),
                                   [&](const SamplingField& field) { return field.name == words[0]; });
    if (words.size() == 1 && known) {
      return note(fmt::format("{} is {}", words[0], sampling_field_text(model_.sampling, words[0])));
    }
    throw Error(ErrorCode::kUsageError, fmt::format("/params needs a value after '{}'", printable(words.back())),
                "/params temperature 0.7 top-k 40; /params alone shows them all");
  }
  OpenedModel changed;
  changed.sampling = model_.sampling;
  changed.retry_sampling = model_.retry_sampling;
  for (size_t i = 0; i < words.size(); i += 2) set_fields(changed, words[i], words[i + 1]);
  model_.sampling = std::move(changed.sampling);
  model_.retry_sampling = std::move(changed.retry_sampling);
  for (size_t i = 0; i < words.size(); i += 2) {
    params_.emplace_back(words[i], words[i + 1]);
    note(fmt::format("{} is {}", words[i], sampling_field_text(model_.sampling, words[i])));
  }
}

void ChatScreen::change_thinking(const std::string& text) {
  ChatOptions& chat = options_.chat;
  const bool can_think = model_.session->can_think();
  if (text.empty()) {
    if (!can_think) return note(fmt::format("{} knows no thinking", model_.name));
    const std::string limit =
        chat.thought_tokens ? fmt::format(", for at most {} tokens", *chat.thought_tokens) : std::string();
    return note(
        fmt::format("thinking is {}{}", chat.think ? (*chat.think ? "on" : "off") : "as the model has it", limit));
  }
  if (text != "default" && !can_think) {
    throw Error(ErrorCode::kUnsupportedFeature,
                fmt::format("{}: the model's template knows no thinking that could be set", model_.name));
  }
  if (text == "default") {
    chat.think.reset();
    chat.thought_tokens.reset();
  } else if (text == "on" || text == "off") {
    chat.think = text == "on";
    chat.thought_tokens.reset();
  } else {
    int64_t tokens = -1;
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), tokens);
    if (bad != std::errc() || end != text.data() + text.size() || tokens < 0) {
      throw Error(ErrorCode::kUsageError,
                  fmt::format("/think takes on, off, default or a number of tokens from 0, not '{}'", printable(text)));
    }
    chat.think = true;
    chat.thought_tokens = tokens;
  }
  change_thinking("");
}

void ChatScreen::save(const std::string& name) {
  if (name.empty()) throw Error(ErrorCode::kUsageError, "/save needs the name of a file");
  const std::filesystem::path path = expanded_home(name);
  if (std::filesystem::exists(path) && !own_files_.contains(path)) {
    throw Error(ErrorCode::kUsageError, fmt::format("{}: is there already", path.string()), "choose another name");
  }
  write_file_atomically(path, conversation_.to_json().dump() + "\n");
  own_files_.insert(path);
  note(fmt::format("{} messages are in {}", conversation_.messages().size(), path.string()));
}

void ChatScreen::load(const std::string& name) {
  if (name.empty()) throw Error(ErrorCode::kUsageError, "/load needs the name of a file");
  const std::filesystem::path path = expanded_home(name);
  const std::string base = path.filename().string();
  conversation_ = Conversation::from_json(parse_json(read_text_file(path, kMaxChatFileBytes), base), base);
  own_files_.insert(path);
  store_.begin();
  before_edit_.reset();
  last_ = {};
  tell_last_question(fmt::format("{} messages from {}", conversation_.messages().size(), path.string()));
}

void ChatScreen::show_statistics() const {
  const int64_t used = last_.prompt_tokens + last_.new_tokens, context = model_.session->context_tokens();
  note(fmt::format(
      "{} messages; {} of the context's {} tokens ({} %) with the last answer; {} tokens answered in this chat",
      conversation_.messages().size(), used, context, used * 100 / std::max<int64_t>(context, 1), all_tokens_));
}

}  // namespace duet
