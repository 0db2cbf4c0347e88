"""Collect the evidence when the play is over, and keep it for others to judge.

Problem: the report must rest on what is stored, and a second program must be able to recompute it.
How: views, topics and the ERP are read once, after the last tick; `--export` writes the webhooks as
the broker holds them, the customers, the ERP's manifest and the report as plain files.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from streamsync.core.records import PostingCommand, PostingConfirmation
from streamsync.demo import trace
from streamsync.demo.evidence import Evidence, Json, with_purposes
from streamsync.demo.kafka import Stored
from streamsync.demo.options import DemoError
from streamsync.demo.play import Installation, Player
from streamsync.demo.report import chosen_mismatch, make_report
from streamsync.demo.scenario import Scenario
from topology import topics


async def collect(at: Installation, scenario: Scenario, player: Player, erp: str) -> Evidence:
    """Read everything that the report is made from."""
    webhooks = await asyncio.to_thread(at.kafka.read, topics.BILLING_WEBHOOKS)
    customers = await asyncio.to_thread(at.kafka.read, topics.CUSTOMERS)
    told = await asyncio.to_thread(at.kafka.read, topics.POSTING_CONFIRMATIONS)
    sent: list[PostingCommand] = []
    books: dict[str, Json] = {}
    for entity in at.entities:
        stored = await asyncio.to_thread(at.kafka.read, topics.posting_commands(erp, entity))
        sent += [one.record for one in stored]
        book = await at.views.totals(at.tenant, entity)
        if book is None:
            raise DemoError(f"Entity {entity} has no book after the last tick.")
        books[entity] = book
    confirmations: list[PostingConfirmation] = [one.record for one in told]
    balances = {
        (entity, period): await at.erp.trial_balance(entity, period)
        for entity, book in books.items()
        for period in sorted({line["period"] for line in book["lines"]})
    }
    return Evidence(
        today=scenario.today,
        accepted=player.accepted,
        repeated=player.repeated,
        webhooks=sorted(webhooks, key=_in_order),
        customers=[one.record for one in customers],
        counts=(await at.views.counts())["counts"],
        exceptions=await at.views.exceptions(),
        books=books,
        manifest=with_purposes(await at.erp.manifest(), sent),
        commands=sent,
        confirmations=confirmations,
        trial_balances=balances,
    )


def _in_order(stored: Stored) -> tuple[int, int, int]:
    return stored.record.received_at_ms, stored.partition, stored.offset


async def full_report(at: Installation, evidence: Evidence, worker_url: str) -> Json:
    """The report with its trace."""
    report = make_report(evidence)
    mismatch = chosen_mismatch(evidence.exceptions, evidence.commands)
    if mismatch is not None:
        account, name = mismatch["account"], mismatch["document"]
        document = await at.views.document(account, name) or {"facts": []}
        told = trace.final_confirmation(
            evidence.confirmations, mismatch["idempotency_key"], mismatch["revision"]
        )
        number = told.erp_document_number if told is not None else None
        entry = await at.erp.entry(number) if number else None
        steps = trace.make_trace(
            mismatch, document, evidence.commands, evidence.confirmations, entry
        )
        report["trace"] = {
            "steps": steps,
            "urls": [
                f"{worker_url}/v1/accounts/{account}",
                f"{worker_url}/v1/accounts/{account}/documents/{name}",
            ],
        }
        holds = trace.complete(steps)
        missing = [step["step"] for step in steps if not step["found"]]
        report["checks"].append(
            {
                "line": "one mismatch is traced from webhook to ERP document",
                "holds": holds,
                "differences": [] if holds else missing,
            }
        )
        report["holds"] = report["holds"] and holds
    return report


def export(folder: Path, evidence: Evidence, report: Json) -> None:
    """Write what a second program needs to recompute the report."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "webhooks.jsonl", (_webhook(one) for one in evidence.webhooks))
    customers = (
        {
            "account": one.account,
            "party": one.party,
            "entity": one.entity,
            "country": one.country,
        }
        for one in evidence.customers
    )
    _write(folder / "customers.jsonl", customers)
    _write(folder / "manifest.jsonl", evidence.manifest)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _webhook(stored: Stored) -> Json:
    return {
        "partition": stored.partition,
        "offset": stored.offset,
        "body": stored.record.body.decode("utf-8"),
    }


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
