"""Posting commands for tests of the ERP side."""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from streamsync.core.records import PostingCommand
from streamsync.erp.conformance import Subject
from streamsync.erp.protocol import ErpClient

DAY_MS = 86_400_000
CREATED_AT_MS = 1_773_532_800_000  # 2026-03-15


def make_command(erp_key: str, amount_minor: int = 12_345, **changes: Any) -> PostingCommand:
    """A balanced command of acme-us with its own idempotency key."""
    subject = Subject(
        client=cast(ErpClient, None),
        entity="acme-us",
        ledger="main",
        currency="USD",
        debit_account="1100",
        credit_account="4000",
        posting_date="2026-03-15",
        key=lambda _: None,
    )
    usual: dict[str, Any] = {
        "target_erp": "sim",
        "created_at_ms": CREATED_AT_MS,
        "deadline_at_ms": CREATED_AT_MS + DAY_MS,
    }
    return replace(subject.command(erp_key, amount_minor), **(usual | changes))
