"""`make bench-core`: what the books cost, without any broker.

Problem: the core and the steps around it run for every event, and a step that grows with a
document's history would end every long-lived one. How: processor time (never the wall's) of three
things, interleaved over rounds: the core alone, from a document's facts to keyed and hashed
entries; the whole step in the in-memory driver, from the bytes of a webhook to the bytes of a
command; and each stage of that step by itself, on the records that the step had. Each kind of event
is measured alone. A document with ever more facts shows whether the cost of the next one grows.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from benchmarks.installation import PARTITIONS, SOURCE, codec_name, make_scenario
from benchmarks.invoices import KINDS, TEN_DAYS_LATER_MS, Account, accounts
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.path import drive
from benchmarks.processes import ROOT, RunFailed
from streamsync.contracts import Contracts
from streamsync.core import posting
from streamsync.core.calendar import local_date
from streamsync.core.company import Company
from streamsync.core.facts import BillingEvent, Fact
from streamsync.core.fx import value_domestic
from streamsync.core.journal import Books, book_document
from streamsync.core.records import Customer, RawWebhook, SourcePosition, Tick
from streamsync.engine.app import GC_THRESHOLDS
from streamsync.engine.driver import Driver
from streamsync.governance import load_company, reference_data
from streamsync.sources import SOURCES, account_key, record_key, strict_json
from topology import build, topics
from topology.enrich import Missing, Placed, posting_lines

_ENTITY = "acme-us"
_FLAT_STEPS = (1, 10, 100, 1_000, 10_000)
_FLAT_SPAN = 100
_MIXTURE = "the simulated company's mixture"
_MIXTURE_MIN = 1_000
_US = 1e6


@dataclass(frozen=True)
class World:
    """The example company, and what its billing system will send."""

    contracts: Contracts
    company: Company
    told: Sequence[Account]

    def placed(self, account: str, document: str) -> Placed:
        """A document where the company's rules put it."""
        entity = next(one for one in self.company.entities if one.id == _ENTITY)
        tenant = self.company.tenant
        return Placed(tenant, SOURCE, account, document, self.company, entity, "benchmark", "P-1")

    def raw(self, body: bytes) -> RawWebhook:
        """A webhook as the ingress stores it."""
        return RawWebhook(
            tenant=self.company.tenant,
            source=SOURCE,
            source_kind=SOURCE,
            body=body,
            content_type="application/json",
            content_hash=hashlib.sha256(body).hexdigest(),
            received_at_ms=TEN_DAYS_LATER_MS,
        )

    def account(self, told: Account) -> str:
        """Where the books keep a customer."""
        return account_key(self.company.tenant, SOURCE, told.customer)


@contextmanager
def _cpu() -> Iterator[Callable[[], float]]:
    """Processor time of the block in µs."""
    gc.collect()
    began = time.process_time()
    ended = 0.0

    def taken() -> float:
        return (ended - began) * _US

    yield taken
    ended = time.process_time()


# -- the core alone


def core_alone(world: World) -> dict[str, float]:
    """µs for each kind of event, from the facts to keyed and hashed entries."""
    known: dict[str, list[Fact]] = {}
    taken: dict[str, float] = {}
    for kind in KINDS:
        events = [_event(world, told.bodies[kind], at) for at, told in enumerate(world.told)]
        if not any(fact.document for event in events for fact in event.facts):
            continue
        for told, event in zip(world.told, events, strict=True):
            known.setdefault(told.customer, []).extend(event.facts)
        documents = list(known.values())
        placed = world.placed(events[0].account, documents[0][0].document or "")
        lines = [_lines(placed, facts) for facts in documents]
        with _cpu() as spent:
            for facts, prepared in zip(documents, lines, strict=True):
                _core(placed, facts, prepared)
        taken[kind] = spent() / len(documents)
    return taken


def _event(world: World, body: bytes, at: int) -> BillingEvent:
    position = SourcePosition(topic=topics.BILLING_WEBHOOKS, partition=0, offset=at)
    return SOURCES[SOURCE].read_event(world.raw(body), position)


def _books(placed: Placed, facts: Sequence[Fact]) -> Books:
    zone = placed.entity.time_zone
    return book_document(facts, placed.policy_at, zone, local_date(TEN_DAYS_LATER_MS, zone))


def _lines(placed: Placed, facts: Sequence[Fact]) -> list[Any]:
    entries = _books(placed, facts).entries
    worth = value_domestic(entries, placed.entity.functional_currency)
    found = [posting_lines(placed, valued) for valued in worth.valued]
    if not found or any(isinstance(one, Missing) for one in found):
        raise RunFailed("an event of this benchmark books nothing: no figure is taken")
    return found


