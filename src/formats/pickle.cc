#include "formats/pickle.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"

namespace duet {

bool has_pickle_name(std::string_view file_name) {
  constexpr std::array<std::string_view, 6> kEndings = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return file_name.ends_with(ending); });
}

void refuse_pickle(const ByteSource& source) {
  if (source.size() < 4) return;
  std::array<unsigned char, 4> first{};
  source.read_at(0, std::as_writable_bytes(std::span(first)));
  const bool zip = first[0] == 'P' && first[1] == 'K' && first[2] == 3 && first[3] == 4;
  // PROTO (0x80), a version from 2 to 5, then an opcode: a safetensors header of 640 bytes and more starts alike, but
  // its length has zeros in the upper bytes.
  const bool bare = first[0] == 0x80 && first[1] >= 2 && first[1] <= 5 && first[3] != 0;
  if (zip || bare) fail_pickle(source.name());
}

void fail_pickle(std::string_view file_name) {
  throw Error(ErrorCode::kPickleRefused,
              fmt::format("{}: a Python pickle, which can run code when it is read; expected safetensors or GGUF",
                          printable(file_name, 255)),
              "convert it to safetensors on a machine that may run it, or fetch the model's safetensors files");
}

}  // namespace duet
