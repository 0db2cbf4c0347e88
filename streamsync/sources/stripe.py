"""Stripe: a webhook body becomes exactly one canonical billing event, whatever its bytes.

Problem: every record that was stored must be counted once, so that nothing is lost in silence, and
no payload may stop a partition. How: open the envelope strictly, find the account, group the type,
check the API version, read the facts; every refusal on the way is an outcome with a reason and a
place. `read_event` is pure and total: the same record gives the same event, and it never raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamsync.core.facts import BillingEvent
from streamsync.core.records import RawWebhook, SourcePosition
from streamsync.sources import strict_json
from streamsync.sources.account import PROCESSOR, account_key, correlation_id
from streamsync.sources.envelope import Envelope
from streamsync.sources.refusal import Refusal
from streamsync.sources.signed_source import SignedSource
from streamsync.sources.stripe_charge import Read, read_session
from streamsync.sources.stripe_currency import in_iso_units
from streamsync.sources.stripe_payload import ID_LENGTH_MAX, SECONDS_MAX
from streamsync.sources.stripe_readers import Payload, nothing_read, read_payload
from streamsync.sources.stripe_shapes import is_new_shape, older
from streamsync.sources.stripe_types import VERSIONS, group_of, version_is_known

_DELIVERY_FIELDS = frozenset({"pending_webhooks", "request"})

# No Stripe id begins with the @ of the processor's account.
_OF_THE_PROCESSOR = ("payout.", "transfer.", "topup.")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A payload whose envelope was read; `body` is its `data.object`."""

    event_id: str
    event_type: str
    api_version: str | None
    created_ms: int
    body: Mapping[str, object]
    previous: Mapping[str, object]
    content_hash: str
    account: str
    named: bool


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX else None


def _reference(value: object) -> str | None:
    return _text(value.get("id") if isinstance(value, dict) else value)


def _account_of(event_type: str, body: Mapping[str, object]) -> tuple[str | None, bool]:
    """The billing account, and whether the payload really names it (or only another object)."""
    own = _text(body.get("id"))
    if event_type.startswith(_OF_THE_PROCESSOR):
        return PROCESSOR, True
    if body.get("object") == "customer" and own:
        return own, True
    customer = _reference(body.get("customer"))
    if customer:
        return customer, True
    if body.get("object") == "charge" and own:
        return own, True
    if event_type.startswith("customer.") and event_type.count(".") == 1 and own:
        return own, True
    named = _reference(body.get("charge")) or _reference(body.get("invoice"))
    return named or _reference(body.get("payment_intent")) or own, False


def _content_hash(payload: Mapping[str, object]) -> str:
    content = {name: value for name, value in payload.items() if name not in _DELIVERY_FIELDS}
    return hashlib.sha256(strict_json.canonical(content)).hexdigest()


def _object_of(payload: Mapping[str, object]) -> Mapping[str, object]:
    data = payload.get("data")
    body = data.get("object") if isinstance(data, dict) else None
    return body if isinstance(body, dict) else {}


def _open(payload: object) -> _Opened:
    if not isinstance(payload, dict):
        raise Refusal("field_type_wrong", "payload: an event is a JSON object")
    event_id, event_type = _text(payload.get("id")), _text(payload.get("type"))
    if event_id is None:
        raise Refusal("field_missing", "id: text of at most 255 characters is required")
    if event_type is None:
        raise Refusal("field_missing", "type: text of at most 255 characters is required")
    created = payload.get("created")
    if type(created) is not int or not 0 <= created <= SECONDS_MAX:
        raise Refusal("field_missing", "created: seconds since 1970 are required")
    body = _object_of(payload)
    if not body:
        raise Refusal("field_missing", "data.object: an object is required")
    account, named = _account_of(event_type, body)
    version = payload.get("api_version")
    data = payload.get("data")
    previous = data.get("previous_attributes") if isinstance(data, dict) else None
    return _Opened(
        event_id=event_id,
        event_type=event_type,
        api_version=_text(version),
        created_ms=created * 1000,
        body=body,
        previous=previous if isinstance(previous, dict) else {},
        content_hash=_content_hash(payload),
        account=account or event_id,
        named=named,
    )


_BOOKS_NOTHING = {
    "customer_changed": "customer_state_only",
    "dispute_opened": "dispute_opened",
    "invoice_overdue": "invoice_overdue",
    "payment_failed": "payment_failed",
    "subscription_changed": "subscription_state_only",
}


def _type_shown(event_type: str) -> str:
    """A type as it may be repeated: text that does not look like one could be anything."""
    looks = event_type.replace(".", "_").isidentifier()
    return event_type if looks else "unreadable"


