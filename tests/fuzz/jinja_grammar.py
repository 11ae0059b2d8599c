"""Grows random templates, and the variables for them, from the grammar of Jinja as it is in chat templates."""
import random

NAMES = ["a", "neg", "f", "big", "s", "u", "e", "t", "n", "l", "names", "mix", "d", "html", "ml", "users", "nums", "tree", "messages"]
FIXED = {"a": 1, "neg": -7, "f": 1.5, "big": 12345678901234567890123, "s": "Hello World", "u": "\u00dcn\u00ef \u00a9 \u4e2d\u6587 \U0001f600 \u00dfx",
         "e": "", "t": True, "n": None, "l": [3, 1, 2], "names": ["bob", "Alice", "carol", "bob"], "mix": [1, "a", None, 2.5, True, [1]],
         "d": {"x": 1, "y": [1, 2], "z": None, "k 1": "v"}, "html": "<a href='x'>&\"</a>", "ml": "line1\nline2\r\n\nline4 - well-known",
         "users": [{"name": "bob", "age": 31}, {"name": "Ann", "age": 25}, {"name": "cy", "age": 31, "tags": ["x", {"y": 1}]}],
         "nums": [1.0, 2, 0.1, -0.0, 1e16, 1e-7, 123456789.125],
         "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": "3"}]}, {"v": None, "c": [{"v": [4]}]}],
         "messages": [{"role": "system", "content": " Be <kind>. "}, {"role": "user", "content": [{"type": "text", "text": "hi\n"}, {"type": "image"}]},
                      {"role": "assistant", "content": None, "reasoning_content": "so\n", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": [1.0, None, "\u00e9"], "y": {}}}}]},
                      {"role": "tool", "content": "{\"t\": 3}"}, {"role": "assistant", "content": "<think>\nwhy\n</think>\n\nok"}]}

TEXTS = ["a", "b c", "", "A-b_c", "%s", "{}", "1,2,,3", "<&>", "12", "0x1F", " pad ", "\t\n", "x.y", "name", "age", "they're o.k.", "\u00e9\u00df", "e\u0301", "\u01c6 \ufb01 \u0130 \u00df \u03c2\u03a3", "1_000", "-5", "1e3", " 7 ",
         "nan", "inf", "\u0663\u00b2\u2460", "a\u00a0b\u2003c", "l\x1cm\x85n\u2028o", "\u200b\ufeff\u00ad\ue000", "tel:1 www.x.org me@x.org http://a.b/c?d=e&f", "(https://x.com/a_(b)). <http://y.de>", "mailto:q@w.e", "ftp://x x@y.z, foo.com bar.org!",
         "well-known half--open a-b-c", "ab " * 20, "wordwordword" * 5, "a\\b'\"`", "\U0001f469\u200d\U0001f467 \U0001d400", "Title Case iS hErE", "\u0345\u1e9e \u01c5", "%(x)s %d %%", "{0} {x!r:>5} {{", "</tool_call>", "\n\nx\n\n", "a\r\nb\rc"]
CHARS = "abcXYZ 019_-.,:;!?'\"\\/<>&%{}()[]|~@#$*+=\n\t\r\x00\x0b\x0c\x1f\x7f\x85\xa0\xad\xb5\xdf\xe9\u0130\u0131\u01c5\u03c2\u0660\u0345\u1e9e\u2028\u200d\u3000\ufb03\uff21\U0001f600\U0001d7d8\U00010400"
WHITE = [" ", "\n", "\t", "\r\n", "\r", "  ", "\n\n", " \n ", "\x0b", "\x0c", "\u00a0"]

# What a parameter takes: i number, t text, b truth, l list, a the name of an attribute, * anything. Wrong ones are mixed in.
FILTERS = {"abs": "", "attr": "a", "batch": "i:linecount *:fill_with", "capitalize": "", "center": "i:width", "count": "", "default": "*:default_value b:boolean", "d": "* b", "dictsort": "b:case_sensitive k:by b:reverse", "e": "", "escape": "",
           "filesizeformat": "b:binary", "first": "", "float": "*:default", "forceescape": "", "format": "* *", "groupby": "a:attribute *:default b:case_sensitive", "indent": "w:width b:first b:blank", "int": "*:default i:base", "items": "",
           "join": "t:d a:attribute", "last": "", "length": "", "list": "", "lower": "", "max": "b:case_sensitive a:attribute", "min": "b:case_sensitive a:attribute", "pprint": "", "replace": "t:old t:new i:count", "reverse": "",
           "round": "i:precision m:method", "safe": "", "slice": "i:slices *:fill_with", "sort": "b:reverse b:case_sensitive a:attribute", "string": "", "striptags": "", "sum": "a:attribute *:start", "title": "",
           "tojson": "b:ensure_ascii w:indent p:separators b:sort_keys", "trim": "t:chars", "truncate": "i:length b:killwords t:end i:leeway", "unique": "b:case_sensitive a:attribute", "upper": "", "urlencode": "", "urlize": "i:trim_url_limit b:nofollow t:target t:rel s:extra_schemes",
           "wordcount": "", "wordwrap": "i:width b:break_long_words t:wrapstring b:break_on_hyphens", "xmlattr": "b:autospace"}
