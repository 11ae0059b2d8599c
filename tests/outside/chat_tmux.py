#!/usr/bin/env python3
"""`duet chat` in a real terminal: answers, Ctrl-C at every stage, resizing, history, pasting, attaching, commands, colours, resuming.

usage: chat_tmux.py DUET

The model is the file that DUET_TEST_MODEL names, else smollm2-135m of the store. Exit status 77 (skipped), saying why, without it
or without tmux.
"""
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
PATIENCE_S = 60
TWICE_S = 1.1  # after that long a Ctrl-C is no second one
QUESTION = "What is the capital of France?"


def find_model(duet):
    named = os.environ.get("DUET_TEST_MODEL")
    if named:
        return os.path.abspath(named)
    listed = subprocess.run([duet, "list", "--json"], capture_output=True, timeout=60, check=True).stdout
    for model in map(json.loads, listed.splitlines()):
        if model["name"] == "smollm2-135m" and model["state"] == "ready":
            return model["path"]
    return None


class Terminal:
    """A tmux server of its own with one window; leaving it ends everything in it."""

    def __init__(self, folder, command, environment):
        # A name of its own: the server that was there before may still be ending.
        self.socket = tempfile.mktemp(prefix="tmux.", dir=folder)
        self.status_file = os.path.join(folder, "status")
        line = f"{shlex.join(command)}; echo $? > {shlex.quote(self.status_file)}; stty -a; sleep 600"
        variables = [f"{key}={value}" for key, value in environment.items()]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", shlex.join(["env", *variables, "bash", "-c", line]))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=30, check=False)
        if os.path.exists(self.status_file):
            os.remove(self.status_file)

    def tmux(self, *arguments):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, f"tmux {arguments[0]} ended with {done.returncode}: {done.stderr.decode()}"
        return done.stdout.decode()

    def screen(self, escapes=False):
        text = self.tmux("capture-pane", "-p", "-J", "-S", "-200", *(["-e"] if escapes else []))
        return "\n".join(line.rstrip() for line in text.splitlines())

    def wait(self, pattern, times=1):
        """Until the pattern is on the screen that often."""
        deadline = time.monotonic() + PATIENCE_S
        while len(re.findall(pattern, self.screen(), re.MULTILINE)) < times:
            assert time.monotonic() < deadline, f"{pattern!r} did not appear {times} times:\n{self.screen()}"
            time.sleep(0.1)

    def wait_for_lines(self, after, number):
        """Until so many lines with text stand below the last one that begins with `after`."""
        deadline = time.monotonic() + PATIENCE_S
        while len([line for line in self.screen().rpartition(after)[2].splitlines() if line]) <= number:
            assert time.monotonic() < deadline, f"there are not {number} lines below {after!r}:\n{self.screen()}"
            time.sleep(0.1)

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def line(self, text):
        self.tmux("send-keys", "-l", text)
        self.keys("Enter")

    def status(self):
        deadline = time.monotonic() + PATIENCE_S
        while not (os.path.exists(self.status_file) and os.path.getsize(self.status_file)):
            assert time.monotonic() < deadline, f"the program did not end:\n{self.screen()}"
            time.sleep(0.1)
        with open(self.status_file, encoding="ascii") as file:
            return int(file.read())


