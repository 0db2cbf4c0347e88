"""Canonical: events that a company's own systems send, in streamsync's own words.

Problem: usage, contracts and wallets live in systems that no vendor's webhook speaks for, and a
billing system without a reader must still have a way in. How: a JSON object with one fact, in the
words of the contracts (`canonical_shapes`), through the same door as every webhook: signed
(`Streamsync-Signature: t=seconds,v1=hex`, HMAC-SHA256 over `t.body`), stored raw, read strictly.
`source` names another billing system's accounts, so that usage meets the invoices that bill it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from pydantic import ValidationError

from streamsync.core.facts import BillingEvent, Fact
from streamsync.core.money import is_currency
from streamsync.core.records import RawWebhook, SourcePosition
from streamsync.sources import strict_json
from streamsync.sources.account import account_key, correlation_id
from streamsync.sources.canonical_shapes import REASON, VERSION, Event, Shape, as_record
from streamsync.sources.envelope import Envelope
from streamsync.sources.refusal import Refusal, first_repeated
from streamsync.sources.signed_source import SignedSource
from streamsync.sources.stripe_payload import AMOUNT_MAX, ID_LENGTH_MAX, place_of

# Kind of fact: the part that it must have, and the kind of document where the event names none.
KINDS: Final[Mapping[str, tuple[str | None, str | None]]] = {
    "invoice_issued": ("invoice", "invoice"),
    "invoice_overdue": (None, "invoice"),
    "invoice_voided": (None, "invoice"),
    "invoice_uncollectible": (None, "invoice"),
    "written_off": (None, "invoice"),
    "service_terminated": (None, "invoice"),
    "payment_applied": ("payment", "invoice"),
    "payment_failed": (None, "invoice"),
    "payment_unapplied": ("payment", "invoice"),
    "cash_received": ("payment", "cash"),
    "cash_applied": ("payment", "cash"),
    "credit_note_issued": ("credit_note", "invoice"),
    "credit_note_voided": ("credit_note", "invoice"),
    "charge_succeeded": ("charge", "invoice"),
    "refunded": ("refund", "invoice"),
    "refund_reported": ("refund", "invoice"),
    "refund_failed": ("refund", "invoice"),
    "dispute_opened": ("dispute", "invoice"),
    "dispute_funds_withdrawn": ("dispute", "invoice"),
    "dispute_funds_reinstated": ("dispute", "invoice"),
    "dispute_closed": ("dispute", "invoice"),
    "payout_paid": ("payout", "payout"),
    "payout_failed": ("payout", "payout"),
    "contract_signed": ("contract", "contract"),
    "contract_modified": ("contract", "contract"),
    "contract_terminated": (None, "contract"),
    "usage_recorded": ("usage", "usage"),
    "wallet_topped_up": ("wallet", "wallet"),
    "wallet_expired": ("wallet", "wallet"),
    "intercompany_sale": ("intercompany", "intercompany"),
    "intercompany_sale_cancelled": ("intercompany", "intercompany"),
    "tax_adjusted": ("tax_adjustment", "invoice"),
    "customer_changed": ("customer", None),
    "subscription_changed": ("subscription_state", None),
}
# Facts that a document has once: told again by another event they are the same.
_ONCE: Final = frozenset(
    {
        "invoice_issued",
        "invoice_voided",
        "invoice_uncollectible",
        "written_off",
        "service_terminated",
        "contract_signed",
        "contract_terminated",
        "intercompany_sale",
        "intercompany_sale_cancelled",
    }
)
_STATES: Final = {
    "customer_changed": "customer_state_only",
    "subscription_changed": "subscription_state_only",
}


_SALE, _PURCHASE, _BETWEEN = "intercompany_sale", "intercompany_purchase", "intercompany"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX else None


def _validated(payload: object) -> Any:
    try:
        return Event.model_validate(payload)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=True)
        first = problems[0]
        reason, rule = _rule_of(first)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        place = place_of(first["loc"], "").lstrip(".") or "payload"
        raise Refusal(reason, f"{place}: {rule}{more}") from None


def _rule_of(error: Mapping[str, Any]) -> tuple[str, str]:
    """Reason and rule; a value is quoted only where it is a number."""
    kind, name = error["type"], str(error["loc"][-1]) if error["loc"] else ""
    if kind == REASON:
        return error["ctx"]["reason"], error["msg"]
    if name.endswith("_minor"):
        return _amount_rule(kind, error)
    if kind == "extra_forbidden":
        return "field_unknown", "no such field: correct its name, or leave it out"
    if kind == "missing":
        return "field_missing", "required"
    return "field_type_wrong", f"not as documented ({kind})"


def _amount_rule(kind: str, error: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "missing":
        return "amount_missing", "required"
    if kind == "greater_than_equal" and error["ctx"]["ge"] == 0:
        return "amount_negative", f"{error['input']}, at least 0 is required"
    if kind in ("greater_than_equal", "less_than_equal", "int_parsing_size"):
        return "amount_out_of_range", f"beyond {AMOUNT_MAX} minor units"
    return "amount_not_integer", "an integer in minor units is required"


def _facts_of(event: Any) -> tuple[Fact, ...]:
    """The facts of an event: one, but a sale between two entities has a side in each."""
    fact = _fact_of(event)
    sale = fact.intercompany
    if not fact.kind.startswith(_SALE) or sale is None:
        return (fact,)
    if sale.seller == sale.buyer:
        detail = f"intercompany: {sale.seller} is both seller and buyer, two entities are required"
        raise Refusal("sale_to_itself", detail)
    purchase = fact.kind.replace(_SALE, _PURCHASE)
    return (
        replace(fact, document=f"{fact.document}/{sale.seller}", document_kind=_BETWEEN),
        replace(
            fact,
            document_kind=_BETWEEN,
            kind=purchase,
            fact_id=fact.fact_id.replace(_SALE, _PURCHASE, 1),
            document=f"{fact.document}/{sale.buyer}",
        ),
    )


def _fact_of(event: Any) -> Fact:
    needed, document_kind = KINDS[event.kind]
    if needed is not None and getattr(event, needed) is None:
        raise Refusal("field_missing", f"{needed}: required for {event.kind}")
    if document_kind is not None and event.document is None:
        raise Refusal("field_missing", f"document: required for {event.kind}")
    if event.document is not None and event.currency is None:
        raise Refusal("field_missing", f"currency: required for {event.kind}")
    if event.currency is not None and not is_currency(event.currency):
        raise Refusal("currency_unknown", "currency: not in ISO 4217, three capitals are required")
    for place, start, end in _periods(event, ""):
        if end < start:
            raise Refusal("period_end_before_start", f"{place}: {end}, before its start at {start}")
    if event.invoice is not None:
        _check_line_ids(event.invoice.lines or ())
    named = {
        "fact_id": event.fact_id or f"{event.kind}:{_identity(event)}",
        "document_kind": event.document_kind or document_kind,
    }
    parts = {name: value for name, value in dict(event).items() if name in _FACT_FIELDS}
    whole = event.model_copy(update=parts | named)
    whole.model_fields_set.update(named)
    fact: Fact = as_record(Fact, whole)
    return fact


_FACT_FIELDS: Final = frozenset(Fact.__struct_fields__)


def _check_line_ids(lines: Sequence[Any]) -> None:
    """A line's id is part of the keys of its postings: of two alike an ERP would book one."""
    ids = [line.line_id for line in lines]
    index = first_repeated(ids)
    if index is not None:
        place = f"invoice.lines[{index}].line_id"
        raise Refusal("line_repeated", f"{place}: the same as of lines[{ids.index(ids[index])}]")


