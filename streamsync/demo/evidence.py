"""What the closing report is made from: views of the worker, records of the topics, the ERP's word.

Problem: a report is only believable when its two sides come from different places. How: one value
that holds everything as it was read; `report` compares, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from streamsync.core.records import Customer, PostingCommand, PostingConfirmation
from streamsync.demo.kafka import Stored

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything as read at the end of the play.

    `counts`, `exceptions` and `books` (by entity) come from the worker's views; `manifest` and
    `trial_balances` (by entity and period) from the simulated ERP; `webhooks`, `commands` and
    `confirmations` from the topics. `accepted` is what the ingress acknowledged, `repeated` how
    often something was sent again because no answer came: it may be stored twice.
    """

    today: date
    accepted: int
    repeated: int
    webhooks: Sequence[Stored]
    customers: Sequence[Customer]
    counts: Mapping[str, int]
    exceptions: Sequence[Json]
    books: Mapping[str, Json]
    manifest: Sequence[Json]
    commands: Sequence[PostingCommand]
    confirmations: Sequence[PostingConfirmation]
    trial_balances: Mapping[tuple[str, str], Sequence[Json]]


def with_purposes(manifest: Sequence[Json], commands: Sequence[PostingCommand]) -> list[Json]:
    """The manifest with the purpose of each posting, which the ERP does not know."""
    purposes = {command.idempotency_key: command.purpose for command in commands}
    # A fault of a posting that no command asked for keeps its line, and fails the comparison.
    return [row | {"purpose": purposes.get(row["idempotency_key"], "none")} for row in manifest]
