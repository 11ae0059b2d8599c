"""What Python's Jinja2 and `duet template` give for a template, in one form, and whether they agree.

The environment is the one in which transformers 5 renders chat templates (golden/templates, README.md), written down again here
so that a machine without transformers can check as well. Jinja2 3.1.6 is the reference: older ones differ in what they refuse.
"""
import ctypes
import datetime
import json
import multiprocessing
import re
import signal
import subprocess
import types
import warnings

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
    import jinja2.utils
except ImportError:
    jinja2 = None

VERSION = (3, 1, 6)
NOW = "2026-03-05T14:07:09"
SECONDS = 3  # for one template in Python; what takes longer is not compared
warnings.simplefilter("ignore")  # of the compiler of Python, about odd templates


class Excuses:
    """Reasons why what a template gave is no function of the template, so that it cannot be compared."""

    def __init__(self):
        self.reasons, self.kept = set(), None

    def watch_addresses(self):
        """From here on, an object that is shown with its address in memory is a reason.

        The text alone cannot tell: a template may take it apart, or print nothing but its length. So the function that makes such a
        text (tp_repr, where CPython 3.11 to 3.13 have it in a type) is replaced in all types that have it.
        """
        if self.kept is not None or ctypes.sizeof(ctypes.c_void_p) != 8:
            return
        place, shape = 11 * 8, ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)

        def show(value):
            self.reasons.add("the address of an object")
            return f"<{type(value).__name__} object at 0x7f0000000000>"

        self.kept = shape(show)
        slot = lambda kind: ctypes.c_void_p.from_address(id(kind) + place)
        plain = slot(object).value
        kinds, found = [object], {types.FunctionType, types.GeneratorType, types.BuiltinFunctionType, type("".__str__)}
        while kinds:
            kind = kinds.pop()
            if slot(kind).value == plain:
                found.add(kind)
            kinds += [below for below in type.__subclasses__(kind) if below is not type]
        for kind in found:
            slot(kind).value = ctypes.cast(self.kept, ctypes.c_void_p).value


EXCUSES = Excuses()


def missing():
    """Why nothing can be compared here, or None."""
    if jinja2 is None:
        return "jinja2 is not installed for this Python (pip install jinja2==3.1.6)"
    found = tuple(int(part) for part in re.findall(r"\d+", jinja2.__version__)[:3])
    return None if found >= VERSION else f"jinja2 {jinja2.__version__} is too old: 3.1.6 is the reference"


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


NUL_IN_TIME = "strftime() up to Python 3.13 ends at a NUL, as in C"


def strftime_now(format):
    if "\0" in format:
        EXCUSES.reasons.add(NUL_IN_TIME)
    return datetime.datetime.fromisoformat(NOW).strftime(format)


class Dictionary:  # dict(...) and dict.fromkeys(...), and nothing else of the class
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


if jinja2 is not None:
    class Namespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            attributes = dict(*args[1:], **kwargs)
            for name in attributes:
                Namespace.check(name)
            jinja2.utils.Namespace.__init__(args[0], attributes)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(f"underscore in {name!r}")

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def __init__(self, environment):
            super().__init__(environment)
            self.blocks, self.spans = [], []
            environment.generation = self

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

        @jinja2.pass_eval_context
        def mark(self, context, caller):
            text = caller()
            begin = len("".join(self.blocks))
            self.spans.append([begin, begin + len(text)])
            return text


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now, dict=Dictionary(), namespace=Namespace)
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


def render(record):
    environment = make_environment()
    spans = environment.generation
    for block in environment.from_string(record["template"]).generate(**json.loads(json.dumps(record["context"]))):
        spans.blocks.append(block)
    return "".join(spans.blocks), spans.spans if "endgeneration" in record["template"] else None


