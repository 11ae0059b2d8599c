#!/usr/bin/env python3
"""Writes src/tensor/blocks/iq_grids.inc from the code books in tests/golden/quant/grids.safetensors.

    python3 tools/make_iq_grids.py            # writes the file
    python3 tools/make_iq_grids.py --check    # fails if the file is not what would be written

Each row of a code book becomes one 16-bit number: the place of each value among the code book's levels, 2 bits a value
(rows of 8) or 3 (rows of 4), first value lowest. Needs nothing but the standard library.
"""
import argparse
import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GRIDS = ROOT / "tests" / "golden" / "quant" / "grids.safetensors"
TARGET = ROOT / "src" / "tensor" / "blocks" / "iq_grids.inc"
HEAD = """\
// Code books of the IQ types, written by tools/make_iq_grids.py: do not edit. The numbers are those of ggml
// (llama.cpp, ggml-common.h; MIT licence), read out of its decoder.
// A row is one number: the place of each value among the levels, 2 bits each in rows of 8, 3 bits each in rows of 4,
// the first value lowest.
"""


def read_grids():
    """{name: rows of ints} of every i8 tensor."""
    raw = GRIDS.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    grids = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "I8", (name, entry)
        first, last = entry["data_offsets"]
        values = struct.unpack(f"<{last - first}b", raw[8 + size + first : 8 + size + last])
        width = entry["shape"][-1]
        grids[name] = [values[i : i + width] for i in range(0, len(values), width)]
    return grids


def lines_of(numbers, form):
    """The numbers as indented lines of at most 120 columns."""
    line = " "
    for number in numbers:
        item = f" {form.format(number)},"
        if len(line) + len(item) > 120:
            yield line
            line = " "
        line += item
    yield line


def emit():
    """The text of the file."""
    out = [HEAD]
    for name, rows in sorted(read_grids().items()):
        levels = sorted({value for row in rows for value in row})
        title = "k" + name.upper()
        if name == "iq4":  # one row: the levels themselves
            assert list(rows[0]) == levels
            out.append(f"constexpr std::array<int8_t, 16> {title}Values = {{")
            out += lines_of(levels, "{}")
            out.append("};\n")
            continue
        width = len(rows[0])
        bits = {8: 2, 4: 3}[width]
        assert len(levels) <= 1 << bits, (name, levels)
        codes = [sum(levels.index(value) << (bits * i) for i, value in enumerate(row)) for row in rows]
        out.append(f"constexpr std::array<int8_t, {len(levels)}> {title}Levels = {{")
        out += lines_of(levels, "{}")
        out.append("};")
        out.append(f"constexpr std::array<uint16_t, {len(rows)}> {title}Rows = {{")
        out += lines_of(codes, "0x{:04x}")
        out.append("};\n")
    return "\n".join(out).rstrip("\n") + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only; status 1 if the file differs")
    text = emit()
    if parser.parse_args().check:
        if TARGET.read_text() != text:
            sys.exit(f"{TARGET.relative_to(ROOT)} differs: run tools/make_iq_grids.py")
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