def check_conversation(folder, command, environment):
    saved = os.path.join(folder, "saved.json")
    with Terminal(folder, command, environment) as terminal:
        terminal.wait(r"^>$")
        terminal.line(QUESTION)
        terminal.wait(r"^The capital of France is Paris\.$")
        terminal.wait(r"^7 tokens, [0-9.]+ tokens/s")
        assert "\x1b[2m" in terminal.screen(escapes=True), "the line of figures is not dimmed"
        prompt = next(line for line in terminal.screen(escapes=True).splitlines() if "What is" in line)
        assert re.search(r">\x1b\[0?m.* What is", prompt), f"the style of the prompt goes on: {prompt!r}"

        terminal.line("Tell me a very long story about a river.")
        terminal.wait(r"^> Tell me a very long story.*\n\S+ \S+ \S+")  # an answer has begun
        terminal.keys("C-c")
        terminal.wait(r"^\(stopped\)$")
        terminal.wait(r"tokens/s", times=2)
        time.sleep(TWICE_S)
        terminal.keys("C-c")
        terminal.wait(r"^\(Ctrl-C once more, Ctrl-D or /quit leaves\)$")
        terminal.tmux("send-keys", "-l", "half a thought")
        terminal.wait(r"^> half a thought$")
        terminal.keys("C-c")
        terminal.wait(r"half a thought\^C$")
        terminal.keys("C-c")  # the one that cleared the line is no first of two
        terminal.wait(r"^\(Ctrl-C once more, Ctrl-D or /quit leaves\)$", times=2)

        terminal.tmux("resize-window", "-x", "40", "-y", "30")
        terminal.keys("Up")
        terminal.wait(r"^> Tell me a very long story")
        terminal.keys("Up")
        terminal.wait(r"^> What is the capital of France\?$", times=2)
        terminal.keys("C-e")
        terminal.keys("BSpace")
        terminal.line(", in one word é 東京?")
        terminal.wait(r"in one word é 東京\?")
        terminal.wait(r"tokens/s", times=3)
        terminal.tmux("resize-window", "-x", "100", "-y", "40")

        terminal.line("/clear")
        terminal.wait(r"^\(the conversation is forgotten\)$")
        terminal.tmux("set-buffer", "first line\n\tsecond")
        terminal.tmux("paste-buffer", "-p")
        terminal.wait(r"^> first line\n\s+second$")
        terminal.keys("Up", "X")
        terminal.wait(r"^> first lXine\n\s+second$")  # and so the screen is as the editor thinks that it is
        terminal.keys("BSpace", "Down", "C-e")
        terminal.tmux("send-keys", "-l", " line")
        terminal.wait(r"^> first line\n\s+second line$")
        terminal.keys("Enter")
        terminal.wait(r"tokens/s", times=4)
        for line in ('"""', "one", "two", '"""'):
            terminal.line(line)
        terminal.wait(r"tokens/s", times=5)
        terminal.line(f"/save {saved}")
        terminal.wait(r"^\(4 messages are in")
        with open(saved, encoding="utf-8") as file:
            messages = json.load(file)["messages"]
        users = [message["content"] for message in messages if message["role"] == "user"]
        assert users == ["first line\n\tsecond line", "one\ntwo"], users

        terminal.line("/nonsense")
        terminal.wait(r"^error: there is no command /nonsense")
        terminal.keys("C-d")
        assert terminal.status() == 0
        terminal.wait(r"[^-]icanon")  # the terminal is as it was
        terminal.wait(r"[^-]echo ")


def check_history_and_plain(folder, command, environment):
    history = os.path.join(environment["DUET_HOME"], "state", "chat_history")
    assert stat.S_IMODE(os.stat(history).st_mode) == 0o600, "others can read the history"
    with Terminal(folder, command, {**environment, "NO_COLOR": "1"}) as terminal:
        terminal.wait(r"^>$")
        terminal.keys("Up", "Up", "Up", "Up", "Up", "Up")
        terminal.wait(r"^> What is the capital of France, in one word é 東京\?$")
        terminal.keys("C-u")
        terminal.line("/regen")
        terminal.wait(r"^error: there is no message to answer once more")
        terminal.line(QUESTION)
        terminal.wait(r"^7 tokens")
        assert "\x1b[" not in terminal.screen(escapes=True), "NO_COLOR is not respected"
        terminal.line("/quit")
        assert terminal.status() == 0


