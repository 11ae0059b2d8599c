#include "terminal/output.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/support.h"

namespace duet {
namespace {

TEST(Output, ControlCharactersAreShown) {
  EXPECT_EQ(visible_controls("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(visible_controls("\x1b[2J\r"), "^[[2J^M");
  EXPECT_EQ(visible_controls("\x7f\xc2\x9b"
                             "31m"),
            "^?<9b>31m");
  EXPECT_EQ(visible_controls("naïve 東京 🚀"), "naïve 東京 🚀");
  EXPECT_EQ(visible_controls("\xff"), "\xef\xbf\xbd");
}

TEST(Output, AFullDiskIsAnError) {
  const int fd = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(fd, 0);
  const Output output(fd);
  EXPECT_FALSE(output.is_terminal());
  EXPECT_ERROR(output.write("x"), ErrorCode::kIoError, "No space left");
  EXPECT_NO_THROW(output.write(""));
  ::close(fd);
}

TEST(Output, NoStylesAwayFromATerminal) {
  const int fd = ::open("/dev/null", O_WRONLY);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Output(fd).dim("x"), "x");
  EXPECT_EQ(Output(fd).bold("x"), "x");
  ::close(fd);
}

}  // namespace
}  // namespace duet
