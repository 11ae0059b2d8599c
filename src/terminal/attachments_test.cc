#include "terminal/attachments.h"

#include "base/file.h"
#include "tests/support.h"

namespace duet {
namespace {

class Attachments : public testing::Test {
 protected:
  Attachments() : folder_(test::temporary_folder()) {
    write("main.cc", "int main() {}\n");
    write("a b.txt", "one\ntwo");
    write("fence.md", "```\ncode\n```\n");
    write("empty", "");
    write("binary", std::string("a\0b", 3));
    write("latin1", "caf\xe9");
    write("large", std::string((1 << 20) + 1, 'x'));
  }
  void write(const std::string& name, const std::string& text) { write_file_atomically(folder_ / name, text); }
  std::string at(const std::string& name) const { return "@" + (folder_ / name).string(); }
  std::filesystem::path folder_;
};

TEST_F(Attachments, FilesFollowTheMessage) {
  const std::string name = (folder_ / "main.cc").string();
  const Attached attached = attach_files("Explain " + at("main.cc") + ", please. (" + at("main.cc") + ")");
  EXPECT_EQ(attached.text,
            "Explain @" + name + ", please. (@" + name + ")\n\nFile " + name + ":\n```cc\nint main() {}\n```");
  ASSERT_EQ(attached.files.size(), 1u);
  EXPECT_EQ(attached.files[0].name, name);
  EXPECT_EQ(attached.files[0].lines, 1);
}

TEST_F(Attachments, QuotesFencesAndEmptyFiles) {
  const std::string quoted = "@\"" + (folder_ / "a b.txt").string() + "\"";
  const Attached spaces = attach_files(quoted + "?");
  EXPECT_TRUE(spaces.text.ends_with(":\n```txt\none\ntwo\n```")) << spaces.text;
  EXPECT_EQ(spaces.files.at(0).lines, 2);
  EXPECT_TRUE(attach_files(at("fence.md")).text.ends_with(":\n````md\n```\ncode\n```\n````"));
  EXPECT_TRUE(attach_files(at("empty")).text.ends_with(":\n```\n```"));
}

TEST_F(Attachments, WhatIsNoFileIsText) {
  for (const std::string text :
       {"mail me@example.com now", "@everyone", "ask @bob.", "a @ b", "@", "x@y/z", "@\"", ""}) {
    const Attached attached = attach_files(text);
    EXPECT_EQ(attached.text, text);
    EXPECT_TRUE(attached.files.empty());
  }
  EXPECT_EQ(attach_files("\\@a/b.cc x").text, "@a/b.cc x");
}

TEST_F(Attachments, WhatWasPastedIsText) {
  const std::string code = "@app.route('/x')\ndef f(): " + at("main.cc") + "\n";
  EXPECT_EQ(attach_files("look:\n" + code + "end", {code}).text, "look:\n" + code + "end");
  EXPECT_EQ(attach_files(code + at("empty"), {code}).files.size(), 1u);
}

TEST_F(Attachments, WhatCannotBeAttachedIsAnError) {
  EXPECT_ERROR(attach_files("see @no/such.txt, ok"), ErrorCode::kNotFound, "@no/such.txt: there is no such file");
  EXPECT_ERROR(attach_files("@\"no such\""), ErrorCode::kNotFound, "no such");
  EXPECT_ERROR(attach_files("@" + folder_.string()), ErrorCode::kIoError, "is a folder");
  EXPECT_ERROR(attach_files(at("binary")), ErrorCode::kBadString, "binary");
  EXPECT_ERROR(attach_files(at("latin1")), ErrorCode::kBadString, "not UTF-8");
  EXPECT_ERROR(attach_files(at("large")), ErrorCode::kTooLarge, "large");
}

TEST_F(Attachments, PathsAreCompleted) {
  const std::string base = folder_.string() + "/";
  std::filesystem::create_directory(folder_ / "mail");
  EXPECT_EQ(complete_path(base + "ma"), (std::vector<std::string>{base + "mail/", base + "main.cc"}));
  EXPECT_TRUE(complete_path(base + "zzz").empty());
  EXPECT_TRUE(complete_path(base + "no/such/x").empty());
}

}  // namespace
}  // namespace duet
