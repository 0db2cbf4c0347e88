"""Every reason a record can be refused, wait or mismatch, with its owner and the way back.

Problem: a reason that nobody owns is never resolved. How: one closed table from code to the
sentence a person reads, who acts, what ends it, and whether doing the same again may succeed. ERP
errors and the classes of source records are closed sets too. In contracts all of them are strings,
so that the tables may grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Owner(StrEnum):
    """Who acts."""

    FINANCE = "finance"
    BILLING = "billing"
    IT = "it"


class SourceClass(StrEnum):
    """What became of a source record: exactly one class, the strongest of its facts, in order."""

    REJECTED = "rejected"
    WAITING = "waiting"
    POSTED = "posted"
    NO_ENTRY = "no_entry"
    IGNORED = "ignored"
    UNKNOWN = "unknown"
    DUPLICATE = "duplicate"


class Reason(Struct, frozen=True):
    """`retryable`: the same record may succeed later, without being corrected."""

    sentence: str
    owner: Owner
    way_back: str
    retryable: bool


_CORRECT: Final = "correct it in the billing system; the corrected event is taken up by itself"
_ARRIVES: Final = "released by itself when it arrives"
_APPLY: Final = "add the rule and apply the company folder"
_UPGRADE: Final = "redrive the kept record after an upgrade"
_REVIEW: Final = "review both sides, then repost or accept"
_WRITER: Final = "stop its writer, then redrive what is good"
_NOTHING: Final = "nothing to do"


def _wrong(sentence: str) -> Reason:
    return Reason(sentence, Owner.BILLING, _CORRECT, retryable=False)


def _finance(sentence: str, way_back: str, retryable: bool = False) -> Reason:
    return Reason(sentence, Owner.FINANCE, way_back, retryable)


def _it(sentence: str, way_back: str, retryable: bool = False) -> Reason:
    return Reason(sentence, Owner.IT, way_back, retryable)


def _fine(sentence: str) -> Reason:
    return Reason(sentence, Owner.BILLING, _NOTHING, retryable=False)


# The payload, or the figures of a fact, are wrong.
_PAYLOAD: Final = {
    "amount_missing": _wrong("an amount is missing"),
    "amount_negative": _wrong("an amount is below zero"),
    "amount_not_integer": _wrong("an amount is no integer of minor units"),
    "amount_out_of_range": _wrong("an amount is beyond what the books can hold"),
    "credit_note_settlement_missing": _wrong("a credit note does not say how it is settled"),
    "currency_differs": _wrong("a part has another currency than its document"),
    "currency_unknown": _wrong("the currency is not in ISO 4217"),
    "discount_exceeds_line": _wrong("a discount is larger than its line"),
    "document_tax_mismatch": _wrong("the taxes of the lines do not add up to the tax"),
    "document_total_mismatch": _wrong("the lines do not add up to the total"),
    "fact_incomplete": _wrong("a fact comes without its figures"),
    "field_missing": _wrong("a field is missing"),
    "field_type_wrong": _wrong("a field has the wrong type"),
    "line_repeated": _wrong("a line appears twice"),
    "payment_total_mismatch": _wrong("the parts of a payment are more than the whole"),
    "field_unknown": _wrong("a field is none of the shape"),
    "quantity_negative": _wrong("a quantity of usage is below zero"),
    "payload_key_repeated": _wrong("a JSON key appears twice"),
    "payload_not_json": _wrong("the payload is not JSON"),
    "payload_number_invalid": _wrong("a number is not finite or too long"),
    "payload_too_deep": _wrong("the payload is nested too deep"),
    "period_end_before_start": _wrong("a service period ends before it starts"),
    "payout_currency_differs": _wrong("a payout has another currency than the balance it is from"),
    "refund_exceeds_payment": _wrong("a refund is larger than its payment"),
    "refund_total_mismatch": _wrong("the refunds do not add up to their sum"),
    "tax_negative": _wrong("a tax is against the direction of its line"),
}
# A fact contradicts what is known, or asks for what no rule covers.
_BOOKS: Final = {
    "change_exceeds_contract": _finance(
        "a modification takes more than is left of its contract", _CORRECT
    ),
    "contract_terms_missing": _wrong("a contract comes without terms that its rule needs"),
    "modification_unsupported": _finance("no rule covers the way a contract is modified", _CORRECT),
    "tax_adjustment_unknown": _wrong("no journal covers who bears an adjusted tax, or which way"),
    "tax_line_unknown": _wrong("an adjusted tax names a line that its document has not"),
    "sale_to_itself": _wrong("an entity sells to itself"),
    "segment_repeated": _wrong("a segment of a contract begins twice"),
    "segment_unknown": _wrong("a modification names a segment that its contract has not"),
    "selling_price_missing": _wrong(
        "a bundle has no stand-alone selling price to share its price by"
    ),
    "wallet_settlement_unknown": _wrong("no journal covers the way a wallet is topped up"),
    "credit_exceeds_document": _finance(
        "a credit is larger than what is left of its document", _CORRECT
    ),
    "credit_note_settlement_mixed": _finance(
        "a credit note is settled in several ways at once", "book it by hand"
    ),
    "credit_note_settlement_unsupported": _finance(
        "no journal covers the way a credit note is settled", "book it by hand"
    ),
    "document_direction_wrong": _finance(
        "a document in the customer's favour cannot be voided or lost", _CORRECT
    ),
    "fact_conflict": _finance("a fact is told again with other figures", _REVIEW),
    "fact_kind_unknown": _it("the kind of a fact is not handled yet", _UPGRADE, True),
}
# Something else has to arrive first.
_WAITING: Final = {
    "account_not_named": Reason("the payload names no account", Owner.BILLING, _ARRIVES, True),
    "account_unmapped": _finance("an account role has no ERP account", _APPLY, True),
    "company_not_applied": _it("the tenant has no rules in force", "apply its folder", True),
    "contract_not_signed": Reason(
        "the contract's terms are not seen", Owner.BILLING, _ARRIVES, True
    ),
    "credit_note_not_issued": Reason(
        "a voided credit note's issue is not seen", Owner.BILLING, _ARRIVES, True
    ),
    "counterparty_unknown": _finance(
        "an entity of a sale between entities is none of the company's", _APPLY, True
    ),
    "customer_not_found": _finance("the customer is unknown", _ARRIVES, True),
    "dimension_missing": _finance("a line lacks a required dimension", _CORRECT, True),
    "entity_unmapped": _finance("no rule gives a legal entity", _APPLY, True),
    "currency_rules_missing": _finance("the entity books only its own currency", _APPLY, True),
    "fx_rate_not_found": _finance("no exchange rate is known", _ARRIVES, True),
    "fx_rate_stale": _finance("the latest exchange rate is too old", _ARRIVES, True),
    "invoice_not_issued": Reason("the invoice's issue is not seen", Owner.BILLING, _ARRIVES, True),
    "payment_not_confirmed": Reason(
        "the payment of the whole is not seen", Owner.BILLING, _ARRIVES, True
    ),
    "sale_not_seen": Reason("a sale that is cancelled is not seen", Owner.BILLING, _ARRIVES, True),
    "refund_not_seen": Reason("no charge has told the refund yet", Owner.BILLING, _ARRIVES, True),
    "link_awaited": Reason(
        "what the named object belongs to is not told yet", Owner.BILLING, _ARRIVES, True
    ),
    "link_not_found": Reason(
        "nothing has told what the named object belongs to", Owner.BILLING, _ARRIVES, True
    ),
    "lines_truncated": _it("the payload holds only some of the lines", _ARRIVES, True),
    "period_not_open": _finance("no period takes the posting", "open a period", True),
    "policy_not_found": _finance("no accounting policy is in force", _APPLY, True),
    "usage_price_not_found": _finance("no price of the usage is known", _APPLY, True),
    "wallet_overdrawn": Reason(
        "a wallet held less than is taken from it", Owner.BILLING, _ARRIVES, True
    ),
    "tax_code_unknown": _finance("a tax code is not among the company's", _APPLY, True),
}
# Understood, and nothing to book; or not handled.
_NO_ENTRY: Final = {
    "amount_zero": _fine("the amount is zero"),
    "charge_not_captured": _fine("a charge took no money yet"),
    "booked_at_payment": _fine("the payment books this invoice"),
    "breakage_never": _fine("what expires in a wallet stays owed"),
    "contract_terms": _fine("terms of a contract; they are earned over time"),
    "customer_changed": _fine("a customer's state"),
    "customer_state_only": _fine("a customer's state"),
    "dispute_open": _fine("an open dispute moves nothing"),
    "dispute_opened": _fine("a dispute was opened; no money has moved"),
    "dispute_warning_closed": _fine("an inquiry was closed; no money has moved"),
    "dispute_won": _fine("a dispute was won; its return is booked by itself"),
    "fee_not_told": _fine("the fee of a charge is not in its payload"),
    "invoice_overdue": _fine("collection only"),
    "no_entry_due": _fine("nothing to book"),
    "nothing_booked": _fine("what it takes back had booked nothing"),
    "nothing_outstanding": _fine("nothing of the document was left to pay"),
    "paid_out_of_band": _fine("paid past the processor, of an invoice that books nothing"),
    "payment_failed": _fine("a failed payment moves nothing"),
    "schedule_stands": _fine("the schedule of what was billed stands"),
    "settled_by_payment": _fine("the payment of the whole books this part"),
    "settled_by_refund": _fine("the refund books this credit note"),
    "told_completely": _fine("another record told the same with all its parts"),
    "told_by_charge": _fine("the refund is booked as its charge tells it"),
    "subscription_changed": _fine("a subscription's state"),
    "subscription_state_only": _fine("a subscription's state"),
    "type_cannot_touch_books": _fine("a type of event that cannot touch the books"),
    "api_version_unknown": _it("the API version is not handled yet", _UPGRADE, True),
    "type_not_handled": _it("the event type is not handled yet", _UPGRADE, True),
    "type_unknown": _it("the event type is unknown", _UPGRADE, True),
}
# A record that a lane cannot take.
_RECORD: Final = {
    "command_in_wrong_topic": _it("a command is not for this ERP and entity", _WRITER),
    "erp_key_reused_with_other_content": _it("an ERP key comes again with other content", _WRITER),
    "not_framed": _it("a value is not framed as a contract", _WRITER),
    "period_status_unknown": _it("a period status that is none", _WRITER),
    "posting_invalid": _it("a command failed validation", "correct the rules and apply", True),
    "record_is_no_command": _it("a record on a command topic is no command", _WRITER),
    "record_malformed": _it("a value does not fit its schema", _WRITER),
    "record_unexpected": _it("a record does not belong on its topic", _WRITER),
    "restatement_invalid": _finance("a restatement job is not allowed", "publish it corrected"),
    "rules_malformed": _it("rules cannot be read", "apply the company folder again"),
    "schema_unknown": _it("the schema of a value is unknown", _UPGRADE, True),
    "source_unknown": _it("no such billing source is installed", _UPGRADE, True),
    "tick_gap": _it("a tick's number is not the next one", "publish the ticks between", True),
    "value_missing": _it("a record has no value", _WRITER),
}
# Commands against the ERP, and totals.
_MISMATCHES: Final = {
    "M01": _it("no confirmation by the deadline", "confirmed late, or looked up", True),
    "M02": _finance("the ERP rejected the posting", "correct the cause and repost", True),
    "M03": _finance("two ERP documents for one key", "reverse one of them in the ERP"),
    "M04": _finance("the ERP booked another amount", _REVIEW),
    "M05": _finance("the ERP booked another currency", _REVIEW),
    "M06": _finance("the ERP booked another period", _REVIEW),
    "M07": _finance("the ERP booked another account", _REVIEW),
    "M08": _finance("the ERP booked another dimension", _REVIEW),
    "M09": _finance("the ERP booked another entity", _REVIEW),
    "M10": _it("a confirmation that no command asked for", _REVIEW),
    "M11": _it("a confirmation came after its deadline", "nothing to do: M01 is cleared"),
    "M12": _finance("a posted document was edited in the ERP", _REVIEW),
    "M13": _finance("an event has no posting and no decision", "resolve what it waits for", True),
    "M14": _it("a revision that was never sent is confirmed", _REVIEW),
    "M15": _finance("the ERP added a line", _REVIEW),
    "M16": _finance("a control total differs", _REVIEW),
    "M17": _finance("the deferred revenue roll-forward differs", _REVIEW),
    "M18": _finance("the receivables roll-forward differs", _REVIEW),
    "M19": _finance("a trial balance or intercompany pair differs", _REVIEW),
    "M20": _finance("the ERP used another exchange rate", _REVIEW),
}

REASONS: Final[Mapping[str, Reason]] = {
    **_PAYLOAD,
    **_BOOKS,
    **_WAITING,
    **_NO_ENTRY,
    **_RECORD,
    **_MISMATCHES,
}


class ErpError(StrEnum):
    """Canonical codes of what an ERP or the way to it answered."""

    UNBALANCED = "UNBALANCED"
    PERIOD_CLOSED = "PERIOD_CLOSED"
    ACCOUNT_INVALID = "ACCOUNT_INVALID"
    DIMENSION_MISSING = "DIMENSION_MISSING"
    CUSTOMER_UNKNOWN = "CUSTOMER_UNKNOWN"
    CURRENCY_INVALID = "CURRENCY_INVALID"
    RATE_MISSING = "RATE_MISSING"
    DUPLICATE = "DUPLICATE"
    RATE_LIMITED = "RATE_LIMITED"
    AUTH = "AUTH"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"


_TRANSIENT: Final = frozenset(
    (ErpError.RATE_LIMITED, ErpError.AUTH, ErpError.UNAVAILABLE, ErpError.UNKNOWN_OUTCOME)
)


def owner_of(code: str) -> str:
    """Who acts on this code; IT where the code is not in the table, which is a fault of ours."""
    reason = REASONS.get(code)
    return (reason.owner if reason is not None else Owner.IT).value


_STRENGTH: Final = {found: order for order, found in enumerate(SourceClass)}


def strongest(classes: Iterable[SourceClass]) -> SourceClass:
    """The class of a source record that holds facts of these classes."""
    return min(classes, key=_STRENGTH.__getitem__)


def transient(code: ErpError) -> bool:
    """Whether an ERP error ends only the attempt; after UNKNOWN_OUTCOME a look-up comes first."""
    return code in _TRANSIENT