def expect(record):
    """("text", TEXT, SPANS), ("error", KIND), ("raised", MESSAGE), or None where nothing can be compared."""
    def stop(*_):
        raise TooLong()
    EXCUSES.watch_addresses()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    EXCUSES.reasons.clear()  # here, since signal() shows its handler to itself
    try:
        text, spans = render(record)
        text.encode("utf-8")
        return None if EXCUSES.reasons or " at 0x" in text or len(text) > 1 << 18 else ("text", text, spans)
    except TooLong:
        return None
    except Exception as error:
        if isinstance(error, NameError) and error.name in ("inf", "nan"):
            return None  # Jinja2 writes such a constant into its Python code as a name that Python does not have: a fault, no rule
        if EXCUSES.reasons & {NUL_IN_TIME}:
            return None  # another text may have taken another way to another error
        kind = kind_of(error)
        message = getattr(error, "message", None)
        return ("raised", message) if kind == "raised" and isinstance(message, str) and not EXCUSES.reasons else ("error", kind)
    finally:
        signal.alarm(0)


def outcome_of(answer):
    """The same form of a line of `duet template --jsonl`."""
    if "text" in answer:
        return "text", answer["text"], answer.get("generation")
    kind = answer.get("error_kind", answer.get("code"))
    return ("raised", answer["error"]) if kind == "raised" else ("error", kind)


class Duet:
    """A `duet template` that answers records as they come; one that died is started again."""

    def __init__(self, path):
        self.path, self.process = path, None

    def ask(self, record):
        """As expect() does; ("crash", status) where the record ended the program."""
        if self.process is None:
            self.process = subprocess.Popen([self.path, "template", "-", "--jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdin.write(json.dumps({**record, "now": NOW}).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            return outcome_of(json.loads(line))
        status, self.process = self.process.wait(), None
        return "crash", status


def same(wanted, got):
    # Either may stop earlier than the other: limits are our own, and Python's recursion limit is its own.
    if wanted is None or got == ("error", "limit"):
        return True
    if wanted[0] == "error" and wanted[1] == "limit":
        return got[0] != "crash"
    if wanted == ("error", "raised"):
        return got[0] == "raised"
    if wanted[0] == "text" and wanted[2] is None:
        return wanted[:2] == got[:2]
    return wanted == got


def minimise(duet, record):
    """Takes out pieces, large ones first, as long as the difference stays."""
    def outcome(text):
        changed = {**record, "template": text}
        wanted = expect(changed)
        if wanted is None:
            return None
        got = duet.ask(changed)
        return None if same(wanted, got) else (wanted[0], wanted[1] if wanted[0] == "error" else "", got[0], got[1] if got[0] == "error" else "")

    source = record["template"]
    first = outcome(source)  # stays: another difference is not this one made smaller
    size = max(1, len(source) // 2)
    tries = 0
    while size >= 1 and tries < 1500:
        at = 0
        while at < len(source) and tries < 1500:
            tries += 1
            shorter = source[:at] + source[at + size:]
            if shorter and outcome(shorter) == first:
                source = shorter
            else:
                at += size
        size //= 2
    return {**record, "template": source}


def compare(duet, records, workers=1):
    """(wanted, got, indices that differ) of {"template", "context"} records; `duet` is a Duet."""
    with multiprocessing.Pool(workers) as pool:  # a child of its own: an alarm in the middle of an import must not hit us
        wanted = pool.map(expect, records, chunksize=50)
    got = [duet.ask(record) for record in records]
    return wanted, got, [i for i in range(len(records)) if not same(wanted[i], got[i])]


def report(duet, records, most=20, workers=1, label=lambda i: str(i)):
    """Compares, prints each difference made small and a summary; the number of differences."""
    wanted, _, different = compare(duet, records, workers)
    kinds = {}
    for outcome in wanted:
        key = "not compared" if outcome is None else outcome[1] if outcome[0] == "error" else outcome[0]
        kinds[key] = kinds.get(key, 0) + 1
    seen = set()
    for i in different:
        if len(seen) >= most:
            break
        small = minimise(duet, records[i])
        if small["template"] in seen:
            continue
        seen.add(small["template"])
        used = {name: value for name, value in small["context"].items() if re.search(rf"\\b{re.escape(name)}\\b", small["template"])}
        print(f"{label(i)}: {small['template']!r} {json.dumps(used) if len(used) < 9 else ''}\n  jinja2 {expect(small)}\n  duet   {duet.ask(small)}")
    print(f"{len(records)} templates ({', '.join(f'{v} {k}' for k, v in sorted(kinds.items()))}), {len(different)} differences", flush=True)
    return len(different)
