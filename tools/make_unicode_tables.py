#!/usr/bin/env python3
"""Writes src/text/unicode_tables.inc: character classes and the data of NFC as compact two-stage tables.

  pip install --target DIR unicodedata2==16.0.0 && PYTHONPATH=DIR python3 tools/make_unicode_tables.py

Version 16 is what the reference tokenizers use; Python's own unicodedata is older, so its newer twin is required here.
"""
import os
import sys

import unicodedata2 as ud

WANTED = "16.0.0"
BLOCK = 128
CODES = 0x110000
# PropList.txt, stable since Unicode 6.3.
WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
# Other_Alphabetic outside the marks (circled and squared letters), for \w.
OTHER_ALPHABETIC = {*range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A)}
LETTER, NUMBER, MARK, SPACE, UPPER, LOWER, WORD, NOT_NFC = (1 << i for i in range(8))


def canonical(code):
    """The decomposition mapping, None when there is none or it is a compatibility mapping."""
    text = ud.decomposition(chr(code))
    return None if not text or text[0] == "<" else [int(x, 16) for x in text.split()]


def full(code):
    parts = canonical(code)
    return [code] if parts is None else [y for x in parts for y in full(x)]


def flags(code, category, second):
    out = 0
    if category[0] == "L":
        out |= LETTER | WORD
    if category[0] == "N":
        out |= NUMBER
    if category in ("Nd", "Nl", "Pc") or code in OTHER_ALPHABETIC or code in (0x200C, 0x200D):
        out |= WORD
    if category[0] == "M":
        out |= MARK | WORD
    if code in WHITE_SPACE:
        out |= SPACE
    if category in ("Lu", "Lt", "Lm", "Lo") or category[0] == "M":
        out |= UPPER
    if category in ("Ll", "Lm", "Lo") or category[0] == "M":
        out |= LOWER
    surrogate = 0xD800 <= code < 0xE000
    first = code if 0xAC00 <= code < 0xD7A4 else full(code)[0]
    if not surrogate and (ud.combining(chr(code)) or ud.normalize("NFC", chr(code)) != chr(code) or first in second or ud.combining(chr(first))):
        out |= NOT_NFC
    return out


def two_stage(values):
    blocks, index = {}, []
    for start in range(0, CODES, BLOCK):
        index.append(blocks.setdefault(tuple(values[start:start + BLOCK]), len(blocks)))
    assert len(blocks) < 256
    return index, [v for block in blocks for v in block]


def write_array(out, kind, name, values, form="{}"):
    out.append(f"constexpr {kind} {name}[{len(values)}] = {{")
    line = "   "
    for value in values:
        item = " " + form.format(value) + ","
        if len(line) + len(item) > 118:
            out.append(line)
            line = "   "
        line += item
    out += [line, "};"]


def main():
    if ud.unidata_version != WANTED:
        sys.exit(f"unicodedata2 has Unicode {ud.unidata_version}, this needs {WANTED}")
    pairs = []  # primary composites: those that NFC composes again
    for code in range(CODES):
        parts = canonical(code) if not 0xD800 <= code < 0xE000 else None
        if parts and len(parts) == 2 and ud.normalize("NFC", "".join(map(chr, parts))) == chr(code):
            pairs.append((parts[0], parts[1], code))
    second = {b for _, b, _ in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    classes = [flags(code, ud.category(chr(code)), second) for code in range(CODES)]
    combining = [ud.combining(chr(code)) for code in range(CODES)]
    decompositions, units = [], []
    for code in range(CODES):
        if canonical(code):
            parts = full(code)
            assert len(parts) <= 4
            decompositions.append((code, len(units), len(parts)))
            units += parts

    out = [f"// Made by tools/make_unicode_tables.py from Unicode {ud.unidata_version}. Do not edit.",
           "// clang-format off",
           f'constexpr char kUnicodeVersion[] = "{ud.unidata_version}";',
           f"constexpr int kUnicodeBlock = {BLOCK};"]
    for name, values in (("Class", classes), ("Combining", combining)):
        index, data = two_stage(values)
        write_array(out, "uint8_t", f"k{name}Index", index)
        write_array(out, "uint8_t", f"k{name}Blocks", data)
    out.append("// Full canonical decompositions, ascending: {code, first unit, units}; Hangul is computed.")
    write_array(out, "Decomposition", "kDecompositions", decompositions, "{{{0[0]},{0[1]},{0[2]}}}")
    write_array(out, "char32_t", "kDecompositionUnits", units)
    out.append("// Primary composites, ascending by their two parts: {first, second, composite}.")
    write_array(out, "Composition", "kCompositions", sorted(pairs), "{{{0[0]},{0[1]},{0[2]}}}")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "text", "unicode_tables.inc")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")
    print(f"{os.path.normpath(path)}: {len(decompositions)} decompositions, {len(pairs)} compositions")


if __name__ == "__main__":
    main()
