"""What a canonical event tells: facts of a company's own systems (docs/canonical-events.md).

The problem: usage, contracts and tax that is put right come in one shape, and each kind has a part
of its own. How: one function per kind, which takes the event as it stands.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from .facts import (
    CONTRACT_ENDED,
    EXPIRED,
    MODIFIED,
    SIGNED,
    TAX_ADJUSTED,
    TOPPED_UP,
    USED,
    ContractEnded,
    Expiry,
    Fact,
    Modified,
    SegmentTerms,
    Signed,
    TaxAdjusted,
    TopUp,
    Usage,
)
from .payload import Obj, objects, text, whole


def head(event: Obj, purpose: str, named: str) -> dict[str, Any]:
    """What every fact has; `named`: where its identity stands."""
    return {
        "purpose": purpose,
        "fact_id": text(event, named),
        "at": second_of(event, "occurred_at"),
        "customer": text(event, "account"),
        "currency": text(event, "currency"),
        "invoice": text(event, "document"),
    }


def usage_of(event: Obj) -> Usage:
    """A canonical event that records usage."""
    usage = event["usage"]
    begins = second_of(usage, "period_from")
    return Usage(
        **head(event, USED, "id"),
        document=text(event, "document"),
        quantity=text(usage, "quantity"),
        price=text(usage, "price"),
        period_from=begins,
        meter=(text(usage, "meter"), text(usage, "price"), begins),
        wallet=event.get("document_kind") == "wallet",
    )


def topped_up_of(event: Obj) -> TopUp:
    """Money into a wallet."""
    told = event["wallet"]
    return TopUp(
        **head(event, TOPPED_UP, "id"),
        amount=whole(told, "amount_minor"),
        settlement=text(told, "settlement"),
    )


def expired_of(event: Obj) -> Expiry:
    """What expires in a wallet."""
    return Expiry(**head(event, EXPIRED, "id"), amount=event["wallet"].get("amount_minor"))


def tax_adjusted_of(event: Obj) -> TaxAdjusted:
    """A canonical event that puts the tax of an invoice right."""
    told = event["tax_adjustment"]
    size = sum(whole(tax, "amount_minor") for tax in objects(told, "taxes"))
    return TaxAdjusted(
        **head(event, TAX_ADJUSTED, "id"),
        amount=size if text(told, "direction") == "charge" else -size,
        settlement=text(told, "settlement"),
    )


def second_of(obj: Obj, key: str) -> int:
    """An RFC 3339 time in epoch seconds."""
    return int(datetime.fromisoformat(text(obj, key)).timestamp())


def signed_of(event: Obj) -> Signed:
    """A contract and its segments."""
    return Signed(
        **head(event, SIGNED, "document"),
        segments=terms_of(event),
    )


def modified_of(event: Obj) -> Modified:
    """A change of a contract."""
    told = event["contract"]
    return Modified(
        **head(event, MODIFIED, "id"),
        treatment=text(told, "treatment"),
        segment=told.get("segment"),
        new_segment=told.get("new_segment"),
        change=told.get("change_minor", 0),
        variable=told.get("variable_minor"),
        constraint=told.get("constraint_minor"),
        end=second_of(told, "service_to") if "service_to" in told else None,
        segments=terms_of(event),
    )


def contract_ended_of(event: Obj) -> ContractEnded:
    """The early end of a contract."""
    return ContractEnded(**head(event, CONTRACT_ENDED, "document"))


def terms_of(event: Obj) -> tuple[SegmentTerms, ...]:
    """The segments that an event begins."""
    return tuple(
        SegmentTerms(
            name=text(one, "segment_id"),
            price=whole(one, "price_minor"),
            variable=one.get("variable_minor", 0),
            constraint=one.get("constraint_minor"),
            standalone=one.get("standalone_minor"),
            start=second_of(one, "service_from"),
            end=second_of(one, "service_to"),
        )
        for one in event["contract"].get("segments", ())
    )


OWN: dict[str, Callable[[Obj], Fact]] = {
    USED: usage_of,
    TAX_ADJUSTED: tax_adjusted_of,
    SIGNED: signed_of,
    MODIFIED: modified_of,
    CONTRACT_ENDED: contract_ended_of,
    TOPPED_UP: topped_up_of,
    EXPIRED: expired_of,
}
