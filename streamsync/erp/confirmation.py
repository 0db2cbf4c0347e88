"""From an ERP's answer to the confirmation record.

Problem: the ledger compares what the ERP holds with what it asked for, and must recognise a
repeated message. How: the confirmation echoes the document, not the command, and its id is derived
from what it says; the same news has the same id, whoever finds it and however often.
"""

from __future__ import annotations

import json
import uuid

from streamsync.core.records import PostingCommand, PostingConfirmation, PostingError
from streamsync.erp.protocol import ErpDocument, Rejected

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "streamsync/posting-confirmation")


def confirmation_id(erp: str, command: PostingCommand, status: str, document: str | None) -> str:
    """The id of the news that `command` has `status` with `document` in `erp`."""
    parts = [erp, command.entity, command.idempotency_key, command.revision, status, document]
    return str(uuid.uuid5(_NAMESPACE, json.dumps(parts)))


def is_own(command: PostingCommand, document: ErpDocument) -> bool:
    """Whether a document found by the command's key is the command's; silence counts as yes."""
    named = document.idempotency_key in (None, command.idempotency_key)
    return named and document.revision in (None, command.revision)


def of_document(
    *,
    erp: str,
    command: PostingCommand,
    document: ErpDocument,
    found_by_lookup: bool,
    attempt: int,
    observed_at_ms: int,
) -> PostingConfirmation:
    """`posted`, or `duplicate` when the key turns out to be held by another posting."""
    status = "posted" if is_own(command, document) else "duplicate"
    return PostingConfirmation(
        schema_version=1,
        confirmation_id=confirmation_id(erp, command, status, document.number),
        tenant=command.tenant,
        account=command.account,
        idempotency_key=command.idempotency_key,
        command_id=command.command_id,
        revision=command.revision,
        erp=erp,
        entity=command.entity,
        status=status,
        erp_document_id=document.id,
        erp_document_number=document.number,
        fiscal_year=document.fiscal_year,
        period=document.period,
        posting_date=document.posting_date,
        currency=document.currency,
        totals=document.totals,
        lines_echo=document.lines,
        erp_posted_at_ms=document.posted_at_ms,
        observed_at_ms=observed_at_ms,
        attempt=attempt,
        correlation_id=command.correlation_id,
        found_by_lookup=found_by_lookup,
    )


def without_document(
    *,
    erp: str,
    command: PostingCommand,
    rejected: Rejected | None,
    attempt: int,
    observed_at_ms: int,
) -> PostingConfirmation:
    """`rejected`, or `parked` when the ERP has it in processing."""
    status = "parked" if rejected is None else "rejected"
    error = None
    if rejected is not None:
        error = PostingError(
            canonical_code=rejected.canonical_code,
            native_code=rejected.native_code,
            message=rejected.message,
            # Refused for good: another try is another revision.
            retryable=False,
        )
    return PostingConfirmation(
        schema_version=1,
        confirmation_id=confirmation_id(erp, command, status, None),
        tenant=command.tenant,
        account=command.account,
        idempotency_key=command.idempotency_key,
        command_id=command.command_id,
        revision=command.revision,
        erp=erp,
        entity=command.entity,
        status=status,
        error=error,
        observed_at_ms=observed_at_ms,
        attempt=attempt,
        correlation_id=command.correlation_id,
        found_by_lookup=False,
    )
