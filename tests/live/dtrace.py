"""As much of dtrace as the script of `bhyvesim record` uses: it is parsed, typed and run.

A variable has the type of the first value that is assigned to it, in the order of the text; an
integer of the program is an int of 32 bits, an argument of a probe one of 64.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import NamedTuple

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>0x[0-9a-f]+|\d+)|(?P<name>[A-Za-z_]\w*)'
    r"|(?P<sign>->|\+\+|&&|\|\||==|[=!<>?:()\[\],;@*]))"
)
_CLAUSE = re.compile(
    r"(?P<provider>\w+):(?P<module>\w*):(?P<function>\w*):(?P<name>\w+)\s*"
    r"(?:/(?P<predicate>[^\n]*)/\s*)?\{(?P<body>.*?)\n\}\s*",
    re.DOTALL,
)
_OPTION = re.compile(r"#pragma D option \w+(?:=\w+)?\n")
_TYPES = {"int": (32, True), "int64_t": (64, True), "uint64_t": (64, False)}
_TYPES |= {"uint8_t": (8, False), "uint32_t": (32, False)}
_BUILT_IN = {"pid": "int", "tid": "int", "timestamp": "uint64_t", "probefunc": "string"}


class Node(NamedTuple):
    """An expression: its type, and what it is worth to a firing."""

    type: str
    value: object


def converted(value, kind):
    """*value* as one of the type *kind*."""
    if kind not in _TYPES:
        return value
    bits, signed = _TYPES[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


class Script:
    """The script *text*; :meth:`fire` fires a probe, ``printed`` is what it printed."""

    def __init__(self, text):
        self.printed = []
        self.types = {}  # of variables
        self.globals = {}
        self.threads = {}
        self.lines = Counter()
        self.probes = []
        text = re.sub(r"^#!.*\n", "", text)
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = _OPTION.sub("", text).strip()
        while text:
            found = _CLAUSE.match(text)
            assert found, text[:200]
            self._clause(found)
            text = text[found.end() :]

    def _clause(self, found):
        where = tuple(found[part] for part in ("provider", "module", "function", "name"))
        predicate = None
        if found["predicate"] is not None:
            predicate = self._parse(found["predicate"]).whole()
        actions = self._parse(found["body"]).statements()
        self.probes.append((where, predicate, actions))

    def _parse(self, text):
        return _Parser(text, self)

    def fire(self, function, name, thread, args=(), time=0, *, room=True):
        """A probe fires; where there is no *room*, what would print is not done at all.

        Returns whether a line was dropped.
        """
        dropped = False
        own = self.threads.setdefault(thread, {})
        at = {"args": args, "own": own, "pid": thread[0], "tid": thread[1]}
        at |= {"timestamp": time, "probefunc": function}
        for (provider, _, wanted, end), predicate, actions in self.probes:
            matches = end == name and (wanted == function or provider == "dtrace")
            if not matches or (predicate is not None and not predicate.value(at)):
                continue
            if not room and any(prints for _, prints in actions):
                dropped = True
                continue
            for action, _ in actions:
                action(at)
        return dropped


class _Parser:
    def __init__(self, text, script):
        self._script = script
        self._tokens = []
        at, text = 0, text.strip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found, text[at:]
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._tokens.append(("end", ""))

    def _peek(self, ahead=0):
        return self._tokens[ahead][1]

    def _take(self, wanted=None):
        kind, text = self._tokens.pop(0)
        assert wanted is None or text == wanted, (wanted, text)
        return kind, text

    def whole(self):
        node = self._ternary()
        assert self._tokens[0][0] == "end"
        return node

    def statements(self):
        found = []
        while self._tokens[0][0] != "end":
            found.append(self._statement())
            self._take(";")
        return found

    def _statement(self):
        """What it does, and whether it needs room in the buffer."""
        if self._peek() in ("printf", "printa"):
            return self._print(self._take()[1]), True
        if self._peek() == "@":
            return self._count(), False
        name, key = self._variable()
        if self._peek() == "++":
            self._take()
            kind = self._script.types[name]
            return lambda at: self._store(at, name, key, self._load(at, name, key) + 1, kind), False
        self._take("=")
        node = self._ternary()
        kind = self._script.types.setdefault(name, node.type)
        assert (kind == "string") == (node.type == "string"), name
        return lambda at: self._store(at, name, key, node.value(at), kind), False

    def _print(self, function):
        self._take("(")
        form = json.loads(self._take()[1])
        values = []
        while self._peek() == ",":
            self._take()
            values.append(self._aggregation() if self._peek() == "@" else self._ternary())
        self._take(")")
        script = self._script
        kinds = re.findall(r"%(@?[a-z])", form)
        if function == "printa":
            assert kinds == ["x", "d", "d", "@d"]

            def show(at):
                for (vm, pid, tid), count in script.lines.items():
                    filled = form.replace("%@d", "%d") % (vm & (1 << 64) - 1, pid, tid, count)
                    script.printed.append(filled)

            return show
        assert len(kinds) == len(values), form
        for kind, node in zip(kinds, values, strict=True):
            assert (kind == "s") == (node.type == "string"), form

        def put(at):
            shown = [node.value(at) for node in values]
            unsigned = [
                v & (1 << 64) - 1 if k in "xu" else v for k, v in zip(kinds, shown, strict=True)
            ]
            script.printed.append(form % tuple(unsigned))

        return put

    def _aggregation(self):
        self._take("@")
        assert self._take()[1] == "lines"

    def _count(self):
        self._aggregation()
        self._take("[")
        keys = [self._ternary()]
        while self._peek() == ",":
            self._take()
            keys.append(self._ternary())
        for wanted in ("]", "=", "count", "(", ")"):
            self._take(wanted)
        assert [node.type for node in keys] == ["int64_t", "int", "int"]

        def count(at):
            self._script.lines[tuple(node.value(at) for node in keys)] += 1

        return count

    def _variable(self):
        name = self._take()[1]
        if name == "self":
            self._take("->")
            name = f"self->{self._take()[1]}"
        if self._peek() != "[":
            return name, None
        self._take("[")
        key = self._ternary()
        self._take("]")
        assert key.type == "int64_t"
        return name, key

    def _place(self, at, name, key):
        where = at["own"] if name.startswith("self->") else self._script.globals
        return where, (name, None if key is None else key.value(at))

    def _load(self, at, name, key):
        where, place = self._place(at, name, key)
        return where.get(place, "" if self._script.types[name] == "string" else 0)

    def _store(self, at, name, key, value, kind):
        where, place = self._place(at, name, key)
        where[place] = converted(value, kind)

    def _ternary(self):
        condition = self._binary(0)
        if self._peek() != "?":
            return condition
        self._take("?")
        then = self._ternary()
        self._take(":")
        other = self._ternary()
        assert then.type == other.type
        return Node(
            then.type,
            lambda at: then.value(at) if condition.value(at) else other.value(at),
        )

    _SIGNS = (("||",), ("&&",), ("==",), ("<", ">"))

    def _binary(self, level):
        if level == len(self._SIGNS):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in self._SIGNS[level]:
            sign = self._take()[1]
            left = _joined(sign, left, self._binary(level + 1))
        return left

    def _unary(self):
        if self._peek() == "!":
            self._take()
            node = self._unary()
            return Node("int", lambda at: int(not node.value(at)))
        if self._peek() == "(" and self._peek(1) in (*_TYPES, "char"):
            self._take("(")
            kind = self._take()[1]
            if kind == "char":
                self._take("*")
            self._take(")")
            node = self._unary()
            return Node(kind, lambda at: converted(node.value(at), kind))
        return self._primary()

    def _primary(self):
        kind, text = self._tokens[0]
        if text == "(":
            self._take()
            node = self._ternary()
            self._take(")")
            return node
        if kind == "string":
            value = json.loads(self._take()[1])
            return Node("string", lambda at: value)
        if kind == "number":
            number = int(self._take()[1], 0)
            return Node("int", lambda at: number)
        if text in ("stringof", "index"):
            return self._call(self._take()[1])
        if re.fullmatch(r"arg\d", text):
            place = int(self._take()[1][3:])
            return Node("int64_t", lambda at: converted(at["args"][place], "int64_t"))
        if text in _BUILT_IN:
            self._take()
            return Node(_BUILT_IN[text], lambda at: at[text])
        name, key = self._variable()
        assert name in self._script.types, f"{name} is used before anything is assigned to it"
        return Node(self._script.types[name], lambda at: self._load(at, name, key))

    def _call(self, function):
        self._take("(")
        values = [self._ternary()]
        while self._peek() == ",":
            self._take()
            values.append(self._ternary())
        self._take(")")
        if function == "stringof":
            assert [v.type for v in values] == ["char"]
            return Node("string", lambda at: MEMORY[values[0].value(at) & (1 << 64) - 1])
        assert [v.type for v in values] == ["string", "string"]
        return Node("int", lambda at: values[0].value(at).find(values[1].value(at)))


MEMORY = {}  # strings by address


def _joined(sign, left, right):
    if sign == "||":
        return Node("int", lambda at: int(bool(left.value(at) or right.value(at))))
    if sign == "&&":
        return Node("int", lambda at: int(bool(left.value(at) and right.value(at))))
    assert (left.type == "string") == (right.type == "string")
    compare = {"==": lambda a, b: a == b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}[sign]
    return Node("int", lambda at: int(compare(left.value(at), right.value(at))))
