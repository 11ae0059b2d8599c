"""Compares `duet template` with Python's Jinja2 on random templates and reports every difference as a small template.

    python3 tests/fuzz/jinja_differential.py --duet build/fast/bin/duet [--count 5000] [--seed 1]

Needs jinja2 3.1.6 for Python 3.11 or later (for instance in a virtual environment: pip install jinja2==3.1.6). It is not part of
ctest, because the machines that run that have no jinja2. Texts must be equal, and of errors the kind (golden/templates,
README.md). Exit status 1: differences were found; each is printed with what both gave, as small as it could be made.
Texts that hold the address of a Python object are not compared, but a length taken of one may still be reported.
"""
import argparse
import json
import multiprocessing
import random
import re
import signal
import subprocess
import sys
import warnings

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    jinja2 = None

CONTEXT = {"a": 1, "neg": -7, "f": 1.5, "big": 12345678901234567890123, "s": "Hello World", "u": "\u00dcn\u00ef \u00a9 \u4e2d\u6587 \U0001f600 \u00dfx",
           "e": "", "t": True, "n": None, "l": [3, 1, 2], "names": ["bob", "Alice", "carol", "bob"], "mix": [1, "a", None, 2.5, True, [1]],
           "d": {"x": 1, "y": [1, 2], "z": None, "k 1": "v"}, "html": "<a href='x'>&\"</a>", "ml": "line1\nline2\r\n\nline4 - well-known",
           "users": [{"name": "bob", "age": 31}, {"name": "Ann", "age": 25}, {"name": "cy", "age": 31}],
           "nums": [1.0, 2, 0.1, -0.0, 1e16, 1e-7, 123456789.125]}
warnings.simplefilter("ignore")  # of the compiler of Python, about odd templates
SECONDS = 3  # for one template in Python; what takes longer is not compared


# The oracle: Jinja2 as chat templates are rendered with.

def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    return environment


def kind_of(error):
    exceptions = jinja2.exceptions
    if isinstance(error, exceptions.SecurityError):
        return "security"
    if isinstance(error, exceptions.UndefinedError):
        return "undefined"
    if isinstance(error, exceptions.TemplateSyntaxError):
        return "syntax"
    if isinstance(error, (RecursionError, MemoryError, OverflowError)):
        return "limit"
    if isinstance(error, (exceptions.TemplateNotFound, exceptions.TemplateRuntimeError)):
        return "runtime"
    return "raised" if type(error) is exceptions.TemplateError else "type"


class TooLong(BaseException):
    pass


def expect(source):
    """("text", TEXT), ("error", KIND), or None where nothing can be compared."""
    def stop(*_):
        raise TooLong()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        text = make_environment().from_string(source).render(**json.loads(json.dumps(CONTEXT)))
        text.encode("utf-8")
        address = " at 0x" in text or re.search(r"0\W?x\W?7\W?f", text.lower())  # of an object, perhaps with something between the digits
        return None if address or len(text) > 1 << 18 else ("text", text)
    except TooLong:
        return None
    except Exception as error:
        return "error", kind_of(error)
    finally:
        signal.alarm(0)


# The grammar.