def _without_reader(opened: _Opened, group: str) -> tuple[str, str, str]:
    """outcome, reason and detail of a type that has no reader."""
    shown = _type_shown(opened.event_type)
    if group == "ignored":
        return "ignored", "type_cannot_touch_books", f"type: {shown}"
    if group == "unknown":
        return "unknown", "type_unknown", f"type: {shown} is in no list of this source"
    if opened.named:
        return "unknown", "type_not_handled", f"type: {shown} may touch the books"
    detail = f"data.object: {shown} names no customer, only another object"
    return "waiting", "account_not_named", detail


@dataclass(frozen=True, slots=True)
class _Found:
    """What a payload means: an outcome, why, and what was read."""

    outcome: str
    reason: str | None = None
    detail: str | None = None
    read: Read = Read(())


def _interpret(opened: _Opened) -> _Found:
    group = group_of(opened.event_type)
    if group != "handled":
        links = (
            read_session(opened.body) if opened.event_type == "checkout.session.completed" else ()
        )
        return _Found(*_without_reader(opened, group), Read((), links=tuple(links)))
    if not version_is_known(opened.event_type, opened.api_version):
        detail = f"api_version: not among {', '.join(sorted(VERSIONS))}"
        return _Found("unknown", "api_version_unknown", detail)
    new_shape = is_new_shape(opened.api_version)
    body = older(opened.body) if new_shape else dict(opened.body)
    try:
        read = read_payload(
            opened.event_type,
            Payload(body, opened.previous, opened.created_ms, new_shape, opened.content_hash[:16]),
        )
    except Refusal as why:
        if new_shape:
            # The place as the payload has it.
            raise Refusal(
                why.reason, why.detail.replace("tax_amounts", "taxes"), why.outcome
            ) from why
        raise
    facts = tuple(map(in_iso_units, read.facts))
    if not facts:
        return _Found(*nothing_read(opened.event_type))
    reason = _BOOKS_NOTHING.get(facts[0].kind)
    return _Found("no_entry" if reason else "facts", reason, None, replace(read, facts=facts))


def _unopened(
    raw: RawWebhook, position: SourcePosition, payload: object, why: Refusal
) -> BillingEvent:
    """An event whose envelope is broken: what can be told of it, under an account of its own."""
    members: Mapping[str, object] = payload if isinstance(payload, dict) else {}
    content_hash = hashlib.sha256(raw.body).hexdigest()
    event_id = _text(members.get("id")) or f"sha256:{content_hash[:32]}"
    event_type = _text(members.get("type")) or "unreadable"
    account, _ = _account_of(event_type, _object_of(members))
    return BillingEvent(
        tenant=raw.tenant,
        source=raw.source,
        account=account_key(raw.tenant, raw.source, account or event_id),
        source_event_id=event_id,
        source_event_type=_type_shown(event_type),
        api_version=_text(members.get("api_version")),
        content_hash=content_hash,
        occurred_at_ms=raw.received_at_ms,
        correlation_id=correlation_id(raw.tenant, raw.source, event_id, content_hash),
        outcome="rejected",
        reason=why.reason,
        detail=why.detail,
        position=position,
    )


def read_event(raw: RawWebhook, position: SourcePosition) -> BillingEvent:
    """Exactly one canonical event of a stored webhook; never raises, on any bytes."""
    payload: object = None
    try:
        payload = strict_json.loads(raw.body)
        opened = _open(payload)
    except Refusal as why:
        return _unopened(raw, position, payload, why)
    try:
        found = _interpret(opened)
    except Refusal as why:
        found = _Found(why.outcome, why.reason, why.detail)
    return BillingEvent(
        tenant=raw.tenant,
        source=raw.source,
        account=account_key(raw.tenant, raw.source, opened.account),
        source_event_id=opened.event_id,
        source_event_type=_type_shown(opened.event_type),
        api_version=opened.api_version,
        content_hash=opened.content_hash,
        occurred_at_ms=opened.created_ms,
        correlation_id=correlation_id(raw.tenant, raw.source, opened.event_id, opened.content_hash),
        outcome=found.outcome,
        reason=found.reason,
        detail=found.detail,
        facts=found.read.facts,
        named_object=found.read.names,
        links=found.read.links,
        position=position,
    )


class Stripe(SignedSource):
    """The Stripe source, behind the interface that all sources share."""

    kind = "stripe"
    signature_header = "Stripe-Signature"

    def read_event(self, raw: RawWebhook, position: SourcePosition) -> BillingEvent:
        """One canonical event per stored webhook."""
        return read_event(raw, position)

    def envelope(self, body: bytes) -> Envelope:
        """The names needed to route a body; `Refusal` when it is not strict JSON."""
        payload = strict_json.loads(body)
        members: Mapping[str, object] = payload if isinstance(payload, dict) else {}
        account, _ = _account_of(_text(members.get("type")) or "", _object_of(members))
        return Envelope(account=account, event_id=_text(members.get("id")))
