"""One mismatch, followed from the webhook to the ERP's document.

Problem: an auditor who doubts one figure must get from it to its origin, and back. How: the
document's view holds facts, entries and commands with their positions; the confirmation comes from
its topic, the booked entry from the ERP. The steps are plain data, in the order of the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsync.core.records import PostingCommand, PostingConfirmation
from streamsync.demo.evidence import Json


def make_trace(
    mismatch: Json,
    document: Json,
    commands: Sequence[PostingCommand],
    confirmations: Sequence[PostingConfirmation],
    erp_entry: Json | None,
) -> list[Json]:
    """The steps from webhook to mismatch; a link that is missing is an empty step."""
    key, revision = mismatch["idempotency_key"], mismatch["revision"]
    command = next(
        (one for one in commands if (one.idempotency_key, one.revision) == (key, revision)), None
    )
    told = final_confirmation(confirmations, key, revision)
    fact = next(
        (one for one in document["facts"] if command and one["fact"]["fact_id"] == command.fact_id),
        None,
    )
    return [
        _step("webhook", fact and _webhook(fact)),
        _step("fact", fact and _fact(document, fact)),
        _step("entry", command and _entry(command)),
        _step("command", command and _command(command)),
        _step("confirmation", told and _confirmation(told)),
        _step("erp_document", erp_entry and _erp_document(erp_entry)),
        _step(
            "mismatch",
            {
                "code": mismatch["code"],
                "detail": mismatch["detail"],
                "currency": mismatch["currency"],
                "difference_minor": mismatch["difference_minor"],
                "owner": mismatch["owner"],
                "exception_id": mismatch["exception_id"],
            },
        ),
    ]


def final_confirmation(
    confirmations: Sequence[PostingConfirmation], key: str, revision: int
) -> PostingConfirmation | None:
    """The last word on a revision, or the word that it is parked."""
    told = [one for one in confirmations if (one.idempotency_key, one.revision) == (key, revision)]
    return min(told, key=lambda one: one.status == "parked", default=None)


def complete(trace: Sequence[Json]) -> bool:
    """Whether every step that the mismatch's kind allows is there."""
    steps = {step["step"]: bool(step["found"]) for step in trace}
    # What was refused or is kept back has no document in the ERP; the latter no final answer.
    code = trace[-1]["found"]["code"]
    optional = {"M02": {"erp_document"}, "M01": {"erp_document", "confirmation"}}
    return all(found or name in optional.get(code, set()) for name, found in steps.items())


def _step(name: str, found: Any) -> Json:
    return {"step": name, "found": found or {}}


def _webhook(fact: Json) -> Json:
    position = fact["position"]
    return {
        "event_id": fact["source_event_id"],
        "topic": position["topic"],
        "partition": position["partition"],
        "offset": position["offset"],
        "correlation_id": fact["correlation_id"],
    }


def _fact(document: Json, fact: Json) -> Json:
    return {
        "account": document["account"],
        "document": document["document"],
        "fact_id": fact["fact"]["fact_id"],
        "kind": fact["fact"]["kind"],
        "class": fact["class"],
        "entity": document["entity"],
        "entity_rule": document["entity_rule"],
    }


def _entry(command: PostingCommand) -> Json:
    return {
        "purpose": command.purpose,
        "date": command.posting_date,
        "period": command.period,
        "currency": command.txn_currency,
        "lines": [
            {
                "role": line.role,
                "account": line.account,
                "side": line.side,
                "amount_minor": line.amount_minor,
            }
            for line in command.lines
        ],
    }


def _command(command: PostingCommand) -> Json:
    return {
        "command_id": command.command_id,
        "idempotency_key": command.idempotency_key,
        "revision": command.revision,
        "action": command.action,
        "erp_key": command.erp_key,
        "currency": command.txn_currency,
        "debit_minor": command.totals.debit_minor,
        "ruleset": f"{command.mapping.ruleset} version {command.mapping.version}",
        "policy": f"{command.policy.id} version {command.policy.version}",
    }


def _confirmation(told: PostingConfirmation) -> Json:
    return {
        "status": told.status,
        "currency": told.currency,
        "debit_minor": told.totals.debit_minor if told.totals else None,
        "error": told.error.canonical_code if told.error else None,
        "found_by_lookup": told.found_by_lookup,
        "erp_document_number": told.erp_document_number,
    }


def _erp_document(entry: Json) -> Json:
    return {
        "number": entry["number"],
        "external_key": entry["external_key"],
        "currency": entry["currency"],
        "debit_minor": sum(
            line["amount_minor"] for line in entry["lines"] if line["side"] == "debit"
        ),
    }
