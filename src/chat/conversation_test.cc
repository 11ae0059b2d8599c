#include "chat/conversation.h"

#include "tests/support.h"

namespace duet {
namespace {

TEST(Conversation, TurnsAndSystem) {
  Conversation chat;
  chat.add_user("one");
  chat.set_system("S1");
  chat.add_assistant("two");
  chat.set_system("S2");
  EXPECT_EQ(chat.messages(), (std::vector<Message>{{"system", "S2"}, {"user", "one"}, {"assistant", "two"}}));
  EXPECT_FALSE(chat.drop_last("user"));
  EXPECT_TRUE(chat.drop_last("assistant"));
  chat.clear();
  EXPECT_EQ(chat.messages(), (std::vector<Message>{{"system", "S2"}}));
  chat.set_system("");
  EXPECT_TRUE(chat.messages().empty());
  EXPECT_FALSE(chat.drop_last("system"));
}

TEST(Conversation, SavedAndLoaded) {
  Conversation chat;
  chat.set_system("Sei kurz.");
  chat.add_user("\"quoted\"\nand 東京");
  chat.add_assistant("");
  const Json json = parse_json(chat.to_json().dump(), "chat.json");
  EXPECT_EQ(Conversation::from_json(json, "chat.json").messages(), chat.messages());
  EXPECT_EQ(Conversation::from_json(*json.find("messages"), "chat.json").messages(), chat.messages());
}

TEST(Conversation, RefusesWhatIsNoConversation) {
  const auto load = [](std::string_view text) { return Conversation::from_json(parse_json(text, "c.json"), "c.json"); };
  EXPECT_ERROR(load("{}"), ErrorCode::kMissingKey, "messages");
  EXPECT_ERROR(load("3"), ErrorCode::kBadType, "c.json");
  EXPECT_ERROR(load("[1]"), ErrorCode::kBadType, "message 0");
  EXPECT_ERROR(load(R"([{"role":"user"}])"), ErrorCode::kMissingKey, "content");
  EXPECT_ERROR(load(R"([{"role":"user","content":null}])"), ErrorCode::kBadType, "content");
  EXPECT_ERROR(load(R"([{"role":"robot","content":""}])"), ErrorCode::kBadValue, "robot");
  EXPECT_ERROR(load(R"([{"role":"user","content":""},{"role":"system","content":""}])"), ErrorCode::kBadValue,
               "message 1");
}

}  // namespace
}  // namespace duet
