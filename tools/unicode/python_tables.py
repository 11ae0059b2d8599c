"""Writes src/text/jinja/unicode_tables.cc: the character data of Python's str methods, taken from the running Python.

  python3 tools/unicode/python_tables.py > src/text/jinja/unicode_tables.cc

Python 3.11 (Unicode 14) is the reference: templates are compared with what it prints.
"""
import sys, unicodedata

PROPERTIES = ["space", "alpha", "decimal", "digit", "numeric", "lower", "upper", "title", "printable", "id_start", "id_continue", "ignorable"]

def case_ignorable(c):
    # Asked of Python itself: a sigma is final after a cased letter, and ignorable characters between them do not count.
    return ("A" + c + "Σ").lower()[-1] == "ς" and ("1" + c + "Σ").lower()[-1] == "σ"

def mask(i):
    c = chr(i)
    bits = (c.isspace(), c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.islower(), c.isupper(), unicodedata.category(c) == "Lt",
            c.isprintable(), c.isidentifier(), ("a" + c).isidentifier(), case_ignorable(c))
    return sum(1 << k for k, b in enumerate(bits) if b)

def rows(items):
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > 118:
            print(line)
            line = " "
        line += " " + item + ","
    print(line)

def runs(pairs):
    """(code, delta) pairs > (first, last, stride, delta) runs."""
    out = []
    for code, delta in pairs:
        if out:
            first, last, stride, d = out[-1]
            if d == delta and (first == last and code - last in (1, 2) or code - last == stride and first != last):
                out[-1] = (first, code, code - last, d)
                continue
        out.append((code, code, 1, delta))
    return out

points = [i for i in range(0x110000) if not 0xd800 <= i < 0xe000]
print("// Written by tools/unicode/python_tables.py from Unicode %s; do not edit.\n" % unicodedata.unidata_version)
print('#include "text/jinja/unicode_tables.h"\n\nnamespace duet::jinja {\n\n// clang-format off')
table, last = [], None
for i in range(0x110000):
    m = 0 if 0xd800 <= i < 0xe000 else mask(i)
    if m != last: table.append("{%d,%d}" % (i, m)); last = m
print("const PropertyRun kPropertyRuns[] = {"); rows(table); print("};\nconst size_t kPropertyRunCount = %d;\n" % len(table))
special = {}
for name, function in (("Lower", str.lower), ("Upper", str.upper), ("Title", str.title), ("Fold", str.casefold)):
    simple = []
    for i in points:
        c = chr(i); r = function(c)
        if name == "Title" and r == c.upper() or name == "Fold" and r == c.lower(): continue   # stored once
        if len(r) == 1:
            if r != c or name in ("Title", "Fold"): simple.append((i, ord(r) - i))
        else: special.setdefault(name, []).append((i, r))
    table = runs(simple)
    print("const CaseRun k%sRuns[] = {" % name); rows("{%d,%d,%d,%d}" % r for r in table); print("};\nconst size_t k%sRunCount = %d;\n" % (name, len(table)))
for name in ("Lower", "Upper", "Title", "Fold"):
    table = special.get(name, [])
    print("const CaseExpansion k%sExpansions[] = {" % name)
    rows("{%d,{%s}}" % (i, ",".join(str(ord(x)) for x in (r + "\0\0")[:3])) for i, r in table); print("};\nconst size_t k%sExpansionCount = %d;\n" % (name, len(table)))
print("// clang-format on\n\n}  // namespace duet::jinja")
