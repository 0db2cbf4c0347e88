"""Every reason that a source gives is in the closed table, so that it has an owner."""

from __future__ import annotations

import ast
from pathlib import Path

from streamsync import sources
from streamsync.core.reasons import REASONS


def reasons_given() -> set[str]:
    """First arguments of every `Refusal(...)`, and the reasons in the tables of stripe.py."""
    found: set[str] = set()
    for path in Path(sources.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    outcomes = {"type_cannot_touch_books", "type_unknown", "type_not_handled", "account_not_named"}
    states = {"customer_state_only", "subscription_state_only", "payment_failed", "amount_zero"}
    amounts = {"amount_not_integer", "amount_out_of_range", "api_version_unknown"}
    return found | outcomes | states | amounts


def test_every_reason_of_a_source_is_in_the_closed_table() -> None:
    given = reasons_given()
    assert len(given) > 20
    assert given <= set(REASONS)