def _identity(event: Any) -> str:
    if event.kind in _ONCE:
        return str(event.document)
    return str(event.id)


def _periods(piece: Shape, place: str) -> Iterator[tuple[str, int, int]]:
    """Every period in a piece: place of its end, start and end."""
    for name, value in piece:
        at = f"{place}.{name}".lstrip(".")
        if isinstance(value, Shape):
            yield from _periods(value, at)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Shape):
                    yield from _periods(item, f"{at}[{number}]")
        elif name.endswith("_to_ms") and value is not None:
            start = getattr(piece, name.replace("_to_ms", "_from_ms"), None)
            if start is not None:
                yield at.removesuffix("_ms"), start, value


def _interpret(payload: object) -> tuple[str, str | None, str | None, tuple[Fact, ...]]:
    """outcome, reason, detail and facts."""
    members = payload if isinstance(payload, dict) else {}
    if members.get("streamsync") != VERSION:
        detail = f'streamsync: this program reads version "{VERSION}"'
        return "unknown", "api_version_unknown", detail, ()
    kind = members.get("kind")
    if isinstance(kind, str) and kind not in KINDS:
        return "unknown", "type_unknown", f"kind: none of {', '.join(KINDS)}", ()
    facts = _facts_of(_validated(payload))
    reason = _STATES.get(facts[0].kind)
    return ("no_entry" if reason else "facts"), reason, None, facts


def read_event(raw: RawWebhook, position: SourcePosition) -> BillingEvent:
    """Exactly one canonical event of a stored body; never raises, on any bytes."""
    payload: object = None
    facts: tuple[Fact, ...] = ()
    try:
        payload = strict_json.loads(raw.body)
        outcome, reason, detail, facts = _interpret(payload)
        content = strict_json.canonical(payload)
    except Refusal as why:
        outcome, reason, detail = why.outcome, why.reason, why.detail
        content = raw.body
    members: Mapping[str, object] = payload if isinstance(payload, dict) else {}
    content_hash = hashlib.sha256(content).hexdigest()
    event_id = _text(members.get("id")) or f"sha256:{content_hash[:32]}"
    source = _text(members.get("source")) or raw.source
    account = _text(members.get("account")) or event_id
    kind = members.get("kind")
    return BillingEvent(
        tenant=raw.tenant,
        source=raw.source,
        account=account_key(raw.tenant, source, account),
        source_event_id=event_id,
        source_event_type=kind if isinstance(kind, str) and kind in KINDS else "unreadable",
        api_version=_text(members.get("streamsync")),
        content_hash=content_hash,
        occurred_at_ms=facts[0].occurred_at_ms if facts else raw.received_at_ms,
        correlation_id=correlation_id(raw.tenant, raw.source, event_id, content_hash),
        outcome=outcome,
        reason=reason,
        detail=detail,
        facts=facts,
        position=position,
    )


def is_canonical(payload: object) -> bool:
    """Whether a payload says that it is a canonical event."""
    return isinstance(payload, dict) and "streamsync" in payload


class Canonical(SignedSource):
    """The canonical source, behind the interface that all sources share."""

    kind = "canonical"
    signature_header = "Streamsync-Signature"

    def read_event(self, raw: RawWebhook, position: SourcePosition) -> BillingEvent:
        """One canonical event per stored body."""
        return read_event(raw, position)

    def envelope(self, body: bytes) -> Envelope:
        """The names needed to route a body; `Refusal` when it is not strict JSON."""
        payload = strict_json.loads(body)
        members: Mapping[str, object] = payload if isinstance(payload, dict) else {}
        return Envelope(account=_text(members.get("account")), event_id=_text(members.get("id")))
