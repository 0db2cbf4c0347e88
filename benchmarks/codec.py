"""How many records a second each codec writes and reads, one core, in memory.

Problem: the codec is the largest cost of the path, so its cost must be known on our own records and
not on toy ones. How: four records of the path, each coded alone for a fixed time, the codecs taken
in turns so that a disturbance of the machine meets both; the median of the rounds is told.

    python benchmarks/codec.py
    python benchmarks/codec.py --seconds 1 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from streamsync.contracts import Contracts
from streamsync.contracts.choice import CodecName, CodecUnavailable
from streamsync.core.facts import BillingEvent, Fact, Invoice, InvoiceLine, LineTax
from streamsync.core.records import (
    EchoLine,
    ForeignExchange,
    MappingVersion,
    PolicyVersion,
    PostingCommand,
    PostingConfirmation,
    PostingLine,
    PostingTotals,
    SourcePosition,
    Tick,
)

_BATCH = 200
_TIME_MS = 1_768_435_200_000
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_POSITION = SourcePosition(topic="billing-webhooks", partition=3, offset=1_234_567)
_TOTALS = PostingTotals(
    debit_minor=12_000,
    credit_minor=12_000,
    count=3,
    functional_debit_minor=11_040,
    functional_credit_minor=11_040,
)


@dataclass(frozen=True)
class Figure:
    """Speed of one codec on one record."""

    record: str
    codec: str
    size_bytes: int
    encode_per_s: int
    decode_per_s: int


def billing_event() -> BillingEvent:
    """An invoice of two lines, one with tax."""
    tax = LineTax(
        tax_code="txr_1", jurisdiction="DE", rate="19.0", inclusive=False, base_minor=10_000,
        amount_minor=1_900,
    )  # fmt: skip
    lines = tuple(
        InvoiceLine(
            line_no=no,
            line_id=f"il_1MtHbELkdIwHu7ix{no}",
            direction="charge",
            amount_minor=5_000,
            discount_minor=0,
            taxes=(tax,) if no == 1 else (),
            service_from_ms=_TIME_MS,
            service_to_ms=_TIME_MS + 2_678_400_000,
            product="prod_Nh9U3hMtSEx",
            price="price_1Mr2ezLkdIw",
            subscription="sub_1MowQVLkdIwHu7ix",
            proration=False,
        )
        for no in (1, 2)
    )
    fact = Fact(
        fact_id="invoice_issued:in_1MtHbELkdIwHu7ix",
        kind="invoice_issued",
        document="in_1MtHbELkdIwHu7ix",
        document_kind="invoice",
        subscription="sub_1MowQVLkdIwHu7ix",
        currency="EUR",
        occurred_at_ms=_TIME_MS,
        invoice=Invoice(
            number="ACME-0042",
            direction="charge",
            total_minor=11_900,
            tax_minor=1_900,
            collection="automatic",
            lines=lines,
        ),
    )
    return BillingEvent(
        tenant="acme",
        source="stripe-eu",
        account="acme/stripe-eu/cus_NffrFeUfNV2Hib",
        source_event_id="evt_1NG8Du2eZvKYlo2C",
        source_event_type="invoice.finalized",
        api_version="2025-03-31.basil",
        content_hash=_HASH,
        occurred_at_ms=_TIME_MS,
        correlation_id=_HASH[:32],
        outcome="facts",
        facts=(fact,),
        position=_POSITION,
    )


def posting_command() -> PostingCommand:
    """The command of such an invoice: receivable, deferred revenue and tax."""
    lines = tuple(
        PostingLine(
            no=no,
            role=role,
            account=account,
            side="debit" if no == 1 else "credit",
            amount_minor=amount,
            functional_minor=amount,
            dimensions={"product": "prod_Nh9U3hMtSEx", "segment": "smb"},
            customer="party-000042",
            document_ref="ACME-0042",
        )
        for no, role, account, amount in (
            (1, "receivable", "1200", 12_000),
            (2, "deferred_revenue", "3900", 10_000),
            (3, "tax_payable", "3806", 2_000),
        )
    )
    return PostingCommand(
        schema_version=1,
        command_id=_HASH[:32],
        correlation_id=_HASH[:32],
        causation_event_id="evt_1NG8Du2eZvKYlo2C",
        tenant="acme",
        account="acme/stripe-eu/cus_NffrFeUfNV2Hib",
        document="in_1MtHbELkdIwHu7ix",
        subscription="sub_1MowQVLkdIwHu7ix",
        fact_id="invoice_issued:in_1MtHbELkdIwHu7ix",
        purpose="invoice_issued",
        idempotency_key=_HASH[:32],
        revision=1,
        content_hash=_HASH,
        erp_key=_HASH[:32],
        action="post",
        entity="acme-de",
        ledger="primary",
        target_erp="erp-eu",
        journal_type="sales",
        document_date="2026-01-15",
        posting_date="2026-01-15",
        period="2026-01",
        original_period="2026-01",
        period_basis="natural",
        txn_currency="EUR",
        functional_currency="EUR",
        fx=ForeignExchange(
            rate="1", rate_type="spot", date="2026-01-15", source="identity", rate_id="identity"
        ),
        lines=lines,
        totals=_TOTALS,
        mapping=MappingVersion(ruleset="acme", version=7, rule_ids=("r-1", "r-2", "r-3")),
        policy=PolicyVersion(id="revenue", version="3"),
        sla_class="close_sensitive",
        deadline_at_ms=_TIME_MS + 60_000,
        created_at_ms=_TIME_MS,
        producer=_POSITION,
    )


def posting_confirmation() -> PostingConfirmation:
    """The ERP's answer to such a command."""
    return PostingConfirmation(
        schema_version=1,
        confirmation_id=_HASH[:32],
        tenant="acme",
        account="acme/stripe-eu/cus_NffrFeUfNV2Hib",
        idempotency_key=_HASH[:32],
        command_id=_HASH[:32],
        revision=1,
        erp="erp-eu",
        entity="acme-de",
        status="posted",
        erp_document_id="7731",
        erp_document_number="SAL/2026/7731",
        fiscal_year="2026",
        period="2026-01",
        posting_date="2026-01-15",
        currency="EUR",
        totals=_TOTALS,
        lines_echo=tuple(
            EchoLine(no=no, account="1200", side="debit", amount_minor=4_000) for no in (1, 2, 3)
        ),
        erp_posted_at_ms=_TIME_MS,
        observed_at_ms=_TIME_MS,
        attempt=1,
        correlation_id=_HASH[:32],
        found_by_lookup=False,
    )


