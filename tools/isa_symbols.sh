#!/usr/bin/env bash
# Checks objects that are compiled for one level of the processor: isa_symbols.sh OBJECT.o...
# Each defines one symbol for the linker, the function that fills the kernel table, and none that is weak. A weak symbol is an
# inline function or a template: the linker keeps one copy for the whole program, and were it the copy made for AVX-512, the
# program would end with an illegal instruction on any other processor.
# --self-test: an object with an inline function must be found.
set -euo pipefail

check() { # OBJECT
  local symbols
  # Types in capital letters are visible to the linker; W, V and u are weak or unique.
  symbols=$(nm --defined-only --extern-only --demangle "$1" | awk '{ $1 = ""; print substr($0, 2) }' | grep -v ' __odr_asan\.' || true)
  if [ "$(grep -c . <<<"$symbols")" != 1 ] || ! grep -q '^T ' <<<"$symbols"; then
    echo "$1 must define exactly one symbol, a function that is not weak; it defines:"
    printf '%s\n' "${symbols:-nothing}" | sed 's/^/  /'
    return 1
  fi
}

if [ "${1:-}" = --self-test ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  printf 'static int twice(int x) { return 2 * x; }\nint good(int x) { return twice(x); }\n' >"$folder/good.cc"
  printf 'inline int twice(int x) { return 2 * x; }\nint (*weak(int))(int) { return twice; }\n' >"$folder/weak.cc"
  printf 'int one() { return 1; }\nint two() { return 2; }\n' >"$folder/two.cc"
  for name in good weak two; do "${CXX:-c++}" -O2 -c "$folder/$name.cc" -o "$folder/$name.o"; done
  check "$folder/good.o"
  for name in weak two; do
    if check "$folder/$name.o" >/dev/null; then
      echo "self-test: $name.o was not found"
      exit 1
    fi
  done
  echo 'self-test: as expected'
  exit 0
fi

[ $# -gt 0 ] || { echo "usage: $0 OBJECT.o... | --self-test" >&2; exit 2; }
status=0
for object; do check "$object" || status=1; done
[ "$status" != 0 ] || echo "isa symbols: $# objects as they must be"
exit "$status"
