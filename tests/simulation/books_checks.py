"""What must hold when a run has come to rest: the books, the ERP and the exceptions.

Problem: a fold that runs the same steps can't see that a step is wrong. How: balances, classes and
billing figures are recomputed by `tests.oracle` from the raw webhooks; control totals are added up
from visible commands and answers; the ERP's journal is held against both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date

from streamsync.core.by_name import by_name
from streamsync.core.records import PostingCommand, PostingConfirmation, Totals
from tests.ledger_driver import ENTITIES
from tests.oracle import naive
from tests.simulation.checks import expect
from tests.simulation.erp import ALTERED_BY
from tests.simulation.script import LAST_DAY
from tests.simulation.world import World
from topology import ledger, topics
from topology.rows import COUNT, EXCEPTION, GAUGE, POSTING, SOURCE, PostingRow

CLASSES = ("posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate")
_FINAL = ("posted", "duplicate", "rejected")
Balances = dict[tuple[str, str], int]


def check_books(world: World) -> int:
    """Raise `Broken` at the first broken property; gives the number of commands compared."""
    customers = [by_name(one) for one in world.life.customers]
    today = date.fromisoformat(LAST_DAY)
    fresh = naive.recompute(world.script.bodies, customers, [], today=today)
    commands = world.commands()
    rows = _postings(world)
    _dead_letters(world, fresh)
    _classes(world, fresh)
    _revisions(world, commands)
    _frozen_choices(world, commands)
    _erp_holds_each_once(world, commands)
    gone = _withdrawn(world, commands, rows)
    standing = [one for one in commands if one.command_id not in gone]
    _balances(standing, fresh)
    _totals(world, standing, fresh)
    _exceptions(world, commands, rows, gone)
    return len(commands)


def _shards(world: World) -> Iterable[int]:
    return range(world.driver.partitions(ledger.LANE))


def _postings(world: World) -> dict[str, PostingRow]:
    return {
        key.rsplit("|", 1)[1]: row
        for partition in _shards(world)
        for key, row in world.driver.shard(ledger.LANE, partition).scan(POSTING)
    }


def _dead_letters(world: World, fresh: dict[str, object]) -> None:
    found = Counter(letter.reason for letter in world.read(topics.DEAD_LETTERS))
    planned = Counter(world.script.letters)
    missing = planned - found
    expect(not missing, f"dead letters are missing: {dict(missing)}")
    # A webhook that is readable but wrong has one as well, each time that it comes.
    more = found - planned
    wrong = [reason for reason in more if not reason.startswith(("document_", "amount_"))]
    expect(not wrong, f"dead letters that nobody caused: {dict(more)}")


def _classes(world: World, fresh: dict[str, object]) -> None:
    found: Counter[str] = Counter()
    for partition in _shards(world):
        found.update(dict(world.driver.shard(ledger.LANE, partition).scan(COUNT)))
    wanted = Counter(fresh["events"])  # type: ignore[call-overload]
    wanted["rejected"] += world.script.unreadable
    wanted["inputs"] += world.script.unreadable
    told = {name: found[name] for name in CLASSES}
    expect(told == {name: wanted[name] for name in CLASSES}, f"classes {told}, not {wanted}")
    expect(found.total() == wanted["inputs"], "a source record is in no class, or in two")


def _revisions(world: World, commands: list[PostingCommand]) -> None:
    """Revisions are numbered, each once, and the next comes after the last one's outcome."""
    ended: dict[tuple[str, int], int] = {}
    for record in world.driver.outputs(topics.LEDGER_LOG):
        told = world.decode(record)
        if isinstance(told, PostingConfirmation) and told.status in _FINAL:
            place = told.idempotency_key or "", told.revision or 0
            ended[place] = min(ended.get(place, record.offset), record.offset)
    for key, made in _by_key(commands).items():
        numbers = [one.revision for one in made]
        expect(numbers == list(range(1, len(made) + 1)), f"revisions of {key} are {numbers}")
        for before, after in zip(made, made[1:], strict=False):
            end = ended.get((key, before.revision))
            one_in_flight = end is not None and end <= after.producer.offset
            expect(one_in_flight, f"two revisions of {key} in flight: {after.revision} came early")