def tick() -> Tick:
    """The smallest record."""
    return Tick(number=86_400, time_ms=_TIME_MS, leader="worker-1")


def per_second(call: Callable[[Any], Any], value: Any, seconds: float) -> float:
    """Calls a second of this process's CPU time: other work on the machine does not count."""
    done = 0
    began = time.process_time()
    while (passed := time.process_time() - began) < seconds:
        for _ in range(_BATCH):
            call(value)
        done += _BATCH
    return done / passed


def measure(seconds: float, rounds: int) -> list[Figure]:
    """All records on all codecs, interleaved."""
    codecs: dict[str, Contracts] = {}
    name: CodecName
    for name in ("compiled", "fastavro"):
        try:
            codecs[name] = Contracts.in_memory(name)
        except CodecUnavailable as error:
            Console(stderr=True).print(f"Without the compiled codec: {error}")
    found = []
    for record in (billing_event(), posting_command(), posting_confirmation(), tick()):
        speeds: dict[str, list[tuple[float, float]]] = {one: [] for one in codecs}
        data = next(iter(codecs.values())).encode(record)
        for _ in range(rounds):
            for one, codec in codecs.items():
                gc.collect()
                speeds[one].append(
                    (
                        per_second(codec.encode, record, seconds),
                        per_second(codec.decode, data, seconds),
                    )
                )
        for one, told in speeds.items():
            encode, decode = (round(statistics.median(each)) for each in zip(*told, strict=True))
            found.append(Figure(type(record).__name__, one, len(data), encode, decode))
    return found


def table(figures: list[Figure]) -> Table:
    """The figures for a person."""
    made = Table("record", "codec")
    for title in ("bytes", "encode/s", "µs", "decode/s", "µs"):
        made.add_column(title, justify="right")
    for one in figures:
        made.add_row(
            one.record,
            one.codec,
            str(one.size_bytes),
            f"{one.encode_per_s:,}",
            f"{1e6 / one.encode_per_s:.2f}",
            f"{one.decode_per_s:,}",
            f"{1e6 / one.decode_per_s:.2f}",
        )
    return made


def main() -> None:
    """Measures and tells."""
    parser = argparse.ArgumentParser(description="Speed of the record codecs, one core.")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told")
    parser.add_argument("--json", action="store_true", help="raw figures instead of the table")
    options = parser.parse_args()
    figures = measure(options.seconds, options.rounds)
    if options.json:
        print(json.dumps([asdict(one) for one in figures], indent=2))
    else:
        Console().print(table(figures))


if __name__ == "__main__":
    main()
