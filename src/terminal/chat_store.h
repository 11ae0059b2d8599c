#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "chat/conversation.h"

namespace duet {

/// A conversation as it is kept between chats: what Conversation::to_json() gives, with "model" before it.
struct StoredChat {
  std::filesystem::path file;
  std::string model;  // what `duet chat` is given to have it again
  Conversation conversation;
};

/// The conversations of a person, each in a file <UTC time>-<model>.json (mode 0600) of one folder (mode 0700). At most
/// kKept are kept: those written last.
class ChatStore {
 public:
  static constexpr size_t kKept = 100;

  /// `folder` empty: nothing is kept.
  explicit ChatStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool keeps() const { return !folder_.empty(); }
  /// The conversation that follows has a file of its own.
  void begin() { file_.clear(); }
  /// It goes on in this one.
  void resume(std::filesystem::path file) { file_ = std::move(file); }
  /// Writes the conversation; one without a question and answer has no file. Throws io_error.
  void save(const std::string& model, const Conversation& conversation);
  /// Whether the conversation has a file.
  bool saved() const { return !file_.empty(); }
  /// The conversation that was written last; std::nullopt: there is none. `problems` gets a line for each broken file
  /// that was passed over.
  std::optional<StoredChat> newest(std::vector<std::string>& problems) const;

 private:
  std::vector<std::filesystem::path> files() const;  // the newest first

  std::filesystem::path folder_, file_;
};

/// "Write me a poem ab…": a text in one line of at most `columns` columns.
std::string one_line(std::string_view text, int64_t columns);

}  // namespace duet
