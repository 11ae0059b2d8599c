#!/usr/bin/env python3
"""No source file is longer than 800 lines; files aim at 300. Generated .inc files and test data are exempt."""

import tree

LIMIT = 800
SUFFIXES = {".h", ".cc", ".cu", ".c", ".py", ".sh", ".cmake", ".txt", ".md", ""}


def check(root, files):
    for path in files:
        if path.suffix not in SUFFIXES or str(path).startswith("tests/golden/") or path.name == "LICENSE":
            continue
        lines = (tree.read(root, path) or "").count("\n")
        if lines > LIMIT:
            yield f"{path}:{lines}: more than {LIMIT} lines; split it along a seam"


CASES = [
    ({"src/base/long.cc": "x\n" * 801, "src/base/short.cc": "x\n" * 800}, ["src/base/long.cc:801"]),
    ({"src/base/table.inc": "x\n" * 900, "tests/golden/a.txt": "x\n" * 900}, []),
]

if __name__ == "__main__":
    tree.main(check, CASES, "file length")