def _core(placed: Placed, facts: Sequence[Fact], lines: Sequence[Any]) -> None:
    worth = value_domestic(_books(placed, facts).entries, placed.entity.functional_currency)
    for valued, made in zip(worth.valued, lines, strict=True):
        entry = valued.entry
        key = posting.idempotency_key(
            tenant=placed.tenant,
            source=placed.source,
            fact_id=entry.fact_id,
            purpose=entry.purpose,
            part=entry.part,
            natural_period=entry.natural_period,
            entity=placed.entity.id,
            ledger=placed.entity.ledger,
        )
        posting.content_hash(made, entry.currency)
        posting.totals(made)
        posting.command_id(key, 1, "post")


# -- the driver's step


def _prepared(world: World) -> Driver:
    tenant = world.company.tenant
    driver = Driver(build(world.contracts, tenant=tenant, partitions=PARTITIONS, app_id="core"))
    encode = world.contracts.encode
    rules = reference_data(world.company, 0, "benchmark", None)
    tick = Tick(number=0, time_ms=TEN_DAYS_LATER_MS, leader="benchmark")
    driver.produce(topics.CONTROL, None, encode(rules))
    driver.produce(topics.CONTROL, None, encode(tick))
    driver.run()
    for told in world.told:
        account = world.account(told)
        customer = Customer(
            tenant=tenant,
            account=account,
            party=f"P-{told.customer}",
            country="US",
            version=1,
            deleted=False,
            published_by="benchmark",
        )
        driver.produce(topics.CUSTOMERS, account.encode(), encode(customer))
    driver.run()
    return driver


def whole_step(world: World) -> tuple[dict[str, float], Mapping[str, Sequence[bytes]]]:
    """µs for each kind through both lanes; and the records of the first kind, by their class."""
    driver, taken = _prepared(world), {}
    records: Mapping[str, Sequence[bytes]] = {}
    for kind in KINDS:
        for told in world.told:
            value = world.contracts.encode(world.raw(told.bodies[kind]))
            driver.produce(topics.BILLING_WEBHOOKS, world.account(told).encode(), value)
        with _cpu() as spent:
            driver.run()
        taken[kind] = spent() / len(world.told)
        if kind == KINDS[0]:
            records = _first(driver, len(world.told))
    return taken, records


def mixture(world: World) -> float:
    """µs of a webhook as a billing system mixes them: most of them touch no books."""
    scenario = make_scenario(world.contracts, max(_MIXTURE_MIN, len(world.told)))
    return drive(world.contracts, scenario, None)[1] / len(scenario.webhooks) * _US


def _first(driver: Driver, count: int) -> Mapping[str, Sequence[bytes]]:
    commands = [
        record.value or b""
        for name in driver.topics()
        if name.startswith("posting-commands")
        for record in driver.outputs(name)
    ]
    if len(commands) != count:
        raise RunFailed(f"{count} invoices made {len(commands)} commands: no figure is taken")
    return {
        "webhooks": [record.value or b"" for record in driver.outputs(topics.BILLING_WEBHOOKS)],
        "commands": commands,
    }


def stages(world: World, records: Mapping[str, Sequence[bytes]]) -> dict[str, float]:
    """µs of each stage for one two-line invoice, each alone, in the order of the path."""
    contracts, source = world.contracts, SOURCES[SOURCE]
    raws = [contracts.decode(value) for value in records["webhooks"]]
    payloads = [strict_json.loads(raw.body) for raw in raws]
    position = SourcePosition(topic=topics.BILLING_WEBHOOKS, partition=0, offset=0)
    events = [source.read_event(raw, position) for raw in raws]
    commands = [contracts.decode(value) for value in records["commands"]]
    facts = [list(event.facts) for event in events]
    placed = world.placed(events[0].account, facts[0][0].document or "")
    lines = [_lines(placed, told) for told in facts]
    pairs = list(zip(facts, lines, strict=True))
    work: Sequence[tuple[str, Callable[[Any], object], Sequence[Any]]] = (
        ("decode the stored webhook", contracts.decode, records["webhooks"]),
        ("read its JSON strictly", lambda raw: strict_json.loads(raw.body), raws),
        ("its canonical form, for the hash", strict_json.canonical, payloads),
        ("all of reading it", lambda raw: source.read_event(raw, position), raws),
        ("encode the event", contracts.encode, events),
        ("decode the event", contracts.decode, [contracts.encode(event) for event in events]),
        ("the core: entries, keys, hashes", lambda one: _core(placed, *one), pairs),
        ("encode the command", contracts.encode, commands),
    )
    return {name: _each(act, items) for name, act, items in work}


def _each(act: Callable[[Any], object], items: Sequence[Any]) -> float:
    with _cpu() as spent:
        for item in items:
            act(item)
    return spent() / len(items)


# -- a document with ever more facts


