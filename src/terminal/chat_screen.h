#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "chat/session.h"
#include "terminal/answer_view.h"
#include "terminal/chat_input.h"
#include "terminal/chat_store.h"
#include "terminal/output.h"
#include "terminal/terminal_mode.h"

namespace duet {

/// A model that can be talked with.
struct OpenedModel {
  std::unique_ptr<Session> session;
  std::string name;  // what opens it again: a name of the store, or an absolute path
  SamplingParams sampling;
  SamplingParams retry_sampling;  // for /regen
};

struct ChatScreenOptions {
  ChatOptions chat;
  SamplingTexts sampling_texts;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;
  std::string system;
  bool plain = false;                  // answers as they are, no Markdown rendered
  std::filesystem::path history_file;  // empty: not kept
  std::filesystem::path chats_folder;  // empty: conversations are not kept
  std::optional<StoredChat> resumed;   // the conversation to go on with
  /// Opens another model, with progress on standard error, for /model; the old one is still there meanwhile. Throws
  /// what opening throws, out_of_memory where there is no room for both.
  std::function<OpenedModel(const std::string&)> open_model;
  std::function<std::vector<std::string>()> model_names;  // for the Tab key and /model
};

/// A chat with a person at the terminal, or with the lines of standard input where that is no terminal.
class ChatScreen {
 public:
  ChatScreen(OpenedModel model, ChatScreenOptions options);
  ~ChatScreen();

  /// Until Ctrl-D, /quit or the end of the input. Throws what input and output throw, and, away from a terminal, what
  /// an answer fails with, and cancelled on Ctrl-C.
  void run();

 private:
  using Clock = std::chrono::steady_clock;
  // chat_screen.cc: entries and answers
  bool handle(const ChatEntry& entry);
  void ask(const ChatEntry& entry);
  bool answer(const SamplingParams& sampling);
  void tell(const AnswerView& shown, bool stopped);
  void keep();
  void greet() const;
  bool leaves_on_interrupt(const ChatEntry& entry);
  void write_wrapped(std::string_view text, uint8_t style) const;
  void write_dim(std::string_view text) const;
  void note(std::string_view text) const;
  void report(const Error& error) const;
  LineEditor* editor() const;
  // chat_screen_commands.cc
  bool obey(const ChatEntry& entry);
  void tell_last_question(std::string_view begin) const;
  void clear();
  void regenerate();
  void undo();
  void edit();
  void set_system(const std::string& text);
  void switch_model(const std::string& name);
  void change_params(const std::string& text);
  void show_params() const;
  void change_thinking(const std::string& text);
  void save(const std::string& name);
  void load(const std::string& name);
  void show_statistics() const;

  OpenedModel model_;
  std::pair<SamplingParams, SamplingParams> default_sampling_;  // the model's, and for /regen
  ChatScreenOptions options_;
  Output output_{1}, notes_{2};
  bool interactive_;
  std::unique_ptr<TerminalMode> terminal_;
  std::unique_ptr<LineSource> lines_;
  Conversation conversation_;
  std::optional<Conversation> before_edit_;   // a message is being changed in the line; this is what was
  std::map<std::string, std::string> typed_;  // messages with attachments > what was typed
  ChatStore store_;
  std::set<std::filesystem::path> own_files_;                // saved or loaded in this chat: /save may write them again
  std::vector<std::pair<std::string, std::string>> params_;  // set with /params, for the next model as well
  uint64_t answers_ = 0;
  Finished last_;
  int64_t all_tokens_ = 0;
  Clock::time_point last_interrupt_{};
};

}  // namespace duet
