"""The whole topology in memory for tests: feed webhooks, customers, ticks and answers by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from streamsync.contracts import Contracts
from streamsync.core.company import Company
from streamsync.core.rate import Rate
from streamsync.core.records import (
    Customer,
    EchoLine,
    ExceptionRecord,
    PostingCommand,
    PostingConfirmation,
    PostingError,
    RawWebhook,
    Tick,
    Totals,
)
from streamsync.engine.driver import Driver
from streamsync.governance import load_company, load_rates, reference_data
from streamsync.governance.rates import rates_item
from streamsync.sources import SOURCES, kind_of
from topology import build, ledger, topics
from topology.offline import accepts
from topology.rows import CLOCK, COUNT, SOURCE, ClockRow, SourceRow

ACME = Path(__file__).parents[1] / "examples" / "acme"
ENTITIES = ("acme-de", "acme-jp", "acme-kw", "acme-us")
PARTITIONS = 4
Answer = Callable[[PostingCommand], PostingConfirmation | None]


def ms(text: str) -> int:
    """Epoch milliseconds of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def one_by_one() -> Company:
    """Acme with every entry a posting of its own, so that tests see what becomes of each."""
    return replace(load_company(ACME), summaries=())


class Books:
    """Acme's books over the in-memory driver; the ERP answers as the test says."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        redeliver: bool = False,
        company: Company | None = None,
        partitions: int = PARTITIONS,
        rates: bool = False,
    ) -> None:
        self.contracts = Contracts.in_memory()
        self.company = company or one_by_one()
        topology = build(self.contracts, tenant="acme", partitions=partitions, app_id="books")
        self.driver = Driver(topology, seed=seed, redeliver=redeliver)
        self.answered: set[str] = set()
        self.ticks = 0
        self.publish(reference_data(self.company, 0, "test", None))
        if rates:
            self.publish(load_rates(ACME, "test"))
        self.driver.run()

    def publish(self, record: object) -> None:
        self.driver.produce(topics.CONTROL, None, self.contracts.encode(record))

    def rates(
        self,
        base: str,
        quote: str,
        by_day: Mapping[str, str],
        *,
        kind: str = "spot",
        version: int = 1,
    ) -> None:
        """Publish what one unit of `base` is worth in `quote`, by ISO date."""
        told = [
            Rate(
                rate_type=kind,
                base=base,
                quote=quote,
                date=day,
                rate=rate,
                source="ECB",
                version=version,
            )
            for day, rate in by_day.items()
        ]
        self.publish(rates_item("acme", told, version=version, published_by="treasury"))

    def customer(self, name: str, country: str = "US", version: int = 1) -> None:
        record = self.customer_record(name, country, version)
        self.feed(topics.CUSTOMERS, record.account, record)

    def customer_record(self, name: str, country: str = "US", version: int = 1) -> Customer:
        """The CRM's record of an account."""
        return Customer(
            tenant="acme",
            account=f"acme/stripe/{name}",
            party=f"P-{name}",
            country=country,
            version=version,
            deleted=False,
            published_by="crm",
        )

    def webhook(self, body: bytes | Mapping[str, Any], tenant: str = "acme") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = kind_of(raw, "stripe")
        record = RawWebhook(
            tenant=tenant,
            source=kind,
            source_kind=kind,
            body=raw,
            content_type="application/json",
            content_hash=hashlib.sha256(raw).hexdigest(),
            received_at_ms=0,
        )
        # Keyed like the ingress keys it: one account's webhooks keep their order.
        key = SOURCES[kind].account_hint(raw) or record.content_hash
        self.feed(topics.BILLING_WEBHOOKS, key, record)

    def feed(self, topic: str, key: str, record: object) -> None:
        self.driver.produce(topic, key.encode(), self.contracts.encode(record))

    def tick(self, time: str) -> None:
        self.publish(Tick(number=self.ticks, time_ms=ms(time), leader="test"))
        self.ticks += 1

    def confirm(self, confirmation: PostingConfirmation) -> None:
        self.feed(topics.POSTING_CONFIRMATIONS, confirmation.account or "", confirmation)

    def run(self, answer: Answer | None = None) -> None:
        """Until nothing moves; the ERP accepts everything, or answers as told (None: silence)."""
        choose = answer or (lambda command: accepts(command, f"doc-{command.command_id}"))
        while True:
            self.driver.run()
            fresh = [made for made in self.commands() if made.command_id not in self.answered]
            if not fresh:
                return
            for command in fresh:
                self.answered.add(command.command_id)
                told = choose(command)
                if told is not None:
                    self.confirm(told)

    def read(self, name: str) -> list[Any]:
        found = self.driver.outputs(name) if name in self.driver.topics() else []
        return [self.contracts.decode(record.value) for record in found if record.value]

    def commands(self) -> list[PostingCommand]:
        names = [
            name for name in self.driver.topics() if name.startswith(topics.POSTING_COMMANDS_PREFIX)
        ]
        return [command for name in names for command in self.read(name)]

    def exceptions(self) -> dict[tuple[str, str], ExceptionRecord]:
        """Latest state of each exception, by (code, document or account)."""
        latest: dict[tuple[str, str], ExceptionRecord] = {}
        for record in self.read(topics.EXCEPTIONS):
            latest[record.code, record.exception_id] = record
        return latest

    def open_codes(self) -> list[str]:
        return sorted(one.code for one in self.exceptions().values() if one.state == "detected")

    def totals(self, entity: str) -> Totals:
        books: list[Totals] = self.read(topics.TOTALS)
        return [book for book in books if book.entity == entity][-1]

    def dead_letters(self) -> list[Any]:
        return self.read(topics.DEAD_LETTERS)

    def source_rows(self) -> list[SourceRow]:
        """Every source record that the ledger remembers."""
        found = range(self.driver.partitions(ledger.LANE))
        shards = [self.driver.shard(ledger.LANE, partition) for partition in found]
        return [row for shard in shards for _, row in shard.scan(SOURCE)]

    def clocks(self) -> list[ClockRow]:
        """Every shard's time."""
        found = range(self.driver.partitions(ledger.LANE))
        shards = [self.driver.shard(ledger.LANE, partition) for partition in found]
        return [shard.get(CLOCK, "") or ClockRow() for shard in shards]

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for partition in range(self.driver.partitions(ledger.LANE)):
            for name, count in self.driver.shard(ledger.LANE, partition).scan(COUNT):
                counts[name] = counts.get(name, 0) + count
        return {name: count for name, count in counts.items() if count}

    def balances(self) -> dict[tuple[str, str], int]:
        """(entity, role) to debit minus credit over all commands."""
        found: dict[tuple[str, str], int] = {}
        for command in self.commands():
            for line in command.lines:
                where = (command.entity, line.role)
                sign = 1 if line.side == "debit" else -1
                found[where] = found.get(where, 0) + sign * line.amount_minor
        return {where: amount for where, amount in sorted(found.items()) if amount}


def rejects(command: PostingCommand) -> PostingConfirmation:
    """The ERP refuses for good."""
    error = PostingError(
        canonical_code="ACCOUNT_INVALID",
        native_code="ACCOUNT_BLOCKED",
        message="account is blocked",
        retryable=False,
    )
    return replace(
        accepts(command, ""),
        status="rejected",
        erp_document_id=None,
        erp_document_number=None,
        totals=None,
        lines_echo=(),
        error=error,
        confirmation_id=f"{command.command_id}:rejected",
    )


def alters(command: PostingCommand, by_minor: int) -> PostingConfirmation:
    """The ERP books a larger amount on the first debit and the first credit, still balanced."""
    changed, done = [], set()
    for line in command.lines:
        first = line.side not in done
        done.add(line.side)
        amount = line.amount_minor + (by_minor if first else 0)
        changed.append(
            EchoLine(no=line.no, account=line.account, side=line.side, amount_minor=amount)
        )
    totals = replace(
        command.totals,
        debit_minor=command.totals.debit_minor + by_minor,
        credit_minor=command.totals.credit_minor + by_minor,
    )
    told = accepts(command, f"doc-{command.command_id}")
    return replace(told, totals=totals, lines_echo=tuple(changed))
