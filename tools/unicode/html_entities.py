"""Writes src/text/jinja/html_entities.inc: the named characters of HTML as Python's html.entities has them.

    python3 tools/unicode/html_entities.py > src/text/jinja/html_entities.inc
"""
from html.entities import html5

print("// Written by tools/unicode/html_entities.py from the named characters of HTML 5; do not edit.")
print("// Name (with its semicolon, where it needs one) and the one or two characters that it stands for, in the order of bytes.")
line = ""
for name, text in sorted(html5.items()):
    item = '{"%s",%s},' % (name, ",".join("0x%x" % ord(c) for c in text))
    if len(line) + len(item) > 118:
        print(line)
        line = ""
    line += item
print(line)
