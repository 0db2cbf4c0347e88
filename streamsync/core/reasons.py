"""Every reason a record can be refused, wait or mismatch, with its owner and the way back.

Problem: a reason that nobody owns is never resolved. How: one closed table from code to the sentence
a person reads, who acts, and what ends it; ERP error codes say whether the same command may be sent
again. Codes stay strings in contracts, so that the table may grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """A code's sentence, its owner (finance, billing or it) and what ends it."""

    sentence: str
    owner: str
    way_back: str


_CORRECT = "correct it in the billing system; the corrected event is taken up by itself"
_RELEASED = "released by itself when it arrives"
_UPGRADE = "redrive the kept record after an upgrade"
_REVIEW = "review both sides, then repost or accept"

REASONS: Final[Mapping[str, Reason]] = {
    "account_not_named": Reason("the payload names no billing account", "billing", _RELEASED),
    "account_unmapped": Reason(
        "an account role has no ERP account", "finance", "add the rule and apply"
    ),
    "amount_missing": Reason("an amount is missing", "billing", _CORRECT),
    "amount_negative": Reason("an amount is below zero", "billing", _CORRECT),
    "amount_not_integer": Reason("an amount is no integer of minor units", "billing", _CORRECT),
    "amount_out_of_range": Reason("an amount is beyond 64 bits", "billing", _CORRECT),
    "api_version_unknown": Reason("the API version is not handled yet", "it", _UPGRADE),
    "company_not_applied": Reason("the tenant has no rules in force", "it", "apply its folder"),
    "credit_exceeds_document": Reason(
        "a credit is larger than what is left of its document", "finance", _CORRECT
    ),
    "credit_note_settlement_missing": Reason(
        "a credit note does not say how it is settled", "billing", _CORRECT
    ),
    "credit_note_settlement_mixed": Reason(
        "a credit note is settled in several ways at once", "finance", _CORRECT
    ),
    "currency_differs": Reason("a part has another currency than its document", "billing", _CORRECT),
    "currency_unknown": Reason("the currency is not in ISO 4217", "billing", _CORRECT),
    "customer_not_found": Reason("the customer is unknown", "finance", _RELEASED),
    "discount_exceeds_line": Reason("a discount is larger than its line", "billing", _CORRECT),
    "document_tax_mismatch": Reason("line taxes do not add up to the tax", "billing", _CORRECT),
    "document_total_mismatch": Reason("lines do not add up to the total", "billing", _CORRECT),
    "entity_unmapped": Reason("no rule gives a legal entity", "finance", "add the rule and apply"),
    "fact_conflict": Reason("a fact is told again with other figures", "finance", _REVIEW),
    "field_missing": Reason("a field is missing", "billing", _CORRECT),
    "field_type_wrong": Reason("a field has the wrong type", "billing", _CORRECT),
    "fx_rate_not_found": Reason("no exchange rate is known", "finance", _RELEASED),
    "invoice_not_issued": Reason("the invoice has not been seen finalised", "billing", _RELEASED),
    "line_repeated": Reason("a line appears twice", "billing", _CORRECT),
    "lines_truncated": Reason("the payload holds only part of the lines", "it", _RELEASED),
    "not_framed": Reason("a value is not framed as a contract", "it", _UPGRADE),
    "payload_key_repeated": Reason("a JSON key appears twice", "billing", _CORRECT),
    "payload_not_json": Reason("the payload is not JSON", "billing", _CORRECT),
    "payload_number_invalid": Reason("a number is not finite or too long", "billing", _CORRECT),
    "payload_too_deep": Reason("the payload is nested too deep", "billing", _CORRECT),
    "payment_missing": Reason("a payment has no figures", "billing", _CORRECT),
    "period_end_before_start": Reason("a service period ends before it starts", "billing", _CORRECT),
    "policy_not_found": Reason("no accounting policy is in force", "finance", "apply a policy"),
    "posting_invalid": Reason("a command failed validation", "it", "correct the rules and apply"),
    "record_malformed": Reason("a value does not fit its schema", "it", _UPGRADE),
    "record_unexpected": Reason("a record does not belong on its topic", "it", "stop its writer"),
    "refund_total_mismatch": Reason("refunds do not add up to their sum", "billing", _CORRECT),
    "schema_unknown": Reason("the schema of a value is unknown", "it", _UPGRADE),
    "settlement_not_supported": Reason("the settlement is not handled yet", "it", _UPGRADE),
    "source_unknown": Reason("no such billing source is installed", "it", _UPGRADE),
    "tax_negative": Reason("a tax is below zero", "billing", _CORRECT),
    "tick_backwards": Reason("a tick's time is before the last one", "it", "correct the clock"),
    "tick_gap": Reason("a tick's number is not the next one", "it", "publish the ticks between"),
    "type_not_handled": Reason("the event type is not handled yet", "it", _UPGRADE),
    "type_unknown": Reason("the event type is unknown", "it", _UPGRADE),
    "value_missing": Reason("a record has no value", "it", "stop its writer"),
    "M01": Reason("no confirmation by the deadline", "it", "confirmed late, or looked up"),
    "M02": Reason("the ERP rejected the posting", "finance", "correct and repost"),
    "M03": Reason("two ERP documents for one key", "finance", "reverse one in the ERP"),
    "M04": Reason("the ERP booked another amount", "finance", _REVIEW),
    "M05": Reason("the ERP booked another currency", "finance", _REVIEW),
    "M06": Reason("the ERP booked another period", "finance", _REVIEW),
    "M07": Reason("the ERP booked another account", "finance", _REVIEW),
    "M09": Reason("the ERP booked another entity", "finance", _REVIEW),
    "M10": Reason("a confirmation that no command asked for", "it", _REVIEW),
    "M11": Reason("a confirmation came after its deadline", "it", "nothing: M01 is cleared"),
    "M14": Reason("a revision that was never sent is confirmed", "it", _REVIEW),
    "M15": Reason("the ERP added a line", "finance", _REVIEW),
}

# Canonical ERP error codes: may the same command be sent again?
_RETRYABLE: Final[Mapping[str, bool]] = {
    "UNBALANCED": False,
    "PERIOD_CLOSED": False,
    "ACCOUNT_INVALID": False,
    "DIMENSION_MISSING": False,
    "CUSTOMER_UNKNOWN": False,
    "CURRENCY_INVALID": False,
    "RATE_MISSING": False,
    "DUPLICATE": False,
    "RATE_LIMITED": True,
    "AUTH": True,
    "UNAVAILABLE": True,
    "UNKNOWN_OUTCOME": True,
}


def owner_of(code: str) -> str:
    """Who acts on this code; IT where the code is not in the table."""
    reason = REASONS.get(code)
    return reason.owner if reason is not None else "it"


def is_retryable(canonical_code: str) -> bool:
    """Whether an ERP error ends the attempt only; UNKNOWN_OUTCOME is looked up first."""
    return _RETRYABLE[canonical_code]
