#!/usr/bin/env bash
# clang-tidy 14 with the checks of .clang-tidy over the layers whose headers are quick to read. It needs a configured build for
# the compiler's options: tidy.sh [BUILD_FOLDER] (default: build/release). --self-test: bad names must be found.
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "$0")")/../.."

if [ "${1:-}" = --self-test ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cp .clang-tidy "$folder/"
  printf 'struct bad_name {\n  int BadMember;\n};\nint *BadFunction() { return 0; }\n' >"$folder/x.cc"
  found=$(clang-tidy-14 --quiet "$folder/x.cc" -- -std=c++20 2>/dev/null || true)
  for part in bad_name BadMember BadFunction modernize-use-nullptr; do
    case $found in *"$part"*) ;; *) echo "self-test: $part was not found" >&2; exit 1 ;; esac
  done
  echo 'self-test: as expected'
  exit 0
fi

build=${1:-build/release}
[ -f "$build/compile_commands.json" ] || { echo "tidy: $build is not configured (cmake --preset release)" >&2; exit 2; }
# json.cc is left out for the headers of nlohmann, the levels of the processor for their options, which are set one by one.
git ls-files -z -- 'src/base/*.cc' 'src/tensor/*.cc' 'src/formats/*.cc' 'src/text/*.cc' 'src/state/*.cc' 'src/model/*.cc' \
  ':!*_test.cc' ':!src/base/json.cc' |
  xargs -0 -r -n 1 -P "$(nproc)" clang-tidy-14 --quiet -p "$build" 2> >(grep -vE '^[0-9]+ warnings? (generated|treated)|^$' >&2)
echo 'tidy: clean'
