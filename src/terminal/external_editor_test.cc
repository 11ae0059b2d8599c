#include "terminal/external_editor.h"

#include <cstdlib>

#include "tests/support.h"

namespace duet {
namespace {

TEST(ExternalEditor, ChangesTheText) {
  EXPECT_EQ(edit_in_editor("sed -i s/one/two/", "one\nmore"), "two\nmore");
  EXPECT_EQ(edit_in_editor("printf 'x\\n' >", "one"), "x");
  EXPECT_EQ(edit_in_editor("true", "kept\n"), "kept\n");
}

TEST(ExternalEditor, FailuresAreErrors) {
  EXPECT_ERROR(edit_in_editor("false", "x"), ErrorCode::kIoError, "ended with status 1");
  EXPECT_ERROR(edit_in_editor("no-such-editor-at-all 2>&-", "x"), ErrorCode::kIoError, "127");
  EXPECT_ERROR(edit_in_editor("printf '\\377' >", "x"), ErrorCode::kBadString, "not UTF-8");
}

TEST(ExternalEditor, VisualGoesBeforeEditor) {
  ::setenv("EDITOR", "ed", 1);
  ::unsetenv("VISUAL");
  EXPECT_EQ(editor_command(), "ed");
  ::setenv("VISUAL", "vi", 1);
  EXPECT_EQ(editor_command(), "vi");
  ::unsetenv("VISUAL");
  ::unsetenv("EDITOR");
  EXPECT_EQ(editor_command(), "");
}

}  // namespace
}  // namespace duet
