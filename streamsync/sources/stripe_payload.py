"""Shapes of the Stripe objects that become facts, and nothing of them that books do not need.

Problem: a payload has hundreds of fields, any of which may be missing or of the wrong type. How:
strict pydantic models of the few fields that are read; the first broken rule becomes a `Refusal`
with a reason and a place such as `data.object.lines.data[2].amount`. The value itself is never
quoted: it could be anything, also a name or a card number.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streamsync.sources.refusal import Refusal

AMOUNT_MAX = 10**15
"""Far above any document, far below 64 bits: sums of amounts cannot overflow a contract field."""
ID_LENGTH_MAX = 255
"""Stripe documents that its ids never exceed 255 characters."""
SECONDS_MAX = 32_503_680_000
"""The year 3000: later times cannot be turned into dates in every time zone."""


def _id_of(value: object) -> object:
    """Stripe gives a reference as an id, or, expanded, as the object with that id."""
    return value.get("id") if isinstance(value, dict) else value


def _decimal_of(value: object) -> object:
    return Decimal(value) if type(value) is int else value


Amount = Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
Seconds = Annotated[int, Field(ge=0, le=SECONDS_MAX)]
# Limits stand before the function that goes first: behind it pydantic would check them in Python.
Id = Annotated[str, Field(min_length=1, max_length=ID_LENGTH_MAX), BeforeValidator(_id_of)]
Word = Annotated[str, Field(max_length=ID_LENGTH_MAX)]
Percentage = Annotated[
    Decimal, Field(ge=0, le=1000, max_digits=12, decimal_places=8), BeforeValidator(_decimal_of)
]


class Piece(BaseModel):
    """A part of a payload: exact types, unknown fields left out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Address(Piece):
    """Of an address only the country is read."""

    country: Word | None = None


class Period(Piece):
    """Service period of a line; `end` is exclusive."""

    start: Seconds
    end: Seconds


class DiscountAmount(Piece):
    """A discount as it falls on one line."""

    amount: Amount


class TaxRate(Piece):
    """Explains a tax amount that names it."""

    id: Id
    jurisdiction: Word | None = None
    percentage: Percentage | None = None


class TaxAmount(Piece):
    """A tax as it falls on one line."""

    amount: Amount
    inclusive: bool
    tax_rate: Id
    taxable_amount: Amount | None = None


class Price(Piece):
    """What was sold: a price, or a plan of the older shape."""

    id: Id
    product: Id | None = None


class LineMetadata(Piece):
    """What a company's own metadata says of a line: which contract it bills, or which bundle it is
    part of, with its stand-alone selling price in minor units.
    """

    streamsync_contract: Id | None = None
    streamsync_segment: Id | None = None
    streamsync_bundle: Id | None = None
    streamsync_standalone_minor: Annotated[str, Field(pattern=r"^[0-9]{1,15}$")] | None = None


class Line(Piece):
    """A line of an invoice; `amount` is before discounts and contains inclusive taxes."""

    id: Id
    amount: Amount
    currency: Word | None = None
    discount_amounts: list[DiscountAmount] | None = None
    tax_amounts: list[TaxAmount] | None = None
    tax_rates: list[TaxRate] | None = None
    period: Period | None = None
    price: Price | None = None
    plan: Price | None = None
    subscription: Id | None = None
    proration: bool | None = None
    metadata: LineMetadata | None = None

    @property
    def own_words(self) -> dict[str, Any]:
        """What the company's metadata says, by the names of `core.facts.InvoiceLine`."""
        told = self.metadata or LineMetadata()
        price = told.streamsync_standalone_minor
        return {
            "bundle": told.streamsync_bundle,
            "standalone_minor": None if price is None else int(price),
            "contract": told.streamsync_contract,
            "segment": told.streamsync_segment,
        }


class Lines(Piece):
    """Embedded lines; `has_more`: Stripe left some out."""

    data: list[Line]
    has_more: bool | None = None


class StatusTransitions(Piece):
    """Business times of an invoice."""

    finalized_at: Seconds | None = None
    paid_at: Seconds | None = None
    voided_at: Seconds | None = None
    marked_uncollectible_at: Seconds | None = None


class InvoiceHead(Piece):
    """What every fact of an invoice needs."""

    id: Id
    currency: Word
    subscription: Id | None = None
    customer_address: Address | None = None
    customer_tax_exempt: Word | None = None
    status_transitions: StatusTransitions | None = None
    attempt_count: Annotated[int, Field(ge=0, le=10**6)] | None = None
    next_payment_attempt: Seconds | None = None
    due_date: Seconds | None = None
    amount_remaining: Amount | None = None


