#include "terminal/chat_screen.h"

#include <unistd.h>

#include <algorithm>

#include "model/decoder.h"
#include "terminal/attachments.h"
#include "terminal/chat_commands.h"
#include "terminal/input.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr auto kTwice = std::chrono::seconds(1);  // a second Ctrl-C within it leaves

}  // namespace

ChatScreen::ChatScreen(OpenedModel model, ChatScreenOptions options)
    : model_(std::move(model)),
      default_sampling_(model_.sampling, model_.retry_sampling),
      options_(std::move(options)),
      interactive_(::isatty(STDIN_FILENO) == 1 && output_.is_terminal()),
      store_(options_.chats_folder) {
  if (interactive_) {
    auto line_editor = std::make_unique<LineEditor>(options_.history_file);
    line_editor->set_completer(
        [this](std::string_view before) { return complete_chat_line(before, options_.model_names); });
    lines_ = std::move(line_editor);
    terminal_ = std::make_unique<TerminalMode>();
  } else {
    lines_ = std::make_unique<InputLines>();
  }
  if (options_.resumed) {
    conversation_ = options_.resumed->conversation;
    if (store_.keeps()) store_.resume(options_.resumed->file);
  }
  if (!options_.system.empty()) conversation_.set_system(options_.system);
}

ChatScreen::~ChatScreen() = default;

LineEditor* ChatScreen::editor() const { return dynamic_cast<LineEditor*>(lines_.get()); }

void ChatScreen::run() {
  greet();
  const std::string prompt = output_.bold("> "), continuation = output_.dim(". ");
  while (handle(read_chat_entry(*lines_, prompt, continuation))) {
    if (termination_requested()) throw_if_interrupted();
  }
  if (interactive_ && store_.saved() && !termination_requested()) note("duet chat --continue goes on from here");
}

/// Returns whether the chat goes on.
bool ChatScreen::handle(const ChatEntry& entry) {
  const TerminalMode::Quiet quiet(interactive_);  // keys that are typed ahead show when their line is read
  if (LineEditor* line_editor = editor(); line_editor != nullptr && !entry.source.empty()) {
    if (!line_editor->remember(entry.source)) {
      note("the history cannot be written to " + options_.history_file.string());
      options_.history_file.clear();
    }
  }
  switch (entry.kind) {
    case ChatEntry::Kind::kEnd:
      if (interactive_) output_.write("\n");
      return false;
    case ChatEntry::Kind::kInterrupted:
      return !leaves_on_interrupt(entry);
    case ChatEntry::Kind::kCommand:
      return obey(entry);
    case ChatEntry::Kind::kText:
      break;
  }
  if (!entry.source.empty()) ask(entry);
  return true;
}

void ChatScreen::ask(const ChatEntry& entry) {
  Attached message{entry.text, {}};
  try {
    // Lines of a pipe may come from anybody: they cannot name files of this machine.
    if (interactive_) message = attach_files(entry.text, entry.pasted);
  } catch (const Error& error) {
    report(error);
    if (LineEditor* line_editor = editor(); line_editor != nullptr) line_editor->prefill(entry.source, entry.pasted);
    return;
  }
  for (const Attached::File& file : message.files)
    note(fmt::format("attached {}, {} line{}", file.name, file.lines, file.lines == 1 ? "" : "s"));
  if (message.text != entry.text) typed_[message.text] = entry.text;
  conversation_.add_user(message.text);
  if (answer(model_.sampling) || !before_edit_) {
    before_edit_.reset();
    return;
  }
  conversation_ = *std::exchange(before_edit_, std::nullopt);
  keep();
  note("the conversation is as it was before the change");
}

