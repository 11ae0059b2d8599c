#!/usr/bin/env python3
"""Writes src/terminal/width_tables.inc: how many columns of a terminal each character takes.

  pip install --target DIR unicodedata2==16.0.0 && PYTHONPATH=DIR python3 tools/make_width_tables.py

East Asian width and categories come from unicodedata2, Emoji and Extended_Pictographic from perl's \\p{...}: perl 5.36 has those of
Unicode 14, and emoji that came later lie in ranges that Extended_Pictographic had reserved for them.
"""
import os
import subprocess
import sys

import unicodedata2 as ud

WANTED = "16.0.0"
CODES = 0x110000
# EastAsianWidth.txt: wide whether assigned or not.
WIDE_BLOCKS = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FFFD), (0x30000, 0x3FFFD)]
EMOJI, PICTOGRAPHIC, SPACING = 4, 8, 16


def perl_set(name):
    program = f"for (0..0x10ffff) {{ next if $_ >= 0xd800 && $_ < 0xe000; print \"$_\\n\" if chr($_) =~ /\\p{{{name}}}/ }}"
    done = subprocess.run(["perl", "-e", program], capture_output=True, check=True, text=True)
    return set(map(int, done.stdout.split()))


def columns(code):
    category = ud.category(chr(code))
    if code == 0xAD:  # a soft hyphen is drawn where it stands
        return 1
    if category in ("Cc", "Cf", "Cs", "Me", "Mn", "Zl", "Zp"):
        return 0
    if 0x1160 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF:  # vowels and finals that join the syllable's first letter
        return 0
    if ud.east_asian_width(chr(code)) in ("W", "F") or any(first <= code <= last for first, last in WIDE_BLOCKS):
        return 2
    return 1


def main():
    if ud.unidata_version != WANTED:
        sys.exit(f"unicodedata2 has Unicode {ud.unidata_version}, this needs {WANTED}")
    emoji, pictographic = perl_set("Emoji"), perl_set("Extended_Pictographic")
    runs = []
    for code in range(CODES):
        value = columns(code)
        value |= EMOJI if code in emoji else 0
        value |= PICTOGRAPHIC if code in pictographic else 0
        value |= SPACING if ud.category(chr(code)) == "Mc" else 0
        if not runs or runs[-1][1] != value:
            runs.append((code, value))
    out = [f"// Made by tools/make_width_tables.py from Unicode {ud.unidata_version}. Do not edit.",
           "// clang-format off",
           "// Where each run of equal characters begins: {code, columns and bits of WidthBits}.",
           f"constexpr WidthRun kWidthRuns[{len(runs)}] = {{"]
    line = "   "
    for code, value in runs:
        item = f" {{{code},{value}}},"
        if len(line) + len(item) > 118:
            out.append(line)
            line = "   "
        line += item
    out += [line, "};"]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "terminal", "width_tables.inc")
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(out) + "\n")
    print(f"{os.path.normpath(path)}: {len(runs)} runs")


if __name__ == "__main__":
    main()
