"""Compares `duet template` with Python's Jinja2 on random templates and reports every difference as a small template.

    python3 tests/fuzz/jinja_differential.py --duet build/fast/bin/duet [--count 5000] [--seed 1] [--templates 'DIR/*.jinja']

Templates grow from the grammar (jinja_grammar.py); with --templates they are those of the files, damaged here and there, over a
conversation. Needs jinja2 3.1.6 for Python 3.11 or later (for instance in a virtual environment: pip install jinja2==3.1.6); exit
status 77 without it. Texts must be equal, of errors the kind and of raise_exception the message. Exit status 1: differences were
found; each is printed with what both gave, as small as it could be made. What takes either side too long is not compared, nor
texts that are no function of the template: where Python showed the address of an object on the way (even if only the length of
that is left), and what strftime() makes of a NUL, which differs between versions of Python. Nor is the NameError that Jinja2's
compiled code dies of where a constant of the template is infinite or not a number; Duet has that number there.
"""
import argparse
import glob
import json
import sys

from jinja_grammar import FIXED, Grammar
import jinja_oracle


def damaged_files(pattern, seeds):
    sources = []
    for path in sorted(glob.glob(pattern, recursive=True)):
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        sources.append(json.loads(text)["chat_template"] if path.endswith(".json") else text)
    if not sources:
        raise SystemExit(f"no file matches {pattern}")
    records = []
    for seed in seeds:
        grammar = Grammar(seed)
        source = grammar.pick(sources)
        for _ in range(grammar.pick([1, 1, 2, 3])):
            source = grammar.damaged(source)
        context = {"messages": FIXED["messages"], "tools": grammar.pick([None, [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}}]]),
                   "add_generation_prompt": grammar.chance(0.5), "bos_token": "<s>", "eos_token": "</s>"}
        if grammar.chance(0.5):
            context["messages"] = context["messages"][grammar.pick([0, 1]):grammar.pick([1, 2, 3])]
        records.append({"template": source, "context": context})
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duet", required=True, help="the program")
    parser.add_argument("--count", type=int, default=5000, help="how many templates")
    parser.add_argument("--seed", type=int, default=1, help="of the first template; each has its own, one higher")
    parser.add_argument("--most", type=int, default=20, help="differences to print")
    parser.add_argument("--templates", help="files whose templates are damaged, as a pattern")
    parser.add_argument("--workers", type=int, default=1, help="processes for Jinja2")
    options = parser.parse_args()
    why = jinja_oracle.missing()
    if why:
        print(f"not compared: {why}", file=sys.stderr)
        return 77
    differences = 0
    duet = jinja_oracle.Duet(options.duet)
    for first in range(options.seed, options.seed + options.count, 10000):  # in parts, for memory
        seeds = range(first, min(first + 10000, options.seed + options.count))
        records = damaged_files(options.templates, seeds) if options.templates else [Grammar(seed).record() for seed in seeds]
        differences += jinja_oracle.report(duet, records, options.most, options.workers, lambda i: f"seed {seeds[i]}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