def _by_key(commands: list[PostingCommand]) -> dict[str, list[PostingCommand]]:
    found: defaultdict[str, list[PostingCommand]] = defaultdict(list)
    for command in commands:
        found[command.idempotency_key].append(command)
    for made in found.values():
        made.sort(key=lambda one: one.revision)
    return found


def _frozen_choices(world: World, commands: list[PostingCommand]) -> None:
    """What acceptance froze stays, and nothing is posted into a closed period."""
    by_id = {command.command_id: command for command in commands}
    for key, made in _by_key(commands).items():
        fixed = {(one.entity, one.ledger, one.target_erp, one.account, one.fact_id) for one in made}
        expect(len(fixed) == 1, f"entity, ledger, ERP, account or fact of {key} changed")
        for one in made:
            corrected = by_id.get(one.corrects_command_id or "")
            expect(
                (corrected is not None) == (one.action != "post"),
                f"{key} revision {one.revision}: {one.action} of {one.corrects_command_id}",
            )
            if corrected is not None and one.action == "correct":
                same = (one.period, one.posting_date) == (corrected.period, corrected.posting_date)
                expect(same, f"{key}: a correction moved to {one.posting_date}")
    if world.script.closed is None:
        return
    closed_at = world.closed_at()
    for one in commands:
        if (one.entity, one.period) == world.script.closed:
            early = one.producer.offset < closed_at[one.producer.partition]
            expect(early, f"{one.command_id} posts into the closed period {one.period}")


def _erp_holds_each_once(world: World, commands: list[PostingCommand]) -> None:
    held = Counter(document.command.command_id for document in world.erp.documents)
    visible = {command.command_id for command in commands}
    expect(len(visible) == len(commands), "a command is visible twice")
    expect(set(held) <= visible, "the ERP holds a document of no visible command")
    expect(max(held.values(), default=1) == 1, "the ERP booked a command twice")
    for command in commands:
        fate = world.erp.fate(command)
        booked = command.command_id in held
        refused = fate == "reject"
        silent = command.command_id in world.erp.silent
        expect(booked or refused or silent, f"command {command.command_id} never reached the ERP")
        expect(not (booked and refused), "the ERP holds what it refused")


def _withdrawn(
    world: World, commands: list[PostingCommand], rows: dict[str, PostingRow]
) -> set[str]:
    """Commands that the ERP refused and the books no longer ask for: they count no more."""
    refused = [one for one in commands if world.erp.fate(one) == "reject"]
    wanted = _entries(world) if refused else set()
    return {
        one.command_id
        for one in refused
        if not one.account.startswith("book/")
        and (one.revision < rows[one.idempotency_key].revision or _entry_of(one) not in wanted)
    }


def _balances(commands: list[PostingCommand], fresh: dict[str, object]) -> None:
    """What the books ask for equals the recomputation."""
    found: Balances = {}
    for one in commands:
        _add(found, one)
    wanted = {
        (line["entity"], line["role"]): line["debit_minor"] - line["credit_minor"]
        for line in fresh["trial_balance"]  # type: ignore[attr-defined]
    }
    difference = {
        where: found.get(where, 0) - wanted.get(where, 0)
        for where in found.keys() | wanted.keys()
        if found.get(where, 0) != wanted.get(where, 0)
    }
    expect(not difference, f"balances differ from the recomputation by {difference}")


def _entries(world: World) -> set[tuple[str, str, str]]:
    """Document, purpose and period of every entry of the recomputation."""
    customers = [by_name(one) for one in world.life.customers]
    made = naive.journal(world.script.bodies, customers, today=date.fromisoformat(LAST_DAY))
    return {(str(one["document"]), str(one["purpose"]), str(one["period"])) for one in made}


def _entry_of(command: PostingCommand) -> tuple[str, str, str]:
    # The document that told the fact; a refund's entry belongs to the invoice it refunds.
    return command.fact_id.split(":", 1)[1], command.purpose, command.original_period


def _add(balances: Balances, command: PostingCommand) -> None:
    for line in command.lines:
        where = command.entity, line.role
        amount = line.amount_minor if line.side == "debit" else -line.amount_minor
        balances[where] = balances.get(where, 0) + amount


