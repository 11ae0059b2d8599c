#include "terminal/chat_screen.h"

#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "model/decoder.h"
#include "terminal/input.h"
#include "terminal/interrupt.h"

namespace duet {
namespace {

constexpr uint64_t kMaxChatFileBytes = uint64_t{64} << 20;

constexpr std::string_view kHelp =
    "/help         this list\n"
    "/quit         leave (so does Ctrl-D)\n"
    "/clear        forget the conversation, keep the system message\n"
    "/system TEXT  set the system message; without TEXT show it; \"/system -\" removes it\n"
    "/regen        answer the last message once more\n"
    "/save FILE    write the conversation to a file (JSON)\n"
    "/load FILE    go on with a conversation that was saved\n"
    "A line that ends with \\ goes on in the next one; \"\"\" begins and ends a text of many lines.\n"
    "Ctrl-C stops an answer. Arrow keys edit the line and bring back earlier ones.\n";

/// "~/x" as a shell would have it.
std::filesystem::path expanded(const std::string& name) {
  const char* home = std::getenv("HOME");
  if (name.starts_with("~/") && home != nullptr) return std::filesystem::path(home) / name.substr(2);
  return name;
}

}  // namespace

std::string statistics_line(const Finished& finished) {
  std::string line = fmt::format("{} token{}", finished.new_tokens, finished.new_tokens == 1 ? "" : "s");
  if (const double speed = answer_tokens_per_second(finished); speed > 0)
    line += fmt::format(", {:.1f} tokens/s", speed);
  line += fmt::format("; prompt {} tokens", finished.prompt_tokens);
  if (finished.reused_tokens > 0) line += fmt::format(", {} of them known already", finished.reused_tokens);
  return line + fmt::format(", {:.2f} s", finished.prompt_seconds);
}

/// Shows one answer as it comes and keeps what the conversation needs of it.
class ChatScreen::Answer {
 public:
  explicit Answer(const ChatScreen& screen) : screen_(screen) {}

  void operator()(const TurnsDropped&) {}
  void operator()(const Logprobs&) {}
  void operator()(const PromptProgress&) {}
  void operator()(const TextDelta& delta) {
    text += delta.text;
    screen_.output_.write_untrusted(delta.text);
  }
  void operator()(const ReasoningDelta& delta) {
    screen_.output_.write(screen_.output_.dim(visible_controls(delta.text)));
  }
  void operator()(const Finished& end) {
    finished = end;
    if (!text.ends_with('\n')) screen_.output_.write("\n");
  }
  void operator()(const Failed& failed) {
    error = failed.error;
    if (!text.empty() && !text.ends_with('\n')) screen_.output_.write("\n");
  }

  std::string text;
  Finished finished;
  std::optional<Error> error;