TESTS = {"defined": "", "undefined": "", "none": "", "string": "", "number": "", "integer": "", "float": "", "boolean": "", "mapping": "", "iterable": "", "sequence": "", "callable": "", "odd": "", "even": "", "lower": "", "upper": "", "true": "", "false": "",
         "escaped": "", "filter": "", "test": "", "divisibleby": "i", "eq": "*", "equalto": "*", "==": "*", "ne": "*", "!=": "*", "sameas": "*", "in": "l", "gt": "*", "greaterthan": "*", ">": "*", "ge": "*", ">=": "*", "lt": "*", "lessthan": "*", "<": "*", "le": "*", "<=": "*"}
METHODS = {"text": {"upper": "", "lower": "", "title": "", "capitalize": "", "swapcase": "", "casefold": "", "strip": "t", "lstrip": "t", "rstrip": "t", "split": "t:sep i:maxsplit", "rsplit": "t:sep i:maxsplit", "splitlines": "b:keepends", "partition": "t", "rpartition": "t",
                    "replace": "t t i", "find": "t i i", "rfind": "t i i", "index": "t i i", "rindex": "t i i", "count": "t i i", "startswith": "T i i", "endswith": "T i i", "removeprefix": "t", "removesuffix": "t", "join": "l", "zfill": "i", "ljust": "i c", "rjust": "i c", "center": "i c",
                    "expandtabs": "i:tabsize", "isdigit": "", "isalpha": "", "isalnum": "", "isspace": "", "istitle": "", "isupper": "", "islower": "", "isidentifier": "", "isnumeric": "", "isdecimal": "", "isprintable": "", "isascii": "", "encode": "E:encoding R:errors",
                    "format": "* *", "format_map": "d", "translate": "d", "maketrans": "t t t"},
           "list": {"index": "* i i", "count": "*", "copy": "", "append": "*", "pop": "i", "sort": "", "reverse": "", "extend": "l", "insert": "i *", "remove": "*", "clear": ""},
           "dict": {"get": "t *", "items": "", "keys": "", "values": "", "copy": "", "update": "d", "pop": "t", "setdefault": "t *", "popitem": "", "clear": "", "fromkeys": "l *"},
           "number": {"bit_length": "", "bit_count": "", "is_integer": "", "as_integer_ratio": "", "hex": "", "conjugate": "", "to_bytes": "i:length o:byteorder b:signed", "fromhex": "t", "from_bytes": "* o"},
           "bytes": {"decode": "E:encoding R:errors", "hex": "c i", "split": "", "upper": "", "strip": "", "find": "i", "count": "i", "title": "", "isdigit": "", "isalpha": "", "splitlines": "b", "lower": "", "startswith": "*", "join": "l", "zfill": "i", "center": "i"}}
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
COMPARE = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
LOOP = ["index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0", "cycle('a', 'b')", "cycle(*l)", "cycle()", "changed(x)", "changed(x, 1)", "nothing", "__class__", "previtem.name", "nextitem|default('-')"]


