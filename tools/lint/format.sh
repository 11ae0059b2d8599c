#!/usr/bin/env bash
# Checks that every C++ file is formatted as .clang-format says (clang-format 14: versions differ); --fix formats them.
# --self-test: a badly formatted text must be found.
set -euo pipefail
cd "$(dirname -- "$(readlink -f -- "$0")")/../.."

case ${1:-} in
  --self-test)
    if printf 'int  main( ){return 0;}\n' | clang-format-14 --assume-filename=x.cc --dry-run --Werror 2>/dev/null; then
      echo 'self-test: a badly formatted text was not found' >&2
      exit 1
    fi
    echo 'self-test: as expected'
    exit 0
    ;;
  --fix) mode=(-i) ;;
  '') mode=(--dry-run --Werror) ;;
  *) echo "usage: $0 [--fix | --self-test]" >&2; exit 2 ;;
esac
git ls-files -z -co --exclude-standard -- '*.cc' '*.h' | xargs -0 -r -n 40 -P "$(nproc)" clang-format-14 "${mode[@]}"
echo 'format: clean'
