#!/usr/bin/env python3
"""Every relative link of a Markdown file leads somewhere (its #anchor too), and every path named in backquotes exists.

A path in backquotes is checked when it starts with a folder of the repository, as `src/text` or `tests/*.cc` do; `*` and
{a,b} stand for what a shell makes of them, and a pattern must match something.
"""

import itertools
import posixpath
import re

import tree

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
PATH = re.compile(r"(?:\./)?[A-Za-z0-9_.+*{},/-]+/[A-Za-z0-9_.+*{},/-]*")


def without_fences(text):
    """The lines outside fenced code blocks, with their numbers."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = None
        elif fence is None:
            yield number, line


def anchors(text):
    """The anchors of the headings, made as GitHub makes them."""
    for _, line in without_fences(text):
        match = HEADING.match(line)
        if match:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
            yield re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def braces(pattern):
    """a{b,c} as ab, ac; one level."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def check(root, files):
    folders = {path.parts[0] for path in files if len(path.parts) > 1}
    existing = {str(path) for path in files} | {str(parent) for path in files for parent in path.parents}
    for path in files:
        if path.suffix != ".md" or str(path).startswith("tests/golden/"):
            continue
        text = tree.read(root, path) or ""
        for number, line in without_fences(text):
            for target in LINK.findall(CODE.sub("", line)):
                if re.match(r"[a-z][a-z0-9+.-]*:", target):
                    continue
                name, _, anchor = target.partition("#")
                file = posixpath.normpath(posixpath.join(str(path.parent), name)) if name else str(path)
                if file not in existing:
                    yield f"{path}:{number}: link to {target}: no such file"
                elif anchor and file.endswith(".md") and anchor not in anchors(tree.read(root, file) or ""):
                    yield f"{path}:{number}: link to {target}: no such heading"
            for word in CODE.findall(line):
                if not PATH.fullmatch(word) or word.removeprefix("./").split("/")[0] not in folders:
                    continue
                for pattern in braces(posixpath.normpath(word)):
                    if not any(root.glob(pattern)) and not any(root.glob(pattern + ".*")):
                        yield f"{path}:{number}: `{word}` is named, and does not exist"
                        break


CASES = [
    ({"README.md": "[a](docs/a.md#two-words) [x](https://example.com/x)\n", "docs/a.md": "# Two words\n[up](../README.md)\n"}, []),
    ({"README.md": "see\n[a](docs/b.md)\n", "docs/a.md": ""}, ["README.md:2: link to docs/b.md"]),
    ({"README.md": "[a](docs/a.md#three)\n", "docs/a.md": "# Two\n```\n# three\n```\n"}, ["no such heading"]),
    ({"README.md": "`src/a.h` `src/*.h` `src/{a,b}.h` `./src/` `src/a`\n", "src/a.h": "", "src/b.h": ""}, []),
    ({"README.md": "`src/c.h` and `other/x.h`, `src/{a,c}.h`\n", "src/a.h": ""}, ["`src/c.h`", "`src/{a,c}.h`"]),
    ({"README.md": "```\n[a](gone.md)\n```\n[b](gone.md)\n"}, ["README.md:4"]),
]

if __name__ == "__main__":
    tree.main(check, CASES, "document links")
