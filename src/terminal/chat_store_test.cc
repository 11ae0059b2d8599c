#include "terminal/chat_store.h"

#include <sys/stat.h>

#include <chrono>

#include "base/file.h"
#include "tests/support.h"

namespace duet {
namespace {

Conversation talk(const std::string& question) {
  Conversation conversation;
  conversation.set_system("S");
  conversation.add_user(question);
  conversation.add_assistant("answer");
  return conversation;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777u : 0;
}

TEST(ChatStore, KeepsTheConversation) {
  const auto folder = test::temporary_folder() / "state" / "chats";
  std::vector<std::string> problems;
  ChatStore store(folder);
  EXPECT_FALSE(store.newest(problems));
  store.save("models/My Model.gguf", talk("one"));
  store.save("models/My Model.gguf", talk("two"));
  const auto files = files_in(folder);
  ASSERT_EQ(files.size(), 1u);
  EXPECT_TRUE(files[0].filename().string().ends_with("Z-My_Model.gguf.json")) << files[0];
  EXPECT_EQ(mode_of(files[0]), 0600u);
  EXPECT_EQ(mode_of(folder), 0700u);
  const auto newest = store.newest(problems);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->model, "models/My Model.gguf");
  EXPECT_EQ(newest->conversation.messages(), talk("two").messages());
  EXPECT_TRUE(problems.empty());
}

TEST(ChatStore, EveryConversationHasItsFile) {
  const auto folder = test::temporary_folder();
  ChatStore store(folder);
  store.save("m", talk("one"));
  store.begin();
  store.save("m", talk("two"));
  EXPECT_EQ(files_in(folder).size(), 2u);
  store.save("m", Conversation());  // taken back
  EXPECT_EQ(files_in(folder).size(), 1u);
  EXPECT_FALSE(store.saved());
  ChatStore none("");
  none.save("m", talk("one"));
  EXPECT_FALSE(none.saved());
}

TEST(ChatStore, BrokenFilesArePassedOver) {
  const auto folder = test::temporary_folder();
  ChatStore store(folder);
  store.save("m", talk("good"));
  const auto later = std::filesystem::file_time_type::clock::now() + std::chrono::hours(1);
  write_file_atomically(folder / "broken.json", "{\"messages\": [");
  std::filesystem::last_write_time(folder / "broken.json", later);
  std::vector<std::string> problems;
  const auto newest = store.newest(problems);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->conversation.messages().at(1).content, "good");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("broken.json"), std::string::npos);
}

TEST(ChatStore, TheOldestGo) {
  const auto folder = test::temporary_folder();
  const auto now = std::filesystem::file_time_type::clock::now();
  for (int i = 0; i < 105; ++i) {
    const auto file = folder / fmt::format("{}.json", i);
    write_file_atomically(file, "{\"messages\":[]}");
    std::filesystem::last_write_time(file, now - std::chrono::hours(1000 - i));
  }
  ChatStore store(folder);
  store.save("m", talk("new"));
  EXPECT_EQ(files_in(folder).size(), ChatStore::kKept);
  EXPECT_FALSE(std::filesystem::exists(folder / "5.json"));
  EXPECT_TRUE(std::filesystem::exists(folder / "6.json"));
}

TEST(ChatStore, OneLine) {
  EXPECT_EQ(one_line("a\nb\x1b", 10), "a b^[");
  EXPECT_EQ(one_line("東京は日本の首都です。", 9), "東京は日…");
}

}  // namespace
}  // namespace duet