def check_commands(folder, command, environment):
    """/edit, /undo, /params, /model, /think, @path, Tab, the kept conversation, and --continue."""
    editor = os.path.join(folder, "editor")
    with open(editor, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nsed -i s/France/Italy/ \"$1\"\n")
    os.chmod(editor, 0o755)
    attached = os.path.join(folder, "facts.txt")
    with open(attached, "w", encoding="utf-8") as file:
        file.write("one\ntwo\n")
    chats = os.path.join(environment["DUET_HOME"], "state", "chats")
    shutil.rmtree(chats, ignore_errors=True)
    with Terminal(folder, command, {**environment, "EDITOR": editor}) as terminal:
        terminal.wait(r"^>$")
        terminal.line(QUESTION)
        terminal.wait(r"^The capital of France is Paris\.$")
        terminal.line("/edit")
        terminal.wait(r"^> What is the capital of Italy\?$")
        terminal.wait(r"tokens/s", times=2)
        terminal.line("/params temperature 0.5")
        terminal.wait(r"^\(temperature is 0\.5\)$")
        terminal.line("/params temperature x")
        terminal.wait(r"\[bad_value\]$")
        terminal.line("/params default")
        terminal.line("/modle")
        terminal.wait(r"did you mean /model\?")
        terminal.line("/model nonsense")
        terminal.wait(r"stays\)$")
        terminal.line(f"/model {command[2]}")
        terminal.wait(r"^\(the model is .* now")
        terminal.line(f"Look at @{attached}x")
        terminal.wait(r"facts\.txtx: there is no such file")
        terminal.wait(r"^> Look at @.*facts\.txtx$", times=2)  # the message is there to be mended
        terminal.keys("BSpace", "Enter")
        terminal.wait(r"^\(attached .*facts\.txt, 2 lines\)$")
        terminal.wait(r"tokens/s", times=3)
        terminal.line("/undo")
        terminal.wait(r"^\(taken back, with its answer: Look at @")
        terminal.tmux("send-keys", "-l", "/st")
        terminal.keys("Tab", "Enter")
        terminal.wait(r"^\(2 messages;")
        terminal.keys("C-d")
        assert terminal.status() == 0
        terminal.wait(r"^\(duet chat --continue goes on from here\)$")
    (kept,) = os.listdir(chats)
    assert stat.S_IMODE(os.stat(os.path.join(chats, kept)).st_mode) == 0o600, "others can read a conversation"
    assert stat.S_IMODE(os.stat(chats).st_mode) == 0o700
    with open(os.path.join(chats, kept), encoding="utf-8") as file:
        questions = [message["content"] for message in json.load(file)["messages"] if message["role"] == "user"]
    assert questions == ["What is the capital of Italy?"], questions
    with open(os.path.join(chats, "broken.json"), "w", encoding="ascii") as file:
        file.write("{")
    with Terminal(folder, [command[0], "chat", "--continue", *command[3:]], environment) as terminal:
        terminal.wait(r"^duet: note: passed over: .*broken\.json")
        terminal.wait(r"^\(going on with 1 turn with .*;\s+the\s+last\s+question\s+was:\s+What\s+is\s+the\s+capital\s+of\s+Italy\?\)$")
        terminal.line("/edit")  # without an editor: in the line
        terminal.wait(r"^> What is the capital of Italy\?$")
        terminal.keys("C-c")
        terminal.wait(r"^\(the message stays as it was\)$")
        terminal.line("/regen")
        terminal.wait(r"tokens/s")
        terminal.keys("C-d")
        assert terminal.status() == 0
    assert sorted(os.listdir(chats)) == sorted([kept, "broken.json"]), "a resumed conversation has one file"


def check_paste_and_interrupts(folder, command, environment):
    """100 kB in one paste, Ctrl-C while the prompt is read and within a paste, keys typed during an answer, resizing during one, leaving."""
    with Terminal(folder, [*command[:-1], "400"], environment) as terminal:
        terminal.wait(r"^>$")
        lines = [f"line {i} " + "x" * 70 for i in range(1270)]
        path = os.path.join(folder, "large")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(lines))
        terminal.tmux("load-buffer", path)
        began = time.monotonic()
        terminal.tmux("paste-buffer", "-p")
        terminal.wait(r"^> \[pasted #1: 102 kB, 1270 lines\]$")
        assert time.monotonic() - began < 5, "a paste of 100 kB is slow"
        terminal.line(" and more")
        terminal.wait(r"\[context_overflow\]$")
        terminal.keys("Up")
        terminal.wait(r"^> \[pasted #1: 102 kB, 1270 lines\] and more$", times=2)
        terminal.keys("C-u")

        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(f"{i} sheep" for i in range(1500)))
        terminal.tmux("load-buffer", path)
        terminal.tmux("paste-buffer", "-p")
        terminal.wait(r"^> \[pasted #2: ")
        terminal.keys("Enter")
        terminal.wait(r"^reading the prompt: \d+ of \d+ tokens$")
        terminal.keys("C-c")
        terminal.wait(r"^\(stopped before the answer; the Up key brings the message back\)$")
        assert "reading the prompt" not in terminal.screen()
        time.sleep(TWICE_S)

        terminal.tmux("send-keys", "-l", "\x1b[200~half a paste\nthat never")
        terminal.keys("C-c")
        terminal.wait(r"\^C$")
        time.sleep(TWICE_S)  # the rest of the paste would be dropped until the terminal is quiet
        terminal.line("/stats")
        terminal.wait(r"^\(0 messages;")

        terminal.tmux("send-keys", "-l", QUESTION)
        terminal.keys("Enter", "t", "y", "p", "e", "d", "Space", "a", "h", "e", "a", "d")
        terminal.wait(r"^7 tokens")
        terminal.wait(r"^> typed ahead$")
        assert len(re.findall("ahead", terminal.screen())) == 1, terminal.screen()
        terminal.keys("C-u")

        terminal.line("Tell me a very long story about a river.")
        terminal.wait(r"^> Tell me a very long story.*\n\S+ \S+ \S+")
        terminal.tmux("resize-window", "-x", "50", "-y", "40")
        terminal.wait_for_lines("> Tell me a very long story", 8)
        terminal.keys("C-c")
        terminal.wait(r"^\(stopped\)$")
        shown = [line for line in terminal.tmux("capture-pane", "-p", "-S", "-200").splitlines() if line]
        late = shown[shown.index("(stopped)") - 4:shown.index("(stopped)") - 1]
        assert all(0 < len(line) < 50 for line in late), f"not wrapped at the new width: {late}"
        deadline = time.monotonic() + PATIENCE_S
        while not os.path.exists(terminal.status_file) and time.monotonic() < deadline:
            terminal.keys("C-c")
            time.sleep(0.4)
        assert terminal.status() == 0, "Ctrl-C twice quickly does not leave"
        terminal.wait(r"[^-]icanon")
    with Terminal(folder, command, environment) as terminal:
        time.sleep(0.3)  # while the model is being read, or later on a fast machine
        terminal.keys("C-c")
        terminal.wait(r"^(\(Ctrl-C once more, .*|duet: .*interrupted.*|[a-z]+ .*baud.*)")
        terminal.keys("C-d")
        assert terminal.status() in (0, 130)