def growing(world: World, most: int) -> dict[str, float]:
    """µs of the ledger's step for the n-th fact of one document; the key is n."""
    driver = _prepared(World(world.contracts, world.company, world.told[:1]))
    told = world.told[0]
    issue = _event(world, told.bodies["invoice.finalized"], 0)
    payment = _event(world, told.bodies["invoice.paid"], 1)
    _tell(world, driver, [issue])
    driver.run()
    done, found = 1, {}
    for step in [step for step in _FLAT_STEPS if step <= most]:
        while done < step:
            upto = min(step, done + 500)
            _tell(world, driver, [_part(payment, number) for number in range(done, upto)])
            driver.run()
            done = upto
        _tell(world, driver, [_part(payment, done + more) for more in range(_FLAT_SPAN)])
        with _cpu() as spent:
            driver.run()
        done += _FLAT_SPAN
        found[str(step)] = spent() / _FLAT_SPAN
    return found


def _part(event: BillingEvent, number: int) -> BillingEvent:
    """The n-th part payment, a minute after the one before."""
    first = event.facts[0]
    assert first.payment is not None
    fact = replace(
        first,
        fact_id=f"{first.fact_id}:{number}",
        occurred_at_ms=first.occurred_at_ms + number * 60_000,
        payment=replace(first.payment, amount_minor=1, part=True),
    )
    name = f"{event.source_event_id}:{number}"
    return replace(event, source_event_id=name, content_hash=f"{number:064d}", facts=(fact,))


def _tell(world: World, driver: Driver, events: Sequence[BillingEvent]) -> None:
    for event in events:
        key = record_key(event).encode()
        driver.produce(topics.LEDGER_LOG, key, world.contracts.encode(event))


# -- all of it


def _round(world: World, most: int) -> dict[str, Any]:
    core = core_alone(world)
    whole, records = whole_step(world)
    return {
        f"step {_MIXTURE}": mixture(world),
        **{f"core {kind}": us for kind, us in core.items()},
        **{f"step {kind}": us for kind, us in whole.items()},
        **{f"stage {name}": us for name, us in stages(world, records).items()},
        **{f"fact {number}": us for number, us in growing(world, most).items()},
    }


def tell(summary: Mapping[str, float], world: World, options: Options) -> None:
    """The tables."""
    codec, size = codec_name(world.contracts), len(world.told[0].bodies[KINDS[0]])
    show(
        f"One event of each kind, an invoice of two lines in {size:,} bytes, {codec} codec, "
        f"{options.events:,} of each, median of {options.rounds} rounds",
        ("kind", "core µs", "core/s", "webhook to command µs", "webhooks/s and core"),
        [
            (
                kind,
                summary.get(f"core {kind}"),
                _per_second(summary.get(f"core {kind}")),
                summary[f"step {kind}"],
                _per_second(summary[f"step {kind}"]),
            )
            for kind in (*KINDS, _MIXTURE)
        ],
    )
    whole = summary[f"step {KINDS[0]}"]
    found = _named(summary, "stage ")
    inside = ("read its JSON strictly", "its canonical form, for the hash")
    rest = whole - sum(us for name, us in found.items() if name not in inside)
    show(
        f"Where the {whole:,.0f} µs of an {KINDS[0]} go",
        ("stage", "µs"),
        [
            *((f"  of it: {name}" if name in inside else name, us) for name, us in found.items()),
            ("rows, joins, totals, commit", rest),
        ],
    )
    show(
        "The ledger's step for the n-th fact of one document",
        ("n", "µs"),
        [*_named(summary, "fact ").items()],
    )


def _named(summary: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): us for name, us in summary.items() if name.startswith(prefix)
    }


def _per_second(us: float | None) -> float | None:
    return None if us is None else _US / us


def _run(options: Options) -> None:
    before, rounds = machine(), []
    world = World(
        Contracts.in_memory(), load_company(ROOT / "examples" / "acme"), accounts(options.events)
    )
    _round(
        World(world.contracts, world.company, world.told[:50]), 10
    )  # warm, so that the first round is like all
    gc.freeze()  # as a worker does
    gc.set_threshold(*GC_THRESHOLDS)
    for number in range(1, options.rounds + 1):
        one = _round(world, int(options.extra["facts"]))
        rounds.append({"round": number, **one})
        say(
            f"round {number}: core {_US / one['core ' + KINDS[0]]:,.0f}/s, "
            f"step {_US / one['step ' + KINDS[0]]:,.0f}/s"
        )
    summary = medians(rounds)
    tell(summary, world, options)
    save(options, "core", rounds, summary, before)


def main() -> None:
    """Run all rounds."""
    extra = {"facts": (10_000, 100, "Facts of the growing document")}
    run(_run, parse("core", __doc__ or "", events=(3_000, 200), extra=extra))


if __name__ == "__main__":
    main()