def _totals(world: World, commands: list[PostingCommand], fresh: dict[str, object]) -> None:
    """The published totals of the last cut equal sums over commands, answers and raw billing."""
    lines = {
        (book.entity, line.period, line.currency, line.purpose): line
        for book in _last_books(world)
        for line in book.lines
    }
    billing = {
        (row["entity"], row["period"], row["currency"], row["purpose"]): row["billing_minor"]
        for row in fresh["totals"]  # type: ignore[attr-defined]
        if row["billing_minor"]
    }
    told = {where: line.billing_minor for where, line in lines.items() if line.billing_minor}
    expect(told == billing, f"billing totals {told}, not {billing}")
    debit: Counter[tuple[str, ...]] = Counter()
    count: Counter[tuple[str, ...]] = Counter()
    held: Counter[tuple[str, ...]] = Counter()
    for one in commands:
        where = one.entity, one.period, one.txn_currency, one.purpose
        debit[where] += one.totals.debit_minor
        count[where] += 1
        document = world.erp.by_key.get(one.erp_key)
        if document is not None and one.command_id in world.erp.answered:
            held[where] += one.totals.debit_minor + document.altered_by
    for where, line in lines.items():
        wanted = debit[where], count[where], held[where], debit[where] - held[where]
        shown = (
            line.commands_debit_minor,
            line.commands_count,
            line.erp_debit_minor,
            line.open_difference_minor,
        )
        expect(shown == wanted, f"totals of {where} are {shown}, not {wanted}")
    expect(set(count) <= set(lines), "a command is in no total")


def _last_books(world: World) -> list[Totals]:
    """The last totals of each entity; every cut is published once, in order."""
    published = world.read(topics.TOTALS)
    last = []
    for entity in ENTITIES:
        ticks = [book.tick_number for book in published if book.entity == entity]
        expect(ticks == sorted(set(ticks)), f"cuts of {entity} are published as {ticks}")
        expect(
            bool(ticks) and ticks[-1] == world.script.final_tick,
            f"the last cut of {entity} is {ticks[-1:]}, not {world.script.final_tick}",
        )
        last += [book for book in published if book.entity == entity][-1:]
    return last


def _exceptions(
    world: World, commands: list[PostingCommand], rows: dict[str, PostingRow], gone: set[str]
) -> None:
    """Open is exactly what the ERP did and what was refused; gauges count the same."""
    wanted: Counter[tuple[str, str, int]] = Counter()
    may: set[tuple[str, str, int]] = set()
    for one in commands:
        place = one.idempotency_key, one.revision
        fate = world.erp.fate(one)
        document = world.erp.by_key.get(one.erp_key)
        if one.command_id in world.erp.silent:
            wanted["M01", *place] += 1
            continue
        if fate == "reject" and one.command_id not in gone:
            wanted["M02", *place] += 1
        if document is not None and document.altered_by:
            expect(document.altered_by == ALTERED_BY, "altered by something else")
            wanted["M04", *place] += 1
        may.add(("M11", *place))
    found: Counter[tuple[str, str, int]] = Counter()
    gauges: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    in_flight = 0
    for partition in _shards(world):
        shard = world.driver.shard(ledger.LANE, partition)
        refused = {
            row.reason for _, row in shard.scan(SOURCE) if row.outcome in ("rejected", "waiting")
        }
        in_flight += shard.get(GAUGE, "in_flight") or 0
        gauges.update({key[5:]: value for key, value in shard.scan(GAUGE, "open|")})
        for _, told in shard.scan(EXCEPTION):
            if told.state != "detected":
                continue
            opened[told.code] += 1
            concern = told.code, told.idempotency_key or "", told.revision or 0
            if told.idempotency_key is None:
                expect(told.code in refused, f"open without a reason: {told.code}, {told.detail}")
            elif concern not in may:
                found[concern] += 1
    expect(found == wanted, f"open {dict(found - wanted)}, and not {dict(wanted - found)}")
    expect(+gauges == +opened, f"gauges say {dict(+gauges)}, open are {dict(opened)}")
    flying = sum(row.in_flight is not None for row in rows.values())
    expect(in_flight == flying == len(world.erp.silent), f"in flight: {in_flight}, {flying}")