 private:
  const ChatScreen& screen_;
};

ChatScreen::ChatScreen(Session& session, ChatScreenOptions options)
    : session_(session),
      options_(std::move(options)),
      interactive_(::isatty(STDIN_FILENO) == 1 && output_.is_terminal()) {
  if (interactive_) {
    lines_ = std::make_unique<LineEditor>(options_.history_file);
  } else {
    lines_ = std::make_unique<InputLines>();
  }
  conversation_.set_system(options_.system);
}

ChatScreen::~ChatScreen() = default;

void ChatScreen::run() {
  greet();
  const std::string prompt = output_.bold("> "), continuation = output_.dim(". ");
  while (handle(read_chat_entry(*lines_, prompt, continuation))) {
    if (termination_requested()) throw_if_interrupted();
  }
}

/// Returns whether the chat goes on.
bool ChatScreen::handle(const ChatEntry& entry) {
  if (auto* editor = dynamic_cast<LineEditor*>(lines_.get()); editor != nullptr && !entry.source.empty()) {
    if (!editor->remember(entry.source)) {
      note("the history cannot be written to " + options_.history_file.string());
      options_.history_file.clear();
    }
  }
  switch (entry.kind) {
    case ChatEntry::Kind::kEnd:
      if (interactive_) output_.write("\n");
      return false;
    case ChatEntry::Kind::kInterrupted:
      interrupted_at_prompt(entry);
      return true;
    case ChatEntry::Kind::kCommand:
      return obey(entry);
    case ChatEntry::Kind::kText:
      break;
  }
  if (entry.source.empty()) return true;
  conversation_.add_user(entry.text);
  answer(options_.sampling);
  return true;
}

bool ChatScreen::obey(const ChatEntry& entry) {
  const std::string& command = entry.command;
  if (command == "quit" || command == "exit" || command == "bye") return false;
  try {
    if (command == "help") {
      help();
    } else if (command == "clear") {
      conversation_.clear();
      note("the conversation is forgotten");
    } else if (command == "system") {
      if (entry.text.empty()) {
        show_system();
      } else {
        conversation_.set_system(entry.text == "-" ? "" : entry.text);
        note(entry.text == "-" ? "the system message is removed" : "the system message is set");
      }
    } else if (command == "regen") {
      regenerate();
    } else if (command == "save") {
      save(entry.text);
    } else if (command == "load") {
      load(entry.text);
    } else {
      throw Error(ErrorCode::kUsageError, fmt::format("there is no command /{}", command),
                  "/help lists the commands; a message may begin with a space before the /");
    }
  } catch (const Error& error) {
    if (!interactive_ || error.code() == ErrorCode::kCancelled) throw;
    report(error);
  }
  return true;
}

void ChatScreen::answer(const SamplingParams& sampling) {
  take_interrupt();  // one that came before the answer is not meant for it
  GenerateRequest request;
  Answer shown(*this);
  try {
    request.sampling = sampling;
    request.sampling_texts = options_.sampling_texts;
    request.sampling.seed += answers_++;  // so that /regen says something else
    request.max_new_tokens = options_.max_new_tokens;
    request.stop_strings = options_.stop_strings;
    session_.chat(conversation_.messages(), {}, std::move(request), interrupt_requested(),
                  [&](const ChatEvent& event) { std::visit(shown, event); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIoError) throw;  // our own input or output is gone
    shown.error = error;
  }
  const bool stopped = !shown.error && shown.finished.reason == FinishReason::kCancelled;
  if (shown.error || (stopped && shown.text.empty())) {
    conversation_.drop_last("user");  // a question without an answer would confuse the next one
  } else {
    conversation_.add_assistant(shown.text);
  }
  if (shown.error) {
    if (!interactive_) throw *shown.error;
    return report(*shown.error);
  }
  if (stopped) {
    if (!interactive_ || termination_requested()) throw Error(ErrorCode::kCancelled, "interrupted");
    take_interrupt();
    note("stopped");
  }
  if (shown.finished.reason == FinishReason::kContext) {
    note(fmt::format("the answer ends here: the context of {} tokens is full. /clear starts afresh",
                     session_.context_tokens()));
  }
  if (interactive_) output_.write(output_.dim(statistics_line(shown.finished)) + "\n");
}

void ChatScreen::regenerate() {
  Conversation before = conversation_;
  conversation_.drop_last("assistant");
  if (conversation_.messages().empty() || conversation_.messages().back().role != "user") {
    conversation_ = std::move(before);
    throw Error(ErrorCode::kUsageError, "there is no message to answer once more");
  }
  const size_t question = conversation_.messages().size();
  answer(options_.retry_sampling);
  if (conversation_.messages().size() < question)
    conversation_ = std::move(before);  // no new answer: the old one stays
}

void ChatScreen::show_system() const {
  const auto& messages = conversation_.messages();
  if (messages.empty() || messages.front().role != "system")
    return note("there is no system message but the template's own");
  output_.write_untrusted(messages.front().content + "\n");
}

void ChatScreen::save(const std::string& name) {
  if (name.empty()) throw Error(ErrorCode::kUsageError, "/save needs the name of a file");
  const std::filesystem::path path = expanded(name);
  if (std::filesystem::exists(path) && !own_files_.contains(path)) {
    throw Error(ErrorCode::kUsageError, fmt::format("{}: is there already", path.string()), "choose another name");
  }
  write_file_atomically(path, conversation_.to_json().dump() + "\n");
  own_files_.insert(path);
  note(fmt::format("{} messages are in {}", conversation_.messages().size(), path.string()));
}

void ChatScreen::load(const std::string& name) {
  if (name.empty()) throw Error(ErrorCode::kUsageError, "/load needs the name of a file");
  const std::filesystem::path path = expanded(name);
  const std::string base = path.filename().string();
  conversation_ = Conversation::from_json(parse_json(read_text_file(path, kMaxChatFileBytes), base), base);
  own_files_.insert(path);
  note(fmt::format("{} messages from {}", conversation_.messages().size(), path.string()));
}

void ChatScreen::greet() const {
  if (!interactive_) return;
  const ModelSpec& spec = session_.model().description().spec;
  output_.write(
      fmt::format("{}  {}\n", output_.bold(session_.model().name()),
                  output_.dim(fmt::format("{}, context of {} tokens", spec.family, session_.context_tokens()))));
  output_.write(output_.dim("/help lists the commands, Ctrl-D leaves") + "\n");
}

void ChatScreen::help() const { output_.write(kHelp); }

void ChatScreen::interrupted_at_prompt(const ChatEntry& entry) const {
  if (!interactive_) throw Error(ErrorCode::kCancelled, "interrupted");
  output_.write("^C\n");
  if (entry.text.empty()) note("Ctrl-D or /quit leaves");
}

void ChatScreen::note(std::string_view text) const {
  if (interactive_) {
    output_.write(output_.dim(fmt::format("({})", visible_controls(text))) + "\n");
  } else {
    notes_.write(fmt::format("duet: note: {}\n", text));
  }
}

void ChatScreen::report(const Error& error) const {
  output_.write_untrusted(fmt::format("error: {} [{}]\n", error.message(), error_code_name(error.code())));
  const bool full = error.code() == ErrorCode::kContextOverflow;
  const std::string hint = full ? "/clear starts afresh" : error.hint();
  if (!hint.empty()) output_.write(output_.dim("hint: " + hint) + "\n");
}

}  // namespace duet