THINKING = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
            "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}")


def with_template(model, target, template):
    """Copies a GGUF file with another chat template, padded to the length of the old one; False where that is shorter."""
    with open(model, "rb") as file:
        content = file.read()
    key = b"tokenizer.chat_template"
    at = content.find(key)
    if at < 0:
        return False
    at += len(key) + 4  # the type of the value: a string
    length = int.from_bytes(content[at:at + 8], "little")
    new = template.encode()
    if length < len(new) + 4:
        return False
    new = b"{#" + b" " * (length - len(new) - 4) + b"#}" + new
    with open(target, "wb") as file:
        file.write(content[:at + 8] + new + content[at + 8 + length:])
    return True


def check_thinking(folder, command, environment):
    """A thought is dim, Ctrl-C ends it, its length can be set, and it can be switched off."""
    model = os.path.join(folder, "thinker.gguf")
    if not with_template(command[2], model, THINKING):
        print("not tried: thinking; the model's chat template is too short to be replaced")
        return
    with Terminal(folder, [command[0], "chat", model, "--temperature", "0", "-n", "60"], environment) as terminal:
        terminal.wait(r"^>$")
        terminal.line("Tell me a very long story about a river.")
        terminal.wait(r"^thinking…\n\S+ \S+")
        terminal.keys("C-c")
        terminal.wait(r"^thought for [0-9.]+ s$")
        terminal.wait(r"^\(stopped before the answer;")
        assert "\x1b[2mthinking" in terminal.screen(escapes=True), "a thought is not dim"
        terminal.line("/think 8")
        terminal.wait(r"^\(thinking is on, for at most 8 tokens\)$")
        terminal.line("Tell me about the sea.")
        terminal.wait(r"^\d+ tokens \((8|9|1\d) of thinking\)")
        terminal.line("/think off")
        terminal.line("Tell me about the sky.")
        terminal.wait(r"^\d+ tokens, ")
        assert terminal.screen().count("thinking…") == 2, terminal.screen()
        terminal.keys("C-d")
        assert terminal.status() == 0
    os.remove(model)


def check_asked_to_end(folder, command, environment):
    """-n ends an answer, and says so; SIGTERM ends the chat."""
    with Terminal(folder, [*command[:-1], "3"], environment) as terminal:
        terminal.wait(r"^>$")
        terminal.line(QUESTION)
        terminal.wait(r"^The capital of$")
        terminal.wait(r"^\(the answer ends here: it has the 3 tokens that -n allows\)$")
        terminal.wait(r"tokens/s")
        shell = terminal.tmux("list-panes", "-F", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
            (pid,) = [int(child) for child in file.read().split()]
        os.kill(pid, signal.SIGTERM)
        assert terminal.status() == 0
        terminal.wait(r"[^-]icanon")


def main():
    (duet,) = sys.argv[1:]
    if shutil.which("tmux") is None:
        print("SKIPPED: tmux is not installed")
        return SKIPPED
    model = find_model(duet)
    if model is None:
        print("SKIPPED: smollm2-135m is not in the store: ./test fetches it")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="duet_tmux.") as folder:
        environment = {"DUET_HOME": os.path.join(folder, "home"), "LC_ALL": "C.UTF-8"}
        command = [os.path.abspath(duet), "chat", model, "--temperature", "0", "-n", "100"]
        check_conversation(folder, command, environment)
        check_history_and_plain(folder, command, environment)
        check_commands(folder, command, environment)
        check_paste_and_interrupts(folder, command, environment)
        check_thinking(folder, command, environment)
        check_asked_to_end(folder, command, environment)
    print("chat in a terminal: answers, Ctrl-C, resizing, history, pasting, commands, thinking, colours, resuming and Ctrl-D are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
