#!/usr/bin/env bash
# clang-tidy 14 with the checks of .clang-tidy over the layers whose headers are quick to read. It needs a configured build for
# the compiler's options: tidy.sh [BUILD_FOLDER] (default: build/fast). --self-test: bad names must be found.
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "$0")")/../.."

# Names on standard input, each ended by a NUL. Prints every finding once, a header's too; fails if there is one. Warnings are
# the compiler's part (-w).
check_all() { # OPTION...
  local log status=0
  log=$(mktemp)
  xargs -0 -r -n 1 -P "$(nproc)" clang-tidy-14 --quiet "$@" >"$log" 2>&1 || status=$?
  grep -E '^[^ ]+:[0-9]+:[0-9]+: (error|warning): ' "$log" | sed "s|^$PWD/||" | sort -u || true
  if [ "$status" != 0 ] && ! grep -qE ': (error|warning): ' "$log"; then cat "$log"; fi
  rm "$log"
  return "$status"
}

if [ "${1:-}" = --self-test ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  cp .clang-tidy "$folder/"
  echo -std=c++20 >"$folder/compile_flags.txt"
  mkdir "$folder/src"
  cd "$folder"
  printf '#pragma once\nstruct bad_name {\n  int BadMember;\n};\nint *BadFunction() { return 0; }\n' >src/bad.h
  printf '#include "bad.h"\n' | tee src/one.cc >src/two.cc
  printf 'int broken() { return undeclared; }\n' >src/broken.cc
  printf 'int good() { return 1; }\n' >src/good.cc
  for name in one broken; do
    printf '%s\0' "$folder/src/$name.cc" | check_all >/dev/null || continue
    echo "self-test: $name.cc passed" >&2
    exit 1
  done
  found=$(printf '%s\0' "$folder"/src/{one,two,broken,good}.cc | check_all || true)
  for part in bad_name BadMember BadFunction modernize-use-nullptr undeclared; do
    case $found in *"$part"*) ;; *) echo "self-test: $part was not found" >&2; exit 1 ;; esac
  done
  [ "$(grep -c BadMember <<<"$found")" = 1 ] || { echo 'self-test: a finding stands twice' >&2; exit 1; }
  printf '%s\0' "$folder/src/good.cc" | check_all || { echo 'self-test: the good file did not pass' >&2; exit 1; }
  echo 'self-test: as expected'
  exit 0
fi

build=${1:-build/fast}
[ -f "$build/compile_commands.json" ] || { echo "tidy: $build is not configured (cmake --preset fast)" >&2; exit 2; }
# json.cc is left out for the headers of nlohmann, the levels of the processor for their options, which are set one by one.
git ls-files -z -- 'src/base/*.cc' 'src/tensor/*.cc' 'src/formats/*.cc' 'src/text/*.cc' 'src/state/*.cc' 'src/model/*.cc' \
  ':!*_test.cc' ':!src/base/json.cc' | check_all -p "$build" --extra-arg=-w
echo 'tidy: clean'
