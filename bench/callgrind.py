# SPDX-License-Identifier: MIT
"""What valgrind's callgrind wrote: instructions by function, and who called whom.

Its format is in valgrind's manual ("Callgrind Format Specification").  A name that has been written once is a
number from then on; costs are a function's own, but for the line after "calls=", which is what that call cost
in all, what it called included.
"""
import collections
import re

NAME = re.compile(r"(\w+)=\((\d+)\)(?: (.*))?$")
FUNCTION, FILE, OBJECT = "fn", "fl", "ob"
TABLES = {"fn": FUNCTION, "cfn": FUNCTION, "fl": FILE, "fi": FILE, "fe": FILE, "cfi": FILE, "cfl": FILE,
          "ob": OBJECT, "cob": OBJECT}


class Function(collections.namedtuple("Function", "object file name")):
    """A function, and the file that it is in (not that of what is inlined in it)."""


class Profile:
    """own: instructions of each Function; callers: of each Function, Function: [how often, instructions in all]."""

    def __init__(self, path):
        self._costs = collections.defaultdict(collections.Counter)  # of a function, by file
        self._calls = collections.defaultdict(lambda: [0, 0])
        self._names = {FUNCTION: {}, FILE: {}, OBJECT: {}}
        self._here = {"ob": "", "fl": "", "file": ""}
        self._function = self._callee = None
        self._pending = 0
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                self._read(line.rstrip("\n"))
        self.own = collections.Counter()
        for function, costs in self._costs.items():
            self.own[self._at_home(function)] += sum(costs.values())
        self.callers = collections.defaultdict(dict)
        for (caller, callee), cost in self._calls.items():
            self.callers[self._at_home(callee)][self._at_home(caller)] = cost

    def _at_home(self, function):
        """One that begins with something inlined is said to be in that file: where else does it spend time?"""
        costs = self._costs.get(function)
        if not costs or not function.file.endswith(".h"):
            return function
        files = [file for file, _ in costs.most_common() if file.endswith(".c")]
        return function._replace(file=files[0]) if files else function

    def _name(self, table, number, name):
        if name is not None:
            self._names[table][number] = name
        return self._names[table][number]

    def _read(self, line):
        found = NAME.match(line)
        if found and found.group(1) in TABLES:
            key, number, name = found.groups()
            self._place(key, self._name(TABLES[key], number, name))
        elif line.startswith("calls="):
            self._pending = int(line[6:].split()[0])
        elif line and (line[0].isdigit() or line[0] in "+-*"):
            self._cost(int(line.split()[1]))

    def _place(self, key, name):
        here = self._here
        if key == "fn":
            self._function = Function(here["ob"], here["fl"], name)
        elif key == "cfn":
            self._callee = Function(here.pop("cob", here["ob"]), here.pop("cfi", self._function.file), name)
        elif key in ("cob", "cfi", "cfl"):
            here["cob" if key == "cob" else "cfi"] = name
        else:
            here[key if key == "ob" else "file"] = name
            if key == "fl":
                here["fl"] = name

    def _cost(self, cost):
        if not self._pending:
            self._costs[self._function][self._here["file"]] += cost
            return
        call = self._calls[self._function, self._callee]
        call[0] += self._pending
        call[1] += cost
        self._pending = 0

    def times(self, name):
        """How often functions called @name were called."""
        return sum(count for callee, callers in self.callers.items() if callee.name == name
                   for count, _ in callers.values())

    def shares(self, rule):
        """How each function's own instructions divide among labels: {function: {label: part}}.

        rule: a function's label, or None: it has those of its callers, as they spent time in it.
        """
        done = {}

        def share(function):
            if function in done:
                return done[function]
            label = rule(function)
            done[function] = {label or "": 1.0}
            if label is None:
                callers = self.callers[function]
                total = sum(cost for _, cost in callers.values())
                parts = collections.Counter()
                for caller, (_, cost) in callers.items() if total else ():
                    for name, part in share(caller).items():
                        parts[name] += part * cost / total
                done[function] = dict(parts) if total else {"": 1.0}
            return done[function]

        return {function: share(function) for function in self.own}
