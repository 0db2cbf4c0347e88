"""The pytest plug-in that runs each mutant's tests in a fork.

Problem: starting Python and collecting tests for each of thousands of mutants takes days, and what
one run has cached hides the next mutant. How: tests are collected once and nothing is run in this
process; a fork runs them all to learn which functions each calls and how long it takes; then each
mutant has a fork of its own, which exchanges one function's code and runs the tests that call it,
the fastest first, until one fails. It is ended when it takes several times as long as it should.
"""

from __future__ import annotations

import builtins
import importlib
import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import Mutant, marked

ROOT = Path(__file__).parents[2]
Function = tuple[str, str]
"""A file, and the qualified name of a function in it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed, survived, timed_out or not_called."""

    mutant: Mutant
    outcome: str
    seconds: float


@dataclass
class Harness:
    """Runs mutants; `verdicts` fills up."""

    mutants: Sequence[Mutant]
    progress: Callable[[Verdict], None]
    seconds_max: float
    """Tests of one mutant are chosen, the fastest first, until they take so long together."""
    verdicts: list[Verdict] = field(default_factory=list)
    callers: dict[Function, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of running the tests."""
        items = {item.nodeid: item for item in session.items}
        paths = sorted({mutant.path for mutant in self.mutants})
        failed, self.seconds, self.callers = _fork(
            lambda: _learn(list(items.values()), paths), 3600
        )
        for name in failed:
            print(f"left out, for it fails without a mutant: {name}")
            self.callers = {
                where: [one for one in calling if one != name]
                for where, calling in self.callers.items()
            }
        for mutant in self.mutants:
            verdict = self._judge(mutant, items)
            self.verdicts.append(verdict)
            self.progress(verdict)
        return True

    def _judge(self, mutant: Mutant, items: dict[str, pytest.Item]) -> Verdict:
        where = (str(mutant.path), mutant.function)
        calling = sorted(self.callers.get(where, []), key=self.seconds.__getitem__)
        chosen: list[str] = []
        taken = 0.0
        for name in calling:
            taken += self.seconds[name]
            if chosen and taken > self.seconds_max:
                break
            chosen.append(name)
        if not chosen:
            return Verdict(mutant, "not_called", 0.0)
        began = time.monotonic()
        limit = 10.0 + 8 * sum(self.seconds[name] for name in chosen)
        try:
            killed = _fork(lambda: _kills([items[name] for name in chosen], mutant), limit)
        except TimeoutError:
            killed = None
        outcome = {True: "killed", False: "survived", None: "timed_out"}[killed]
        return Verdict(mutant, outcome, time.monotonic() - began)


def _learn(
    items: Sequence[pytest.Item], paths: Iterable[Path]
) -> tuple[list[str], dict[str, float], dict[Function, list[str]]]:
    """Which tests fail, how long each takes, and which call each function of some modules."""
    called: set[Function] = set()
    builtins.__called__ = called  # type: ignore[attr-defined]
    for path in paths:
        for name, code in marked(path):
            _exchange(path, name, code)
    failed, seconds = [], {}
    callers: dict[Function, list[str]] = {}
    for item, following in _in_order(items):
        called.clear()
        began = time.process_time()
        if not _passes(item, following):
            failed.append(item.nodeid)
        seconds[item.nodeid] = time.process_time() - began
        for function in called:
            callers.setdefault(function, []).append(item.nodeid)
    return failed, seconds, callers


def _kills(items: Sequence[pytest.Item], mutant: Mutant) -> bool:
    _exchange(mutant.path, mutant.function, mutant.code)
    return not all(_passes(item, following) for item, following in _in_order(items))


def _in_order(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, [*items[1:], None], strict=True)


def _passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)


def _exchange(path: Path, function: str, code: CodeType) -> None:
    """Give a function other code, whoever holds a reference to it."""
    module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    holder: Any = importlib.import_module(module.removesuffix(".__init__"))
    *classes, name = function.split(".")
    for one in classes:
        holder = getattr(holder, one)
    found = vars(holder)[name]
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    found.__code__ = code


def _fork(work: Callable[[], Any], limit: float) -> Any:
    """The result of some work in a fork; TimeoutError when it takes longer than so many seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            told = pickle.dumps(work())
        except BaseException:  # a broken core may raise anything: a test would have failed
            told = pickle.dumps(True)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(told)
        os._exit(0)
    os.close(writing)
    told = b""
    deadline = time.monotonic() + limit
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([pipe], [], [], max(left, 0))
            if not ready:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError
            part = pipe.read(1 << 16)
            if not part:
                break
            told += part
    os.waitpid(child, 0)
    return pickle.loads(told) if told else True  # noqa: S301  (our own fork's answer)
