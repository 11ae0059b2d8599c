#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chat/session.h"
#include "terminal/chat_input.h"
#include "terminal/output.h"

namespace duet {

struct ChatScreenOptions {
  SamplingParams sampling;
  SamplingParams retry_sampling;  // for /regen
  SamplingTexts sampling_texts;
  int64_t max_new_tokens = 0;
  std::vector<std::string> stop_strings;
  std::string system;
  std::filesystem::path history_file;  // empty: not kept
};

/// A chat with a person at the terminal, or with the lines of standard input where that is no terminal.
class ChatScreen {
 public:
  ChatScreen(Session& session, ChatScreenOptions options);
  ~ChatScreen();

  /// Until Ctrl-D, /quit or the end of the input. Throws what input and output throw, and, away from a terminal, what
  /// an answer fails with, and cancelled on Ctrl-C.
  void run();

 private:
  class Answer;
  bool handle(const ChatEntry& entry);
  bool obey(const ChatEntry& entry);
  void answer(const SamplingParams& sampling);
  void regenerate();
  void show_system() const;
  void save(const std::string& name);
  void load(const std::string& name);
  void greet() const;
  void help() const;
  void interrupted_at_prompt(const ChatEntry& entry) const;
  void note(std::string_view text) const;
  void report(const Error& error) const;

  Session& session_;
  ChatScreenOptions options_;
  Output output_{1}, notes_{2};
  bool interactive_;
  std::unique_ptr<LineSource> lines_;
  Conversation conversation_;
  std::set<std::filesystem::path> own_files_;  // saved or loaded in this chat: /save may write them again
  uint64_t answers_ = 0;
};

/// "42 tokens, 31.2 tokens/s; prompt 37 tokens, 30 of them known already, 0.21 s"
std::string statistics_line(const Finished& finished);

}  // namespace duet