/// Answers the last message; false: there is no answer, and the message is out of the conversation.
bool ChatScreen::answer(const SamplingParams& sampling) {
  take_interrupt();  // one that came before the answer is not meant for it
  GenerateRequest request;
  request.sampling = sampling;
  request.sampling_texts = options_.sampling_texts;
  request.sampling.seed += answers_++;  // so that /regen says something else
  request.max_new_tokens = options_.max_new_tokens;
  request.stop_strings = options_.stop_strings;
  AnswerView shown(output_, options_.plain, [this](const std::string& text) { note(text); });
  std::optional<Error> thrown;
  try {
    model_.session->chat(conversation_.messages(), options_.chat, std::move(request), interrupt_requested(),
                         [&](const ChatEvent& event) { shown.show(event); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIoError) throw;  // our own input or output is gone
    thrown = error;
  }
  shown.end();
  const std::optional<Error> error = thrown ? thrown : shown.error();
  const bool stopped = !error && shown.finished().reason == FinishReason::kCancelled;
  const bool answered = !error && !(stopped && shown.text().empty());
  if (answered) {
    conversation_.add_assistant(shown.text(), shown.reasoning());
    last_ = shown.finished();
    all_tokens_ += last_.new_tokens;
    keep();
  } else {
    conversation_.drop_last("user");  // a question without an answer would confuse the next one
  }
  if (error) {
    if (!interactive_) throw Error(*error);
    report(*error);
  } else {
    tell(shown, stopped);
  }
  return answered;
}

/// What there is to say below an answer.
void ChatScreen::tell(const AnswerView& shown, bool stopped) {
  if (stopped) {
    if (!interactive_ || termination_requested()) throw Error(ErrorCode::kCancelled, "interrupted");
    take_interrupt();
    note(shown.text().empty() ? "stopped before the answer; the Up key brings the message back" : "stopped");
  }
  if (shown.finished().reason == FinishReason::kContext) {
    note(fmt::format("the answer ends here: the context of {} tokens is full. /clear starts afresh",
                     model_.session->context_tokens()));
  }
  if (interactive_ && shown.finished().reason == FinishReason::kLength) {
    note(fmt::format("the answer ends here: it has the {} tokens that -n allows", options_.max_new_tokens));
  }
  if (interactive_ && shown.finished().new_tokens > 0) {
    write_dim(statistics_line(shown.finished()));
    output_.write("\n");  // apart from the next question
  }
}

/// Writes the conversation as it is now; that this fails ends no chat.
void ChatScreen::keep() {
  if (!interactive_) return;
  try {
    store_.save(model_.name, conversation_);
  } catch (const Error& error) {
    note(fmt::format("the conversation is not kept: {}", error.message()));
    store_ = ChatStore({});
  }
}

void ChatScreen::greet() const {
  if (!interactive_) return;
  const ModelSpec& spec = model_.session->model().description().spec;
  TextFlow flow(output_.colour(), terminal_columns);
  flow.begin_line("", "", false);
  flow.put_text(visible_controls(model_.session->model().name()), kBold);
  flow.put_text(fmt::format("  {}, context of {} tokens", spec.family, model_.session->context_tokens()), kDim);
  flow.end_line();
  output_.write(flow.take());
  write_dim("/help lists the commands, Ctrl-D leaves");
  if (!options_.resumed) return;
  const auto& messages = conversation_.messages();
  const auto turns =
      std::count_if(messages.begin(), messages.end(), [](const Message& message) { return message.role == "user"; });
  tell_last_question(fmt::format("going on with {} turn{} with {}", turns, turns == 1 ? "" : "s",
                                 std::filesystem::path(options_.resumed->model).filename().string()));
}

/// Ctrl-C at the prompt: true if it is the second of two.
bool ChatScreen::leaves_on_interrupt(const ChatEntry& entry) {
  if (!interactive_) throw Error(ErrorCode::kCancelled, "interrupted");
  output_.write("^C\n");
  const auto now = Clock::now();
  const bool second = entry.text.empty() && now - last_interrupt_ < kTwice;
  last_interrupt_ = entry.text.empty() ? now : Clock::time_point();  // the one that clears a line is no first of two
  if (before_edit_) {
    conversation_ = *std::exchange(before_edit_, std::nullopt);
    keep();
    note("the message stays as it was");
  } else if (entry.text.empty() && !second) {
    note("Ctrl-C once more, Ctrl-D or /quit leaves");
  }
  return second;
}

void ChatScreen::write_wrapped(std::string_view text, uint8_t style) const {
  TextFlow flow(output_.colour(), terminal_columns);
  flow.begin_line("", "", false);
  std::string shown = visible_controls(text);
  std::replace(shown.begin(), shown.end(), '\n', ' ');
  flow.put_text(shown, style);
  flow.end_line();
  output_.write(flow.take());
}

void ChatScreen::write_dim(std::string_view text) const { write_wrapped(text, kDim); }

void ChatScreen::note(std::string_view text) const {
  if (interactive_) {
    write_dim(fmt::format("({})", text));
  } else {
    notes_.write(fmt::format("duet: note: {}\n", text));
  }
}

void ChatScreen::report(const Error& error) const {
  write_wrapped(fmt::format("error: {} [{}]", error.message(), error_code_name(error.code())), kPlainText);
  const bool full = error.code() == ErrorCode::kContextOverflow;
  const std::string hint = !full                       ? error.hint()
                           : options_.chat.drop_oldest ? "/clear starts afresh"
                                                       : "/clear starts afresh, /undo takes a turn back, "
                                                         "duet chat --continue --drop-oldest leaves the oldest out";
  if (!hint.empty()) write_dim("hint: " + hint);
}

}  // namespace duet