class IssuedInvoice(InvoiceHead):
    """An invoice when it is finalised."""

    number: Word | None = None
    total: Amount
    tax: Amount | None = None
    amount_due: Amount | None = None
    starting_balance: Amount | None = None
    ending_balance: Amount | None = None
    collection_method: Word | None = None
    lines: Lines


class PaidInvoice(InvoiceHead):
    """An invoice when it is paid."""

    total: Amount
    amount_due: Amount | None = None
    amount_paid: Amount
    amount_overpaid: Amount | None = None
    collection_method: Word | None = None
    starting_balance: Amount | None = None
    ending_balance: Amount | None = None
    paid_out_of_band: bool | None = None
    charge: Id | None = None
    payment_intent: Id | None = None


class NoteLine(Piece):
    """A line of a credit note; `amount` is before discounts and contains inclusive taxes."""

    amount: Amount
    discount_amount: Amount | None = None
    discount_amounts: list[DiscountAmount] | None = None
    invoice_line_item: Id | None = None
    tax_amounts: list[TaxAmount] | None = None


class NoteLines(Piece):
    """Embedded lines of a credit note."""

    data: list[NoteLine]
    has_more: bool | None = None


class NoteRefund(Piece):
    """A refund that pays a credit note out (2025-03-31 and later)."""

    refund: Id


class Note(Piece):
    """A credit note."""

    id: Id
    voided_at: Seconds | None = None
    currency: Word
    invoice: Id
    created: Seconds | None = None
    total: Amount
    type: Word
    reason: Word | None = None
    refund: Id | None = None
    refunds: list[NoteRefund] | None = None
    customer_balance_transaction: Id | None = None
    out_of_band_amount: Amount | None = None
    pre_payment_amount: Amount | None = None
    post_payment_amount: Amount | None = None
    tax_amounts: list[TaxAmount] | None = None
    lines: NoteLines | None = None


class CustomerObject(Piece):
    """A customer; name, e-mail and the rest of the address are never read."""

    id: Id
    address: Address | None = None
    currency: Word | None = None
    tax_exempt: Word | None = None


class SubscriptionItem(Piece):
    """One item of a subscription."""

    price: Price | None = None
    plan: Price | None = None
    quantity: Annotated[int, Field(ge=0, le=AMOUNT_MAX)] | None = None


class SubscriptionItems(Piece):
    """Items of a subscription."""

    data: list[SubscriptionItem]


class SubscriptionObject(Piece):
    """State of a subscription."""

    id: Id
    status: Word
    currency: Word | None = None
    items: SubscriptionItems | None = None
    cancel_at: Seconds | None = None
    cancel_at_period_end: bool | None = None
    current_period_start: Seconds | None = None
    current_period_end: Seconds | None = None


PieceT = TypeVar("PieceT", bound=Piece)

_AMOUNT_NAMES = frozenset({"total", "tax", "starting_balance", "ending_balance", "fee", "net"})


def _is_amount(name: int | str) -> bool:
    text = str(name)
    return text in _AMOUNT_NAMES or "amount" in text and "amounts" not in text


def place_of(path: tuple[int | str, ...], root: str = "data.object") -> str:
    """`("lines", "data", 2, "amount")` as `data.object.lines.data[2].amount`."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _reason_of(kind: str, name: int | str, absent: bool) -> tuple[str, str]:
    if _is_amount(name):
        if absent:
            return "amount_missing", "an integer in minor units is required, found nothing"
        if kind in ("greater_than_equal", "less_than_equal", "int_parsing_size"):
            return "amount_out_of_range", f"beyond {AMOUNT_MAX} minor units"
        return "amount_not_integer", "an integer in minor units is required"
    if absent:
        return "field_missing", "required, found nothing"
    return "field_type_wrong", f"not as the API documents it ({kind})"


def read_piece(model: type[PieceT], value: object) -> PieceT:
    """The piece, or `Refusal` with the first broken rule, its place and how many more there are."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=True)
        first = problems[0]
        path = first["loc"]
        absent = first["type"] == "missing" or first["input"] is None
        reason, rule = _reason_of(first["type"], path[-1] if path else "", absent)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Refusal(reason, f"{place_of(path)}: {rule}{more}") from None
