#!/usr/bin/env bash
# clang-tidy 14 with the checks of .clang-tidy over the layers whose headers are quick to read. It needs a configured build for
# the compiler's options: tidy.sh [BUILD_FOLDER] (default: build/release). --self-test: bad names must be found.
#
# Twelve files at a time are read as one, because the checks spend nearly all their time in the headers of the library. Files that
# do not compile in such company, mostly because they give the same name to two things, are read alone.
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "$0")")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export scratch

run_tidy() { # FILE FINDINGS: appends its findings, one a line; warnings are the compiler's part (-w)
  local status=0 output
  output=$(clang-tidy-14 --quiet --config-file=.clang-tidy --checks=-bugprone-suspicious-include "$1" -- \
    "${flags[@]}" -w -ferror-limit=0 2>&1) || status=$?
  if ! grep -E '^[^ ]+:[0-9]+:[0-9]+: (error|warning): ' <<<"$output" >>"$2" && [ "$status" != 0 ]; then
    printf '%s:1:1: error: clang-tidy ended with status %s: %s\n' "$1" "$status" "$(tail -n 20 <<<"$output")" >>"$2"
  fi
}

check_files() { # FILE...: their findings go to a file of their own in $scratch
  local id=$BASHPID file flags together=() alone=() company=("$@")
  mapfile -t flags <"$scratch/flags"
  while [ "${#company[@]}" -gt 1 ]; do
    printf '#include "%s"\n' "${company[@]/#/$PWD/}" >"$scratch/$id.cc"
    : >"$scratch/$id.together"
    run_tidy "$scratch/$id.cc" "$scratch/$id.together"
    grep -qF '[clang-diagnostic-error]' "$scratch/$id.together" || break
    together=()
    for file in "${company[@]}"; do
      if grep -F '[clang-diagnostic-error]' "$scratch/$id.together" | grep -qF "/$file:"; then alone+=("$file"); else together+=("$file"); fi
    done
    # An error that names none of them is in a header: each shows on its own what is wrong.
    if [ "${#together[@]}" = "${#company[@]}" ]; then alone+=("${together[@]}") together=(); fi
    company=("${together[@]}")
    : >"$scratch/$id.together"
  done
  if [ "${#company[@]}" = 1 ]; then alone+=("${company[@]}"); fi
  [ ! -e "$scratch/$id.together" ] || mv "$scratch/$id.together" "$scratch/$id.found"
  for file in ${alone[@]+"${alone[@]}"}; do run_tidy "$PWD/$file" "$scratch/$id.found"; done
}
export -f run_tidy check_files

check_all() { # names on stdin, each ended by a NUL: prints every finding once and fails if there is one
  xargs -0 -r -n 12 -P "$(nproc)" bash -c 'set -euo pipefail; check_files "$@"' check_files || return 2
  cat "$scratch"/*.found | sed "s|^$PWD/||" | sort -u -t: -k1,1 -k2,2n -k3,3n -k4 >"$scratch/all"
  cat "$scratch/all"
  [ ! -s "$scratch/all" ]
}

if [ "${1:-}" = --self-test ]; then
  mkdir "$scratch/src"
  cp .clang-tidy "$scratch/"
  cd "$scratch"
  echo '-std=c++20' >flags
  printf '#pragma once\nstruct bad_name {\n  int BadMember;\n};\nint *BadFunction() { return 0; }\n' >src/bad.h
  printf '#include "bad.h"\n' >src/bad.cc
  printf '#include "bad.h"\nnamespace {\nint taken;\nint OtherName = 0;\n}\n' >src/taken.cc
  printf 'namespace {\nstruct taken {};\nint clashing(taken *Argument) { return Argument == nullptr ? 1 : 0; }\n}\n' >src/clash.cc
  printf 'int broken() { return undeclared; }\n' >src/broken.cc
  printf 'int good() { return 1; }\n' >src/good.cc
  if found=$(printf '%s\0' src/{bad,taken,clash,broken,good}.cc | check_all); then
    echo 'self-test: the bad files passed' >&2
    exit 1
  fi
  for part in bad_name BadMember BadFunction modernize-use-nullptr OtherName Argument undeclared; do
    case $found in *"$part"*) ;; *) echo "self-test: $part was not found" >&2; exit 1 ;; esac
  done
  [ "$(grep -c BadMember <<<"$found")" = 1 ] || { echo 'self-test: a finding stands twice' >&2; exit 1; }
  rm ./*.found
  printf '%s\0' src/good.cc | check_all || { echo 'self-test: the good file did not pass' >&2; exit 1; }
  echo 'self-test: as expected'
  exit 0
fi

build=${1:-build/release}
[ -f "$build/compile_commands.json" ] || { echo "tidy: $build is not configured (cmake --preset release)" >&2; exit 2; }
# All these files are compiled with the same options; what differs is the last of them, the files read and written.
python3 - "$build/compile_commands.json" >"$scratch/flags" <<'EOF'
import json, shlex, sys
entry = next(e for e in json.load(open(sys.argv[1])) if e["file"].endswith("/src/base/error.cc"))
words = shlex.split(entry["command"])
print("\n".join(words[1:words.index("-o")]))
EOF
# json.cc is left out for the headers of nlohmann, the levels of the processor for their options, which are set one by one.
git ls-files -z -- 'src/base/*.cc' 'src/tensor/*.cc' 'src/formats/*.cc' 'src/text/*.cc' 'src/state/*.cc' 'src/model/*.cc' \
  ':!*_test.cc' ':!src/base/json.cc' | check_all
echo 'tidy: clean'