class Grammar:
    """One template and its variables for each seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.context = dict(FIXED)
        for name in ("s", "l", "d", "a", "f", "mix", "names"):
            if self.chance(0.25):
                self.context[name] = self.value(2, {"s": "text", "l": "list", "names": "list", "mix": "list", "d": "dict", "a": "number", "f": "number"}[name])

    def record(self):
        return {"template": self.template(), "context": self.context}

    def chance(self, p):
        return self.random.random() < p

    def pick(self, items):
        return self.random.choice(items)

    def weighted(self, table):
        """Of (weight, function) pairs."""
        return self.random.choices([f for _, f in table], [w for w, _ in table])[0]()

    # Values of variables, as JSON.

    def value(self, depth, kind=None):
        kind = kind or self.pick(["text", "text", "number", "number", "constant"] + (["list", "dict"] if depth > 0 else []))
        if kind == "text":
            return self.text()
        if kind == "number":
            return self.pick([0, 1, -1, 2, 7, 10, 255, 10**6, 2**31, -2**63, 2**63, 2**64 + 1, 10**25, 0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 0.1, 1e15, 1e16, 1e17, 1e22, 5e-324, 1.7976931348623157e308, 1e-4, 1e-5, 123456.789, 3.14159, 2.675, 1.005, 99.5, 0.045])
        if kind == "constant":
            return self.pick([None, True, False])
        inner = [self.value(depth - 1) for _ in range(self.pick([0, 1, 2, 3, 4, 6]))]
        if kind == "list":
            return [self.value(depth - 1, self.pick(["text", "number"])) for _ in inner] if self.chance(0.4) else inner
        return {self.pick(["x", "y", "z", "name", "age", "k 1", "B", "items", "\u00e9", "_p", "1"]): v for v in inner}

    def text(self):
        if self.chance(0.6):
            return self.pick(TEXTS)
        return "".join(self.pick(CHARS) for _ in range(self.pick([1, 2, 3, 5, 8, 13, 30])))

    # Literals, as source.

    def quoted(self, text=None):
        text = self.text() if text is None else text
        mark = self.pick(["'", "'", '"'])
        out = ""
        for c in text:
            if c in (mark, "\\"):
                out += "\\" + c
            elif (c in "\n\t\r" or not c.isprintable() or ord(c) > 0x7e) and self.chance(0.5):
                out += {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(c) or (f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}")
            else:
                out += c
        if self.chance(0.02):
            out += self.pick(["\\q", "\\101", "\\\n", "\\x4", "\\0", "\\/", "\\ud83d\\ude00", "\\'"])
        return mark + out + mark

    def number(self):
        return self.weighted([(8, lambda: self.pick(["0", "1", "2", "3", "-1", "5", "10", "-2", "7", "100"])), (2, lambda: self.pick(["1.5", "0.1", "2.5", "1e3", "2.5e-7", "1E2", "1_000.5", "-0.0", "5e-324", "0.5", "123456789.987654321"])),
                              (1, lambda: self.pick(["0x1F", "0b101", "0o17", "1_000", "0xFFFFFFFFFFFFFFFF1", "00", "12345678901234567890", "9223372036854775807", "-9223372036854775808", "007", "1__0", "0x", "1e", "1.", ".5", "1.e3"]))])

    def literal(self):
        return self.weighted([(5, self.number), (4, self.quoted), (2, lambda: self.pick(["true", "false", "none", "True", "False", "None"])),
                              (1, lambda: self.pick(["[]", "{}", "()", "(1,)", "[1, 2, 3]", "('a', 1)", "{'a': 1, 'b': [1]}", "range(5)", "range(3, -3, -2)", "dict(a=1)", "'x' * 90", "'ab ' * 40", "[1, 'a', none, [2.0, ()]]", "{1: 'a', 2.5: 'b', none: true, (1, 2): []}"]))])

    def key(self):
        return self.pick(["'x'", "'y'", "'name'", "'age'", "'role'", "'content'", "0", "1", "-1", "'upper'", "'items'", "'__class__'", "true", "1.0", "none", "'_p'", "5", "(1,)"])

    # Arguments by the letters above.

    def argument(self, letter, depth):
        if self.chance(0.06):
            return self.expression(depth - 1)
        table = {"i": lambda: self.pick(["0", "1", "2", "3", "4", "5", "8", "10", "13", "20", "-1", "-3", "79", "1.5", "true", "a", "16", "36", "none"]),
                 "t": lambda: self.quoted(self.pick(["a", "o", "l", "", " ", "ab", ", ", "-", "...", "\u00e9", "lo", "\n", "x'", "<>", "W", "H", "e"])) if self.chance(0.8) else self.pick(["s", "u", "none", "e", "1", "html", "missing", "'a'.encode()"]),
                 "b": lambda: self.pick(["true", "false", "true", "false", "1", "0", "none", "''", "missing"]), "a": lambda: self.pick(["'name'", "'age'", "'x'", "'v'", "0", "1", "'name,age'", "'0'", "'y.0'", "'tags.1.y'", "'content'", "'role'", "'c.0.v'", "'nope'", "none", "''", "-1", "'__class__'"]),
                 "l": lambda: self.pick(["l", "names", "mix", "[1, 'a', 3]", "['x', 'y']", "d", "s", "('a', 'b')", "[]", "range(3)", "nums", "none", "missing", "d.items()"]), "d": lambda: self.pick(["d", "{'x': 1}", "{104: 'J', 108: none, 111: 48}", "dict(a=1)", "{}", "l", "missing", "'abc'"]),
                 "k": lambda: self.pick(["'key'", "'value'", "'value'", "'x'"]), "m": lambda: self.pick(["'common'", "'ceil'", "'floor'", "'x'"]), "w": lambda: self.pick(["0", "1", "2", "3", "4", "'> '", "'\\t'", "none", "-1", "true", "''", "2.0"]),
                 "p": lambda: self.pick(["(',', ':')", "(', ', ': ')", "none", "[';', '=']", "','", "(1, 2)", "('a', 'b', 'c')"]), "s": lambda: self.pick(["['tel:']", "['x-y:', 'tel:']", "['bad']", "'tel:'", "[]", "none"]), "c": lambda: self.quoted(self.pick(["*", "0", "\u00e9", "", "ab", " ", "\u4e2d"])),
                 "T": lambda: self.pick(["'H'", "'a'", "('a', 'H')", "()", "['H']", "''", "('', 1)", "s", "'d'"]), "E": lambda: self.pick(["'utf-8'", "'ascii'", "'latin-1'", "'UTF8'", "'utf_8'", "'nope'", "1"]), "R": lambda: self.pick(["'strict'", "'ignore'", "'replace'", "'backslashreplace'", "'nope'", "'xmlcharrefreplace'"]),
                 "o": lambda: self.pick(["'big'", "'little'", "'x'"]), "*": lambda: self.literal() if self.chance(0.5) else self.pick(NAMES)}
        return table[letter]()

    def arguments(self, parameters, depth):
        out, by_name = [], False
        for parameter in parameters.split():
            letter, _, name = parameter.partition(":")
            if by_name and not name:
                break
            if self.chance(0.45):
                by_name = True
                if not name or self.chance(0.6):
                    continue
            value = self.argument(letter, depth)
            out.append(f"{name}={value}" if by_name and name else value)
        if self.chance(0.03):
            out.append(self.pick(["1", "x=1", "*l", "**d", "*[1]", "**{'width': 3}", "missing"]))
        return ", ".join(out)

    def call(self, name, parameters, depth, always=False):
        inside = self.arguments(parameters, depth)
        return f"{name}({inside})" if inside or always or self.chance(0.1) else name

    def filter(self, depth):
        r = self.random.random()
        if r < 0.10:
            return self.pick(["map", "select", "reject"]) + "(" + self.pick(["attribute='name'", "attribute='age', default='?'", "attribute='x.y'", "attribute=0", f"'{self.pick(list(FILTERS))}'", f"'{self.pick(list(FILTERS))}', {self.literal()}",
                                                                                 f"'{self.pick(list(TESTS))}'", f"'{self.pick(list(TESTS))}', {self.literal()}", "'nope'", "'upper'", "'string'", "'none'", "'tojson'", "'length'", "'default', 1", ""]) + ")" + self.pick(["|list", "|list", "|join(', ')", "|first", ""])
        if r < 0.16:
            return self.pick(["selectattr", "rejectattr"]) + "(" + self.argument("a", 0) + self.pick(["", "", ", 'defined'", ", 'none'", f", '{self.pick(list(TESTS))}', {self.literal()}", f", 'equalto', {self.literal()}", ", 'in', l"]) + ")" + self.pick(["|list", "|list", "|map(attribute='name')|list", "|length"])
        if r < 0.17:
            return "unknown_filter"
        name = self.pick(list(FILTERS))
        return self.call(name, FILTERS[name], depth) + ("|list" if name in ("batch", "slice", "unique", "items", "groupby") and self.chance(0.8) else "")

    def test(self, depth):
        name = self.pick([n for n in TESTS if n[0].isalpha()])
        if not TESTS[name]:
            return name
        inside = self.argument(TESTS[name], depth)
        return f"{name}({inside})" if self.chance(0.7) or " " in inside else f"{name} {inside}"

    def method(self, kind, depth):
        if self.chance(0.04):
            return self.pick(["x", "y", "name", "0", "__class__", "real", "imag", "nothing", "nothing.more", "upper", "items", "get", "__len__()", "numerator", "format.x"])
        kind = kind if kind in METHODS and self.chance(0.93) else self.pick(list(METHODS))
        name = self.pick(list(METHODS[kind]))
        return self.call(name, METHODS[kind][name], depth, always=True)

    # Format strings.

    def spec(self):
        p = lambda chance, *items: self.pick(items) if self.chance(chance) else ""
        return "{" + p(0.3, "0", "1", "x", "0.real", "0[0]", "0[x]", "0.upper", "x[1]", "", "2") + p(0.2, "!r", "!s", "!a", "!x") + (":" + p(0.2, "*", "0", "\u00e9", "<") + p(0.4, "<", ">", "^", "=") + p(0.2, "+", "-", " ") + p(0.1, "z") + p(0.15, "#") + p(0.15, "0")
                                                                                                       + p(0.5, "1", "5", "8", "12", "{}", "{1}") + p(0.2, ",", "_") + p(0.3, ".0", ".1", ".3", ".10", ".{}") + p(0.6, *"bcdeEfFgGnosxX%q") if self.chance(0.7) else "") + "}"

    def percent(self):
        p = lambda chance, *items: self.pick(items) if self.chance(chance) else ""
        return "%" + p(0.12, "(x)", "(y)", "(q)") + "".join(self.random.sample("-+ #0", self.pick([0, 0, 1, 1, 2]))) + p(0.4, "1", "5", "8", "12", "*") + p(0.3, ".0", ".1", ".3", ".10", ".", ".*") + p(0.03, "l", "h") + self.pick("ddiouxXeEfFgGcrsa%q" if self.chance(0.95) else "bn{ ")

    def formatted(self, depth):
        values = ", ".join(self.expression(depth - 1) for _ in range(self.pick([1, 1, 1, 2, 2, 3])))
        words = lambda part: "".join(self.pick(["", "a", " ", "{{", "}}", "\u00e9"] if part == self.spec else ["", "a", " ", "%%", "\u00e9"]) + part() for _ in range(self.pick([1, 1, 2, 3])))
        if self.chance(0.5):
            return f"{self.quoted(words(self.percent))} % {self.pick([f'({values})', f'({values},)', self.operand(depth), 'd', 'l'])}"
        return f"{self.quoted(words(self.spec))}.format({values}{self.pick(['', '', ', x=' + self.pick(NAMES), ', **d', ', *l'])})"

    # Expressions. A chain is a base and steps that mostly fit the kind of value so far.

    BASES = {"text": ["s", "u", "html", "ml", "e", "messages[0].content", "messages[-1]['content']"], "list": ["l", "names", "mix", "nums", "users", "tree", "messages", "range(7)", "[s, u]", "[[1, 'z'], ['y' * 40, {'k': 'v' * 40}]]", "('a', 'B')", "d.items()", "[1.5, true, none]", "messages[2].tool_calls"],
             "dict": ["d", "users[0]", "users[2]", "tree[0]", "messages[2]", "{'b': 1, 'a': [1, 2], 'c': {'x': 'y' * 70}}", "{1: 'a', 2.5: 'b', none: true}", "dict(a=1, b='<q>')", "{'z': s, 'B': u, 'a': nums}"], "number": ["a", "neg", "f", "big", "t", "nums[5]", "nums[4]", "1e22", "1234567.891", "0.30000000000000004", "(7 / 3)", "2 ** 70", "-7 // 2", "10 % -3"],
             "bytes": ["s.encode()", "u.encode('utf-8')", "'a b'.encode()"]}
    STEPS = {"text": {"text": "capitalize center e escape forceescape indent lower replace safe string striptags title trim truncate upper urlencode urlize wordwrap pprint tojson default", "number": "length wordcount int float count", "list": "list"},
             "list": {"list": "sort unique reverse batch slice groupby list", "text": "join tojson pprint string first last max min", "number": "length sum"}, "dict": {"list": "dictsort items list", "text": "tojson pprint string urlencode xmlattr", "number": "length"},
             "number": {"number": "abs int float round default", "text": "string tojson filesizeformat pprint"}, "bytes": {"text": "string pprint tojson", "number": "length", "list": "list"}}
    RESULT = {"split": "list", "rsplit": "list", "splitlines": "list", "partition": "list", "rpartition": "list", "encode": "bytes", "find": "number", "rfind": "number", "count": "number", "index": "number", "items": "list", "keys": "list", "values": "list", "copy": "dict", "decode": "text", "hex": "text", "maketrans": "dict"}

    def step(self, kind):
        r = self.random.random()
        if r < 0.55 or kind not in METHODS:
            to = self.pick(list(self.STEPS[kind]))
            name = self.pick(self.STEPS[kind][to].split())
            return "|" + self.call(name, FILTERS[name], 1) + ("|list" if name in ("batch", "slice", "unique", "reverse") and kind == "list" else ""), to
        if r < 0.72:
            name = self.pick(list(METHODS[kind]))
            return "." + self.call(name, METHODS[kind][name], 1, always=True), self.RESULT.get(name, kind)
        if r < 0.80:
            return "|" + self.filter(1), kind
        if kind in ("text", "list", "bytes") and r < 0.9:
            return f"[{self.slice()}]", kind
        other = {"text": [" ~ 1", " * 2", " ~ s", " + 'x'"], "list": [" + [1]", " * 2"], "number": [" + 1", " / 3", " // 2.5", " % 5", " ** 2", " * 1.1", " - 0.7", " ~ ''"], "dict": ["['x']", ".x"], "bytes": [" + 'x'.encode()"]}
        return self.pick(other[kind]), kind

    def chain(self):
        kind = self.pick(["text", "text", "text", "list", "list", "dict", "number", "number", "bytes"])
        out = self.pick(self.BASES[kind]) if kind not in ("text", "number") or self.chance(0.5) else f"({self.quoted()})" if kind == "text" else f"({self.number()})"
        constant = out[0] == "(" or "'" in out
        filtered = False
        for _ in range(self.random.randrange(1, 5)):
            step, to = self.step(kind)
            if step.startswith("[") and constant and ":" in step:
                continue  # Jinja folds constants when it compiles, and calls what cannot be sliced undefined there
            kind = to
            bare = (step[0] == "|" or not filtered) and (step[0] in "|.[" or self.chance(0.3))
            out = out + step if bare else f"({out}){step}"
            filtered = step[0] == "|"
        return out

    def slice(self):
        part = lambda: self.pick(["", "", "0", "1", "-1", "2", "-3", "100", "n", "a", "-100"])
        if self.chance(0.6):
            return f"{part()}:{part()}" + (f":{self.pick(['1', '2', '-1', '-2', '0', '', 'n', '3'])}" if self.chance(0.4) else "")
        return self.pick(["0", "-1", "1", "5", "-3"])

    def expression(self, depth):
        if depth <= 0:
            return self.pick(NAMES + ["missing", "x", "y", "item", "ns", "loop", "d.x", "users[0].name"]) if self.chance(0.6) else self.literal()
        e = lambda: self.expression(depth - 1)
        return self.weighted([
            (10, self.chain), (12, lambda: self.expression(0)), (14, lambda: f"{self.operand(depth)}|{self.filter(depth)}"), (9, lambda: f"{self.operand(depth)}.{self.method(None, depth)}"), (12, lambda: f"{self.operand(depth)} {self.pick(BINARY)} {self.operand(depth)}"),
            (3, lambda: f"{self.operand(depth)} {self.pick(COMPARE)} {self.operand(depth)} {self.pick(COMPARE)} {self.operand(depth)}"), (6, lambda: f"{self.operand(depth)} is {self.pick(['', '', 'not '])}{self.test(depth)}"), (3, lambda: f"{self.pick(['not ', '-', '+', '- ', 'not not '])}{self.operand(depth)}"),
            (4, lambda: f"{self.pick(NAMES)}[{self.slice()}]"), (4, lambda: f"{self.pick(NAMES)}[{self.key() if self.chance(0.7) else e()}]"), (4, lambda: f"{e()} if {e()}" + (f" else {e()}" if self.chance(0.8) else "")), (2, lambda: f"[{e()}, {e()}{self.pick(['', ','])}]"), (1, lambda: f"({e()}, {e()})"),
            (2, lambda: f"{{{self.key()}: {e()}, {self.pick([self.key(), repr('c'), '2.5', 's'])}: {e()}}}"), (5, lambda: self.formatted(depth)), (2, lambda: f"{self.pick(['range', 'dict', 'namespace', 'm', 'missing', 'joiner', 'cycler', 'raise_exception', 'strftime_now', 'loop', 'self', 's', 'caller'])}({e() if self.chance(0.8) else ''})"),
            (1, lambda: f"strftime_now({self.quoted(''.join(self.pick(list('aAbBdHIjmMpSUwWyYcxXzZ%feGuVhDTFRrntkl-eCs')) .join('%' + self.pick(['', ' '])) for _ in range(2)))})")])

    def operand(self, depth):
        inner = self.expression(depth - 1)
        return inner if self.chance(0.15) or inner.replace("_", "").isalnum() else f"({inner})"

    # Statements.

    def begin(self):
        return self.pick(["{%", "{%", "{%", "{%-", "{%+"])

    def end(self):
        return self.pick(["%}", "%}", "%}", "-%}", "+%}"])

    def tag(self, text):
        return f"{self.begin()}{self.pick([' ', ' ', ' ', '', '  ', chr(10)])}{text}{self.pick([' ', ' ', ' ', '', '  '])}{self.end()}"

    def output(self, expression):
        return f"{self.pick(['{{', '{{', '{{', '{{-', '{{+'])} {expression} {self.pick(['}}', '}}', '}}', '-}}'])}"

    def data(self):
        return self.pick(["", "", " ", "\n", "  \n", "text", "x\n  ", "a b", "{# note #}", "{#- note -#}", "  {# note #}  \n", "{#+ note #}", "\n\n", "\t", "{% raw %} {{ x }} {% endraw %}", "{%- raw -%} {% x {%- endraw -%} ", "'", "<|im_start|>", "\u00e9", "line\r\n", "\r", "a", "%", "x\n"] if self.chance(0.97) else ["%}", "}}", "{ ", "#}", "{ {", "{"]) if self.chance(0.95) else self.pick(WHITE) + self.pick(WHITE)

    def body(self, depth):
        return "".join(self.data() + self.statement(depth - 1) for _ in range(self.pick([1, 1, 2, 3]))) + self.data()

    def statement(self, depth):
        if depth <= 0:
            return self.output(self.expression(self.pick([1, 2, 3])))
        return self.weighted([(36, lambda: self.output(self.expression(3))), (16, lambda: self.for_loop(depth)), (10, lambda: self.condition(depth)), (12, lambda: self.assignment(depth)), (3, lambda: self.tag(f"with {self.pick(['x', 'a', 's'])} = {self.expression(2)}, y = {self.expression(2)}") + self.body(depth) + self.tag("endwith")),
                              (6, lambda: self.macro(depth)), (3, lambda: self.tag(f"call{self.pick(['', '(x)', '(x, y=1)'])} {self.pick(['m()', 'm(1)', 'm(1, y=s)', 'missing()'])}") + self.body(depth) + self.tag("endcall")),
                              (3, lambda: self.tag(f"filter {self.filter(1)}") + self.body(depth) + self.tag("endfilter")), (2, lambda: self.tag(f"autoescape {self.pick(['true', 'false', 't', 'n'])}") + self.body(depth) + self.tag("endautoescape")),
                              (2, lambda: self.block(depth)), (2, lambda: self.tag("generation") + self.body(depth) + self.tag("endgeneration")), (1, lambda: self.tag(self.pick(["do l.append(1)", "include 'x'", "include 'x' ignore missing", "extends 'x'", "import 'x' as y", "from 'x' import y", "break", "continue", "trans", "debug", "endif", "else"])))])

    def for_loop(self, depth):
        if self.chance(0.15):
            over, inner = self.pick(["tree", "tree", "users", "mix"]), self.pick(["x.c", "x.c|default([])", "x.c", "x.tags", "[]"])
            call = self.output(f"loop({inner})" + self.pick(["", "", " if x.c", "|trim", " ~ loop.depth"]))
            return self.tag(f"for x in {over} recursive") + self.data() + self.output(self.pick(["x.v", "loop.depth", "loop.depth0 ~ x.v", "x"])) + self.pick(["", self.statement(depth - 1)]) + (self.tag("if x.c") + call + self.tag("endif") if self.chance(0.5) else call) + (self.tag("else") + "none" if self.chance(0.2) else "") + self.tag("endfor")
        target = self.pick(["x", "item", "x, item", "x", "a", "(x, item)", "x, (item, y)"] if self.chance(0.3) else ["x", "item", "x"])
        over = self.pick(["l", "names", "users", "d", "d.items()", "mix", "nums", "range(4)", "s", "missing", "[]", "messages", "messages[1:]", "users|groupby('age')", "d|dictsort", "names|batch(2)", "l|map('string')", "messages|reverse", "[[1, 2], 'ab']", "((1, (2, 3)),)", self.expression(2)])
        where = f" if {self.pick(['x', 'loop.first', 'not x', 'x is string', 'x != 1', self.expression(2), self.expression(1)])}" if self.chance(0.2) else ""
        inner = self.body(depth)
        if self.chance(0.6):
            inner += self.output("loop." + self.pick(LOOP))
        if self.chance(0.15):
            inner += self.tag(f"if {self.pick(['loop.index > 1', 'x', 'loop.last', 'not loop.first'])}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") + self.data()
        if self.chance(0.1):
            inner = self.tag("set outer = loop") + inner + self.tag("for y in 'ab'") + self.output("outer." + self.pick(LOOP) + " ~ loop.index") + self.tag("endfor")
        other = self.tag("else") + self.body(depth) if self.chance(0.25) else ""
        return self.tag(f"for {target} in {over}{where}{self.pick(['', '', '', '', '', ' recursive'])}") + inner + other + self.tag("endfor")

    def condition(self, depth):
        middle = self.tag(f"elif {self.expression(2)}") + self.body(depth) if self.chance(0.3) else ""
        other = self.tag("else") + self.body(depth) if self.chance(0.5) else ""
        return self.tag(f"if {self.expression(2)}") + self.body(depth) + middle + other + self.tag("endif")

    def assignment(self, depth):
        r = self.random.random()
        if r < 0.25:
            return self.tag(f"set ns = namespace({self.pick(['v=1', 'v=s', '', 'd', 'v=[]', '{1: 2}', 'l', '_p=1'])})") + self.pick(["", self.tag("for x in l") + self.tag(f"set ns.v = {self.pick(['x', 'ns.v ~ x', 'ns.v + x', self.expression(1)])}") + self.tag("endfor"), self.tag(f"set ns.v = {self.expression(2)}"), self.tag("set ns.v, ns.w = 1, 2"), self.tag("set ns._p = 1")]) + self.output(self.pick(["ns.v", "ns.w", "ns", "ns.v|length", "ns['v']"]))
        if r < 0.45:
            return self.tag(f"set {self.pick(['x', 'y', 'x | upper', 'y | trim | length', 'a', 'x|' + self.filter(1), 'ns.v'])}") + self.body(depth) + self.tag("endset") + self.output(self.pick(["x", "y", "x ~ y", "a"]))
        return self.tag(f"set {self.pick(['x', 'y', 'item', 'x, y', 'a', 's', '(x, y)', 'd.x', 'l'])} = {self.pick([self.expression(2), self.expression(3), '1, 2', 'l', 'x, y', '(s, u)', 'messages'])}") + self.pick(["", self.output("x"), self.output("y")])

    def macro(self, depth):
        signature = self.pick(["", "x", "x, y=2", "x, y=x", "x=1, y='q'", "x, x", "y=a, x=missing", "x, y=none, z=[]", "caller", "x=1, y"])
        inner = self.body(depth) + self.pick(["", self.output(self.pick(["varargs", "kwargs", "caller()", "caller(1)", "m.name", "m.arguments", "m.catch_kwargs", "m.catch_varargs", "m.caller", "caller is defined", "x ~ y", "varargs[0]", "kwargs.z", "caller(x) if caller else x"]))])
        calls = self.pick(["m()", "m(1)", "m(1, 2)", "m(1, 2, 3)", "m(y=3)", "m(1, z=4)", "m(*l)", "m(**d)", "m(1, x=2)", "m(s, y=u)|upper", "[m(1), m('a')]", "m", "m.name", "m(caller=1)", "m(m)", "names|map('m')|list"])
        out = self.tag(f"macro m({signature})") + inner + self.tag("endmacro") + self.output(calls)
        return self.tag("if t") + out + self.tag("endif") if self.chance(0.1) else out

    def block(self, depth):
        name = self.pick(["b", "c", "title"])
        return self.tag(f"block {name}{self.pick(['', '', '', ' scoped'])}") + self.body(depth) + self.tag(f"endblock{self.pick(['', '', ' ' + name, ' z'])}") + self.pick(["", "", self.output(self.pick([f"self.{name}()", "self.nope()", "super()", "self", f"self.{name}"]))])

    def template(self):
        r = self.random.random()
        if r < 0.4:
            return f"{{{{ {self.chain() if self.chance(0.7) else self.expression(3)} }}}}"
        source = self.statement(2) + self.data() + self.statement(1) if r < 0.7 else self.data() + self.body(3)
        if self.chance(0.08):
            source = self.damaged(source)
        return source

    def damaged(self, source):
        """Characters taken out, doubled or put in, or the line ends changed."""
        if not source:
            return source
        at = self.random.randrange(len(source))
        return self.pick([lambda: source[:at] + source[at + 1:], lambda: source[:at] + source[at:at + 5] + source[at:], lambda: source[:at] + self.pick(list("{}%#|.,:'\"([ \n-+=*\\_1")) + source[at:],
                          lambda: source.replace("\n", self.pick(["\r\n", "\r", "\n\n"])), lambda: source[:at], lambda: source[:at] + self.pick(["{%", "%}", "{{", "}}", "{#", "#}", "-%}", "{%-", " is ", " not ", "|", " if "]) + source[at:]])()
