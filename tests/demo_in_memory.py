"""The demo's play without processes: the in-memory driver, and the simulated ERP's real books.

The days, the order and the faults are those of `streamsync demo`; only transport and adapter are
left out, so that the report and the comparison with the naive recomputation take seconds.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamsync.core.records import PostingCommand, PostingConfirmation, Tick
from streamsync.demo.evidence import Evidence, with_purposes
from streamsync.demo.kafka import Stored
from streamsync.demo.processes import FAULTS
from streamsync.demo.scenario import make_scenario
from streamsync.erp.confirmation import of_document, without_document
from streamsync.erp.protocol import Duplicate, Posted, Rejected
from streamsync.erp.simulated.faults import read_faults
from streamsync.erp.simulated.ledger import Answer, Ledger
from streamsync.erp.simulated.process import read_chart
from streamsync.erp.simulated_client import document_of, outcome_of
from streamsync.governance import load_company
from tests.ledger_driver import ACME, ENTITIES, Books
from topology import ledger, topics, views

PARTITIONS = 4


class InMemoryDemo:
    """One play; afterwards `evidence` and `document` give what the demo reads from processes."""

    def __init__(self, folder: Path, *, seed: int, accounts: int, days: int = 60) -> None:
        self.books = Books(partitions=PARTITIONS, company=load_company(ACME), rates=True)
        self.erp = Ledger(folder / "erp.sqlite", read_faults(FAULTS, seed), lambda: 0)
        self.erp.load_chart(read_chart(ACME))
        self.scenario = make_scenario(seed, days, accounts, "acme")
        self.told: list[PostingConfirmation] = []
        self._parked: list[PostingCommand] = []

    def play(self) -> None:
        """All days, as the player of the demo plays them."""
        self._move_clock(self.scenario.starts_ms)
        for day in self.scenario.days:
            for customer in day.customers:
                self.books.feed(topics.CUSTOMERS, customer.account, customer)
            self.books.run(self._answer)
            for body in day.bodies:
                self.books.webhook(body)
            self.books.run(self._answer)
            self._move_clock(day.ends_ms)
        self._write_tick(self.scenario.days[-1].ends_ms)

    def _move_clock(self, time_ms: int) -> None:
        self._write_tick(time_ms)
        self.erp.set_clock(time_ms)
        waiting, self._parked = self._parked, []
        for command in waiting:
            told = self._look_up(command, lost=False)
            if told is None:
                self._parked.append(command)
            else:
                self.books.confirm(told)
        self.books.run(self._answer)

    def _write_tick(self, time_ms: int) -> None:
        self.books.publish(Tick(number=self.books.ticks, time_ms=time_ms, leader="test"))
        self.books.ticks += 1
        self.books.run(self._answer)

    def _answer(self, command: PostingCommand) -> PostingConfirmation | None:
        answer = self.erp.post(document_of(command))
        if answer.cut:
            return self._look_up(command, lost=True)
        if answer.outcome == "processing":
            self._parked.append(command)
        return self._confirmation(command, answer, found=False)

    def _look_up(self, command: PostingCommand, *, lost: bool) -> PostingConfirmation | None:
        answer = self.erp.look_up(command.entity, command.erp_key)
        if answer.outcome == "processing":
            return None
        return self._confirmation(command, answer, found=lost)

    def _confirmation(
        self, command: PostingCommand, answer: Answer, *, found: bool
    ) -> PostingConfirmation:
        body: dict[str, Any] = {"outcome": answer.outcome, "document": answer.document}
        if answer.refusal is not None:
            body["error"] = asdict(answer.refusal)
        outcome = outcome_of(body)
        if isinstance(outcome, Posted | Duplicate):
            told = of_document(
                erp="sim",
                command=command,
                document=outcome.document,
                found_by_lookup=found,
                attempt=1,
                observed_at_ms=0,
            )
        else:
            rejected = outcome if isinstance(outcome, Rejected) else None
            told = without_document(
                erp="sim", command=command, rejected=rejected, attempt=1, observed_at_ms=0
            )
        self.told.append(told)
        return told

    def _shards(self) -> list[views.Readable]:
        return [self.books.driver.shard(ledger.LANE, number) for number in range(PARTITIONS)]

    def _stored(self, topic: str) -> list[Stored]:
        return [
            Stored(
                topic,
                record.partition,
                record.offset,
                self.books.contracts.decode(record.value or b""),
            )
            for record in self.books.driver.outputs(topic)
        ]

    def evidence(self) -> Evidence:
        """What the demo collects."""
        webhooks = self._stored(topics.BILLING_WEBHOOKS)
        counts: dict[str, int] = {}
        exceptions = []
        books = {}
        for shard in self._shards():
            for name, count in views.counts(shard)["counts"].items():
                counts[name] = counts.get(name, 0) + count
            exceptions += views.exceptions(shard, state="all")["exceptions"]
            for entity in ENTITIES:
                book = views.totals(shard, "acme", entity)
                if book is not None:
                    books[entity] = book
        return Evidence(
            today=self.scenario.today,
            accepted=self.scenario.webhooks,
            repeated=0,
            webhooks=webhooks,
            customers=[one.record for one in self._stored(topics.CUSTOMERS)],
            counts=counts,
            exceptions=exceptions,
            books=books,
            manifest=with_purposes(self.erp.manifest(), self.books.commands()),
            commands=self.books.commands(),
            confirmations=self.told,
            trial_balances={
                (entity, period): self.erp.trial_balance(entity, period)
                for entity, book in books.items()
                for period in {line["period"] for line in book["lines"]}
            },
        )

    def document(self, account: str, document: str) -> dict[str, Any]:
        """The view of a billing document."""
        found = [views.document(shard, account, document) for shard in self._shards()]
        return next(view for view in found if view is not None)
