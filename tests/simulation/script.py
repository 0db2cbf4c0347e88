"""The order in which things arrive in one run: webhooks, master data, rules, ticks, bad records.

Problem: what arrives first decides which path is taken, and the end must not depend on it. How: a
list of arrivals drawn from the seed; only ticks keep their own order, since time is numbered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from streamsync.core.records import PeriodStatus, Tick
from streamsync.governance import load_rates, reference_data
from tests.ledger_driver import ACME, ENTITIES, ms
from tests.simulation import probe
from tests.simulation.life import Life, acme
from tests.simulation.options import Options
from topology import topics

LAST_DAY = "2026-02-24"
_NOON, _LATER = "2026-02-20T12:00:00", f"{LAST_DAY}T12:00:00"
_TICKS = ("2026-01-08", "2026-01-20", "2026-02-01", "2026-02-10")
_JUNK = b"\x00\x00\x00\x00\x63junk"
_PROBES = 24
_CHAIN = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record that something outside writes. `record`: a contract record, or raw bytes."""

    topic: str
    key: bytes | None
    record: Any


@dataclass
class Script:
    """What arrives before the faults stop, what afterwards, and what must come of it."""

    arrivals: list[Arrival] = field(default_factory=list)
    last: list[list[Arrival]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """Every webhook body, repeats included."""
    unreadable: int = 0
    letters: dict[str, int] = field(default_factory=dict)
    """Dead letters that must exist, by reason, beside those of refused webhooks."""
    sums: dict[str, int] = field(default_factory=dict)
    closed: tuple[str, str] | None = None
    """Entity and period that were closed under way."""
    final_tick: int = 0


def write(rng: random.Random, options: Options, life: Life) -> Script:
    """The script of one run."""
    script = Script()
    late = rng.sample(life.customers, min(options.late_customers, len(life.customers)))
    webhooks = _webhooks(rng, options, life, script)
    arrivals = [_customer(one) for one in life.customers if one not in late] + webhooks
    _place(rng, arrivals, [_customer(one) for one in late])
    _place(rng, arrivals, _probes(rng, script))
    _place(rng, arrivals, _poison(rng, options, script))
    control = _control(rng, options, script)
    at = sorted(rng.randrange(len(arrivals) + 1) for _ in control)
    if not options.late_rules:
        at[0] = 0
    for place, item in reversed(list(zip(at, control, strict=True))):
        arrivals.insert(place, item)
    script.arrivals = arrivals
    number = len(_TICKS)
    script.last = [[_tick(number, _NOON)], [_tick(number + 1, _LATER)]]
    script.final_tick = number + 1
    return script


def _customer(record: Any) -> Arrival:
    return Arrival(topics.CUSTOMERS, record.account.encode(), record)


def _tick(number: int, time: str) -> Arrival:
    return Arrival(topics.CONTROL, None, Tick(number=number, time_ms=ms(time), leader="leader"))


def _place(rng: random.Random, arrivals: list[Arrival], more: Sequence[Arrival]) -> None:
    for one in more:
        arrivals.insert(rng.randrange(len(arrivals) + 1), one)


def _webhooks(rng: random.Random, options: Options, life: Life, script: Script) -> list[Arrival]:
    """Webhooks near their time, and some of them twice."""
    timed = [
        (at + rng.random() * options.window, event.body) for at, event in enumerate(life.events)
    ]
    for _ in range(options.duplicates):
        at = rng.randrange(len(life.events))
        timed.append((at + rng.random() * 2 * options.window, life.events[at].body))
    script.bodies = [body for _, body in sorted(timed)]
    return [Arrival(topics.BILLING_WEBHOOKS, None, body) for body in script.bodies]


def _probes(rng: random.Random, script: Script) -> list[Arrival]:
    made = []
    for number in range(_PROBES):
        key = f"probe-{rng.randrange(4)}"
        kind = rng.random()
        gain = 0
        if kind < 0.25:
            value = probe.poison(number)
        elif kind < 0.5:
            gain = rng.randint(1, _CHAIN)
            value = probe.chain(number, gain)
        else:
            gain = number
            value = probe.add(number)
        script.sums[key] = script.sums.get(key, 0) + gain
        made.append(Arrival(probe.TOPIC, key.encode(), value))
    return made


def _poison(rng: random.Random, options: Options, script: Script) -> list[Arrival]:
    """Records that no lane can use, each with the one outcome that it must have."""
    everywhere = options.partitions
    made = []
    for _ in range(options.poison):
        kind = rng.randrange(5)
        key = b"acme/stripe/cus_poison%d" % rng.randrange(5)
        if kind == 0:
            script.unreadable += 1
            made.append(Arrival(topics.BILLING_WEBHOOKS, key, Raw(_JUNK)))
            _expect(script, "schema_unknown", 1)
        elif kind == 1:
            script.unreadable += 1
            made.append(Arrival(topics.BILLING_WEBHOOKS, key, Raw(None)))
            _expect(script, "value_missing", 1)
        elif kind == 2:
            tick = Tick(number=0, time_ms=0, leader="lost")
            made.append(Arrival(topics.CUSTOMERS, key, tick))
            _expect(script, "record_unexpected", 1)
        elif kind == 3:
            made.append(Arrival(topics.LEDGER_LOG, key, Raw(_JUNK)))
            _expect(script, "schema_unknown", 1)
        else:
            broken = replace(_rules(9, summaries=True), payload="{}", version=9)
            made.append(Arrival(topics.CONTROL, None, broken))
            _expect(script, "rules_malformed", everywhere)
    return made


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that go into the topic as they are."""

    value: bytes | None


def _expect(script: Script, reason: str, count: int) -> None:
    script.letters[reason] = script.letters.get(reason, 0) + count


def _rules(version: int, summaries: bool) -> Any:
    company = replace(acme(), version=version)
    if not summaries:
        # Per document, corrections of what is booked reach the ERP one by one.
        company = replace(company, summaries=())
    return reference_data(company, 0, "campaign", None)


def _control(rng: random.Random, options: Options, script: Script) -> list[Arrival]:
    """Rules, ticks and period status in one order; ticks of a leader who missed some are refused,
    those of one who was replaced change nothing.
    """
    made = [_tick(number, f"{day}T12:00:00") for number, day in enumerate(_TICKS)]
    for _ in range(options.tick_gaps):
        at = rng.randint(1, len(made))
        seen = sum(1 for one in made[:at] if one.record.leader == "leader")
        gap = Tick(number=seen + rng.randint(1, 3), time_ms=ms(_LATER) * 2, leader="gap")
        made.insert(at, Arrival(topics.CONTROL, None, gap))
        _expect(script, "tick_gap", options.partitions)
    for _ in range(2):
        at = rng.randint(1, len(made))
        seen = sum(1 for one in made[:at] if one.record.leader == "leader")
        zombie = Tick(number=rng.randrange(max(seen, 1)), time_ms=ms(_LATER), leader="zombie")
        if seen:
            made.insert(at, Arrival(topics.CONTROL, None, zombie))
    made.insert(0, Arrival(topics.CONTROL, None, load_rates(ACME, "campaign")))
    rules = Arrival(topics.CONTROL, None, _rules(1, options.summaries))
    made.insert(rng.randint(1, len(made)) if options.late_rules else 0, rules)
    if options.new_rules:
        place = made.index(rules) + 1
        news = Arrival(topics.CONTROL, None, _rules(2, options.summaries))
        made.insert(rng.randint(place, len(made)), news)
    if options.close_period:
        entity = rng.choice(ENTITIES)
        script.closed = (entity, "2026-01")
        status = PeriodStatus(
            tenant="acme",
            entity=entity,
            ledger=next(one.ledger for one in acme().entities if one.id == entity),
            period="2026-01",
            status="closed",
            version=1,
            changed_by="campaign",
        )
        made.insert(rng.randint(2, len(made)), Arrival(topics.CONTROL, None, status))
    return made