class Grammar:
    NAMES = list(CONTEXT) + ["missing", "x", "item", "ns", "loop"]
    LITERALS = ["0", "1", "2", "-1", "3", "10", "1.5", "0.1", "1e3", "2.5e-7", "true", "false", "none", "True", "None", "'a'", "'b c'", "''", "'A-b_c'", "'%s'", "'{}'",
                "'{0!r:>6}'", "'\\u00e9\\n'", "'x' * 90", "'ab ' * 40", "'1,2,,3'", "'<&>'", "'12'", "'0x1F'", "' pad '", "[]", "{}", "()", "(1,)", "[1, 2, 3]", "('a', 1)", "{'a': 1, 'b': [1]}", "range(5)", "range(3, -3, -2)"]
    BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
    TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable", "sequence", "callable", "odd", "even", "lower", "upper", "true", "false",
             "escaped", "filter", "test", "divisibleby(2)", "eq(1)", "ne 1", "sameas none", "in [1, 'a', 3]", "gt(1)", "le 2", "divisibleby 0"]
    FILTERS = ["abs", "capitalize", "center(9)", "count", "default('D')", "default('D', true)", "d(0)", "dictsort", "dictsort(false, 'value')", "dictsort(reverse=true)", "e", "escape", "filesizeformat",
               "filesizeformat(true)", "first", "float", "float(2.5)", "forceescape", "format(1)", "format('a', 2)", "format(a=1)", "groupby('age')", "groupby('age', default=0)", "indent", "indent(2, true)", "indent('> ', blank=true)",
               "int", "int(7)", "int(0, 16)", "int(base=2)", "items", "items|list", "join", "join(', ')", "join('-', attribute='name')", "last", "length", "list", "lower", "map('upper')", "map('upper')|list",
               "map(attribute='name')|list", "map(attribute='q', default='?')|list", "map('default', 1)|list", "map('nope')|list", "max", "min", "max(attribute='age')", "min(case_sensitive=true)", "pprint", "reject|list", "reject('none')|list", "rejectattr('age')|list",
               "rejectattr('age', 'gt', 30)|list", "replace('a', 'ZZ')", "replace('', '.')", "replace('l', 'L', 1)", "reverse", "reverse|list", "round", "round(1)", "round(2, 'floor')", "round(-1, 'ceil')", "safe", "select|list",
               "select('odd')|list", "select('string')|list", "selectattr('name')|list", "selectattr('age', 'equalto', 31)|list", "slice(2)|list", "slice(3, 'f')|list", "batch(2)|list", "batch(2, '-')|list", "sort", "sort(reverse=true)", "sort(attribute='age')",
               "sort(attribute='age,name')", "sort(case_sensitive=true)", "string", "striptags", "sum", "sum(attribute='age')", "sum(start=[])", "title", "tojson", "tojson(indent=2)", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))",
               "trim", "trim('a ')", "truncate(5)", "truncate(5, true, '')", "truncate(8, false, '..', 0)", "unique|list", "unique(attribute='age')|list", "upper", "urlencode", "urlize", "wordcount", "wordwrap(6)", "wordwrap(5, false)",
               "wordwrap(7, wrapstring='|')", "wordwrap(4, break_on_hyphens=false)", "xmlattr", "xmlattr(false)", "attr('x')", "attr('upper')", "attr('__class__')", "unknown_filter"]
    METHODS = ["upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "strip('aH ')", "lstrip('H')", "rstrip()", "split()", "split('l')", "split(',', 1)", "rsplit(' ', 1)", "split('')", "splitlines()", "splitlines(true)",
               "partition('o')", "rpartition('o')", "replace('o', '0')", "replace('o', '0', 1)", "find('o')", "rfind('o')", "index('zz')", "count('l')", "startswith('H')", "startswith(('a', 'H'))", "endswith('d', 2)", "removeprefix('He')",
               "removesuffix('ld')", "join(['a', 'b'])", "join(names)", "join(l)", "zfill(8)", "ljust(14, '.')", "rjust(14)", "center(15, '*')", "expandtabs(4)", "isdigit()", "isalpha()", "isalnum()", "isspace()", "istitle()", "isupper()",
               "islower()", "isidentifier()", "isnumeric()", "isdecimal()", "isprintable()", "isascii()", "encode()", "encode('ascii')", "encode().decode()", "encode('latin-1')|string", "encode().hex()", "encode().split()", "format(1, 2)", "format('q', x=1)",
               "items()", "items()|list", "keys()|list", "values()|list", "get('x')", "get('q', 5)", "copy()", "pop()", "append(1)", "update({})", "index(1)", "count(1)", "bit_length()", "is_integer()", "as_integer_ratio()", "hex()", "conjugate()",
               "translate({104: 'J', 108: none})", "maketrans('a', 'b')", "x", "y", "name", "0", "__class__", "real", "nothing", "nothing.more"]
    FORMATS = ["%5d|%-5d|%05d", "%+.2f", "%e", "%g", "%x", "%o", "%r", "%s and %s", "%%", "%c", "%5.1f%%", "%(x)s", "%", "%q", "%*d", "%#x", "% d"]
    SPECS = ["{}", "{:>8}", "{:<8}|", "{:^9}|", "{:*^9}", "{:+d}", "{:,}", "{:_}", "{:x}", "{:#b}", "{:08.3f}", "{:e}", "{:g}", "{:%}", "{!r}", "{!s:>5}", "{0}{0}", "{1}", "{x}", "{0.real}", "{0[0]}", "{{}}", "{", "}", "{:d}", "{:c}", "{:=+8}", "{:.3}", "{:n}"]

    # Chains that mostly end in a text: a base and steps for each kind of value, with the kind that comes of the step.
    BASES = {"text": ["s", "u", "html", "ml", "'A-b_c d'", "'x y ' * 30", "'they\\'re o.k.'", "('é' ~ s)", "'  pad\\t'", "'well-known half--open a-b-c'", "'ǆ ﬁ İ ß ς'", "'1_000'", "'tel:1 www.x.org me@x.org http://a.b/c?d=e&f'"],
             "list": ["l", "names", "mix", "nums", "users", "range(7)", "[s, u]", "[[1, 'z'], ['y' * 40, {'k': 'v' * 40}]]", "('a', 'B')", "d.items()", "d.keys()|list", "[1.5, true, none]", "'abc'|list"],
             "dict": ["d", "users[0]", "{'b': 1, 'a': [1, 2], 'c': {'x': 'y' * 70}}", "{1: 'a', 2.5: 'b', none: true}", "dict(a=1, b='<q>')", "{}", "{'z': s, 'B': u, 'a': nums}"],
             "number": ["a", "neg", "f", "big", "t", "nums[5]", "nums[4]", "2.5", "1e22", "-0.0", "1234567.891", "7", "0.30000000000000004", "(7 / 3)", "2 ** 70", "-7 // 2", "10 % -3"]}
    STEPS = {"text": [(f"|{x}", "text") for x in FILTERS if x.split("(")[0] in ("capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "safe", "string", "striptags", "title", "trim", "truncate", "upper", "urlencode", "urlize", "wordwrap", "pprint", "tojson", "default", "d")]
             + [(f".{x}", "text") for x in METHODS if x.split("(")[0] in ("upper", "lower", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip", "replace", "zfill", "ljust", "rjust", "center", "expandtabs", "removeprefix", "removesuffix", "translate")]
             + [(f".{x}", "list") for x in METHODS if x.split("(")[0] in ("split", "splitlines", "rsplit", "partition", "rpartition")] + [("|list", "list"), ("|length", "number"), (".find('o')", "number"), ("|wordcount", "number"), ("|int(3)", "number"), ("[::-1]", "text"), ("[1:-2]", "text"), ("[-3:]", "text"), (" ~ 1", "text"), (" * 2", "text"), (".encode()", "text")],
             "list": [(f"|{x}", "list") for x in FILTERS if x.endswith("|list") or x.split("(")[0] in ("sort", "dictsort", "groupby")] + [("|join", "text"), ("|join(', ')", "text"), ("|first", "text"), ("|last", "text"), ("|length", "number"), ("|tojson", "text"), ("|tojson(indent=2)", "text"), ("|pprint", "text"), ("|string", "text"), ("[1:]", "list"), ("[::-2]", "list"), (" + [1]", "list"), ("|max", "text"), ("|min", "text"), ("|map('string')|list", "list"), ("|map('length')|list", "list"), ("|sum", "number"), ("|reverse|list", "list")],
             "dict": [("|dictsort", "list"), ("|items|list", "list"), ("|tojson", "text"), ("|tojson(sort_keys=true, indent=1)", "text"), ("|pprint", "text"), ("|string", "text"), (".keys()|list", "list"), (".values()|list", "list"), ("|list", "list"), ("|length", "number"), ("|urlencode", "text"), ("|xmlattr", "text"), (".get('x', 5)", "number"), ("|dictsort(by='value')", "list"), (".copy()", "dict")],
             "number": [(f"|{x}", "number") for x in FILTERS if x.split("(")[0] in ("abs", "int", "float", "round")] + [(" + 1", "number"), (" / 3", "number"), (" // 2.5", "number"), (" % 5", "number"), (" ** 2", "number"), (" * 1.1", "number"), (" - 0.7", "number"), ("|string", "text"), ("|tojson", "text"), ("|filesizeformat", "text"), ("|filesizeformat(true)", "text"), (" > 2", "number"), ("|pprint", "text")]}

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def expression(self, depth):
        r = self.random.random()
        if r < 0.08:
            return self.chain()
        if depth <= 0 or r < 0.2:
            return self.pick(self.NAMES) if self.random.random() < 0.6 else self.pick(self.LITERALS)
        e = lambda: self.expression(depth - 1)
        if r < 0.36:
            return f"{self.operand(depth)}|{self.pick(self.FILTERS)}"
        if r < 0.46:
            return f"{self.operand(depth)}.{self.pick(self.METHODS)}"
        if r < 0.60:
            return f"{self.operand(depth)} {self.pick(self.BINARY)} {self.operand(depth)}"
        if r < 0.66:
            return f"{self.operand(depth)} is {self.pick(['', '', 'not '])}{self.pick(self.TESTS)}"
        if r < 0.70:
            return f"{self.pick(['not ', '-', '+'])}{self.operand(depth)}"
        if r < 0.77:
            # Of variables only: Jinja folds constants when it compiles, and calls what cannot be sliced undefined there.
            return f"{self.pick(self.NAMES)}[{self.subscript(depth)}]"
        if r < 0.81:
            return f"{e()} if {e()}" + (f" else {e()}" if self.random.random() < 0.8 else "")
        if r < 0.84:
            return f"[{e()}, {e()}]"
        if r < 0.87:
            return f"{{{self.pick(['1', repr('a'), repr('b'), 'a'])}: {e()}, {self.pick(['true', repr('c'), '2.5'])}: {e()}}}"
        if r < 0.92:
            return f"{self.pick(self.FORMATS)!r} % {self.pick(['', '('])}{e()}" if self.random.random() < 0.5 else f"{self.pick(self.FORMATS)!r} % ({e()}, {e()})"
        if r < 0.97:
            return f"{self.pick(self.SPECS)!r}.format({e()})"
        return f"{self.pick(['range', 'dict', 'namespace', 'm', 'missing', 'dict', 'range'])}({e() if self.random.random() < 0.8 else ''})"

    def chain(self):
        kind = self.pick(list(self.BASES))
        base = out = self.pick(self.BASES[kind])
        for _ in range(self.random.randrange(1, 5)):
            step, kind = self.pick([(s, k) for s, k in self.STEPS[kind] if not s.startswith("[") or base in CONTEXT])
            out = f"({out}){step}" if not out.isalnum() else out + step
        if self.random.random() < 0.15:
            out = f"{self.pick(self.SPECS)!r}.format({out})"
        elif self.random.random() < 0.1:
            out = f"{self.pick(self.FORMATS)!r} % ({out})"
        return out

    def operand(self, depth):
        inner = self.expression(depth - 1)
        return inner if self.random.random() < 0.4 or inner.replace("_", "").isalnum() else f"({inner})"

    def subscript(self, depth):
        part = lambda: self.pick(["", "0", "1", "-1", "2", "-3", "100", "n"])
        r = self.random.random()
        if r < 0.4:
            return f"{part()}:{part()}" + (f":{self.pick(['1', '2', '-1', '-2', '0'])}" if self.random.random() < 0.5 else "")
        return self.pick(["0", "-1", "'x'", "'name'", "'upper'", "'__class__'", "5", "true", "1.0", "none"]) if r < 0.8 else self.expression(depth - 1)

    def begin(self):
        return self.pick(["{%", "{%", "{%", "{%-", "{%+"])

    def end(self):
        return self.pick(["%}", "%}", "%}", "-%}", "+%}"])

    def tag(self, text):
        return f"{self.begin()} {text} {self.end()}"

    def data(self):
        return self.pick(["", " ", "\n", "  \n", "text", "x\n  ", "a b", "{# note #}", "{#- note -#}", "\n\n", "\t", "{% raw %} {{ x }} {% endraw %}", "%}", "}}", "'"])

    def body(self, depth):
        return "".join(self.data() + self.statement(depth - 1) for _ in range(self.pick([1, 1, 2, 3]))) + self.data()

    def statement(self, depth):
        e = lambda: self.expression(2)
        r = self.random.random()
        if depth <= 0 or r < 0.42:
            return f"{self.pick(['{{', '{{', '{{-'])} {self.expression(3)} {self.pick(['}}', '}}', '-}}'])}"
        if r < 0.56:
            target = self.pick(["x", "item", "x, item", "x"])
            recursive = self.pick(["", "", "", "", " recursive"])
            over = self.pick(["l", "names", "users", "d", "d.items()", "mix", "nums", "range(4)", "s", "missing", "[]", e()])
            where = f" if {e()}" if self.random.random() < 0.2 else ""
            inner = self.body(depth)
            if self.random.random() < 0.5:
                inner += "{{ loop." + self.pick(["index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "cycle('a', 'b')", "changed(x)", "nothing"]) + " }}"
            if self.random.random() < 0.15:
                inner += self.tag("if loop.index > 1") + self.tag(self.pick(["break", "continue"])) + self.tag("endif")
            if recursive and self.random.random() < 0.7:
                inner += "{{ loop(" + self.pick(["[]", "x", "[1]" if self.random.random() < 0.1 else "''"]) + ") if loop.depth < 3 }}"
            other = self.tag("else") + self.body(depth) if self.random.random() < 0.3 else ""
            return self.tag(f"for {target} in {over}{where}{recursive}") + inner + other + self.tag("endfor")
        if r < 0.66:
            middle = self.tag(f"elif {e()}") + self.body(depth) if self.random.random() < 0.3 else ""
            other = self.tag("else") + self.body(depth) if self.random.random() < 0.5 else ""
            return self.tag(f"if {e()}") + self.body(depth) + middle + other + self.tag("endif")
        if r < 0.78:
            target = self.pick(["x", "y", "item", "x, y", "ns.v"])
            if target == "ns.v":
                return self.tag("set ns = namespace(v=1)") + self.tag(f"set ns.v = {e()}") + "{{ ns.v }}"
            return self.tag(f"set {target} = {e()}")
        if r < 0.82:
            name = self.pick(["x", "y", "x | upper", "y | trim | length"])
            return self.tag(f"set {name}") + self.body(depth) + self.tag("endset") + "{{ x }}{{ y }}"
        if r < 0.86:
            return self.tag(f"with x = {e()}, y = {e()}") + self.body(depth) + self.tag("endwith")
        if r < 0.92:
            signature = self.pick(["", "x", "x, y=2", "x, y=x", "x=1, y='q'"])
            inner = self.body(depth) + self.pick(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ caller(1) }}", "{{ m.name }}"])
            calls = self.pick(["m()", "m(1)", "m(1, 2)", "m(1, 2, 3)", "m(y=3)", "m(1, z=4)", "m(*l)", "m(**d)"])
            return self.tag(f"macro m({signature})") + inner + self.tag("endmacro") + "{{ " + calls + " }}"
        if r < 0.95:
            return self.tag(f"call{self.pick(['', '(x)'])} {self.pick(['m()', 'm(1)', 'missing()'])}") + self.body(depth) + self.tag("endcall")
        if r < 0.98:
            return self.tag(f"filter {self.pick(self.FILTERS)}") + self.body(depth) + self.tag("endfilter")
        return self.tag(f"autoescape {self.pick(['true', 'false', 't'])}") + self.body(depth) + self.tag("endautoescape")

    def template(self):
        r = self.random.random()
        if r < 0.5:
            return f"{{{{ {self.chain()} }}}}"
        source = self.statement(2) + self.data() + self.statement(1) if r < 0.8 else self.body(3)
        if self.random.random() < 0.06 and source:  # damage: characters taken out, doubled or put in
            at = self.random.randrange(len(source))
            source = self.pick([source[:at] + source[at + 1:], source[:at] + source[at] + source[at:], source[:at] + self.pick(list("{}%#|.,:'\"([ \n-+")) + source[at:]])
        return source


# Running and comparing.

def answers(duet, sources):
    """What duet gives for each template, as expect() does; ("crash", status) for the one that ended the program."""
    out = []
    while len(out) < len(sources):
        lines = "".join(json.dumps({"template": s, "context": CONTEXT}) + "\n" for s in sources[len(out):])
        process = subprocess.run([duet, "template", "-", "--jsonl"], input=lines.encode(), stdout=subprocess.PIPE)
        for line in process.stdout.decode().split("\n")[:-1]:
            record = json.loads(line)
            out.append(("text", record["text"]) if "text" in record else ("error", record.get("error_kind", record.get("code"))))
        if len(out) < len(sources):
            out.append(("crash", process.returncode))
    return out


def same(wanted, got):
    # Either may stop earlier than the other: limits are our own, and Python's recursion limit is its own.
    return wanted is None or wanted == got or (wanted[0] == "error" and wanted[1] == "limit") or (got == ("error", "limit"))


def minimise(duet, source):
    """Takes out pieces, large ones first, as long as the difference stays."""
    def outcome(text):
        wanted = expect(text)
        if wanted is None:
            return None
        got = answers(duet, [text])[0]
        return None if same(wanted, got) else (wanted[0], wanted[1] if wanted[0] == "error" else "", got[0], got[1] if got[0] != "text" else "")

    first = outcome(source)  # stays: another difference is not this one made smaller

    def differ(text):
        return outcome(text) == first
    size = max(1, len(source) // 2)
    tries = 0
    while size >= 1 and tries < 1500:
        at = 0
        while at < len(source) and tries < 1500:
            tries += 1
            shorter = source[:at] + source[at + size:]
            if shorter and differ(shorter):
                source = shorter
            else:
                at += size
        size //= 2
    return source


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duet", required=True, help="the program")
    parser.add_argument("--count", type=int, default=5000, help="how many templates")
    parser.add_argument("--seed", type=int, default=1, help="of the first template; each has its own, one higher")
    parser.add_argument("--most", type=int, default=20, help="differences to print")
    options = parser.parse_args()
    if jinja2 is None:
        print("jinja2 is not installed for this Python: pip install jinja2==3.1.6", file=sys.stderr)
        return 2
    sources = [Grammar(options.seed + i).template() for i in range(options.count)]
    with multiprocessing.Pool(1) as pool:
        wanted = pool.map(expect, sources, chunksize=50)
    got = []
    for at in range(0, len(sources), 500):
        got += answers(options.duet, sources[at:at + 500])
    different = [i for i in range(len(sources)) if not same(wanted[i], got[i])]
    kinds = {}
    for w in wanted:
        key = "not compared" if w is None else w[0] if w[0] == "text" else w[1]
        kinds[key] = kinds.get(key, 0) + 1
    seen = set()
    for i in different:
        if len(seen) >= options.most:
            break
        small = minimise(options.duet, sources[i])
        if small in seen:
            continue
        seen.add(small)
        print(f"seed {options.seed + i}: {small!r}\n  jinja2 {expect(small)}\n  duet   {answers(options.duet, [small])[0]}")
    print(f"{len(sources)} templates ({', '.join(f'{v} {k}' for k, v in sorted(kinds.items()))}), {len(different)} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
