"""Business facts: what the books are a function of.

The problem: one fact arrives in several bodies, and what books it must not care which. How: plain
data, one class per kind of fact; telling.py makes them of payloads, reading.py of all bodies.
Signed integers of minor units are used everywhere: a credit line is negative.
"""

from dataclasses import dataclass
from fractions import Fraction

from .schedule import round_half_up

ISSUED = "invoice_issued"
PAID = "payment_applied"
VOIDED = "invoice_voided"
UNCOLLECTIBLE = "invoice_uncollectible"
CREDITED = "credit_note_issued"
REFUNDED = "refunded"
RELEASED = "revenue_released"
NOTE_VOIDED = "credit_note_voided"
REFUND_FAILED = "refund_failed"
CHARGED = "charge_succeeded"
FEE = "charge_fee"
LEFT = "settlement_left"
ARRIVED = "settlement_arrived"
OPENED = "dispute_opened"
WITHDRAWN = "dispute_funds_withdrawn"
REINSTATED = "dispute_funds_reinstated"
DISPUTE_CLOSED = "dispute_closed"
PAID_OUT = "payout_paid"
PAYOUT_FAILED = "payout_failed"
RECOVERED = "invoice_recovered"
USED = "usage_recorded"
CLEARED = "unbilled_cleared"
OVERDUE = "invoice_overdue"
OVERDUE_PAID = "overdue_paid"
RECOGNISED = "payment_recognised"
ENDED = "service_terminated"
TAX_ADJUSTED = "tax_adjusted"
SIGNED = "contract_signed"
MODIFIED = "contract_modified"
CONTRACT_ENDED = "contract_terminated"
EARNED = "revenue_earned"
TOPPED_UP = "wallet_topped_up"
EXPIRED = "wallet_expired"


@dataclass(frozen=True)
class Fact:
    """What every fact has. `at` is the business time in epoch seconds."""

    purpose: str
    fact_id: str
    at: int
    customer: str | None
    currency: str
    invoice: str | None


@dataclass(frozen=True)
class Line:
    """One invoice line; `net`, `taxes` and `discount` are signed, times are epoch seconds."""

    number: int
    line_id: str
    net: int
    taxes: tuple[int, ...]
    start: int | None
    end: int | None
    # The usage document that the line bills.
    contract: str | None = None
    subscription: str | None = None
    discount: int = 0
    # By tax: whether the price has it inside.
    inside: tuple[bool, ...] = ()
    segment: str | None = None

    def discount_on(self, net: int) -> int:
        """The discount on so much of the net, without the tax that it took off as well."""
        if not self.net or self.contract:
            return 0
        inside = sum(tax for tax, is_in in zip(self.taxes, self.inside, strict=True) if is_in)
        return round_half_up(Fraction(self.discount * net, self.net + inside))


@dataclass(frozen=True)
class Issue(Fact):
    """A finalised invoice."""

    total: int
    lines: tuple[Line, ...]
    automatic: bool = True


@dataclass(frozen=True)
class Payment(Fact):
    """What settled an invoice. `whole`: the invoice as its payload holds it."""

    charged: int
    from_balance: int
    out_of_band: bool
    whole: Issue | None = None


@dataclass(frozen=True)
class Closing(Fact):
    """An invoice that was voided or given up, or that is overdue (the purpose says which)."""


@dataclass(frozen=True)
class Note(Fact):
    """A credit note; `shares` are (invoice line id, net) when its lines name invoice lines."""

    total: int
    tax: int
    before_payment: bool
    refund: str | None
    shares: tuple[tuple[str, int], ...]
    reason: str | None = None


@dataclass(frozen=True)
class Refund(Fact):
    """Money given back on a charge."""

    charge: str
    amount: int
    movement: "Movement | None" = None


@dataclass(frozen=True)
class TaxAdjusted(Fact):
    """More tax on an invoice, or less (below zero), and who bears it."""

    amount: int
    settlement: str


@dataclass(frozen=True)
class NoteVoided(Fact):
    """A credit note that was taken back."""

    note: str


@dataclass(frozen=True)
class RefundFailed(Fact):
    """A refund that did not arrive. `movement`: how it came back, where that is told."""

    refund: str
    charge: str
    movement: "Movement | None" = None


@dataclass(frozen=True)
class Movement:
    """A balance transaction: signed amounts in the currency of settlement."""

    amount: int
    fee: int
    currency: str
    at: int


@dataclass(frozen=True)
class Charge(Fact):
    """Money taken from a card; `application_fee` when it is another account's."""

    amount: int
    application_fee: int | None
    movement: Movement | None


@dataclass(frozen=True)
class Dispute(Fact):
    """A step of a dispute (the purpose says which)."""

    charge: str
    amount: int
    status: str
    movements: tuple[Movement, ...]


@dataclass(frozen=True)
class Payout(Fact):
    """Money on its way to the bank, or back."""

    amount: int
    movement: Movement | None


@dataclass(frozen=True)
class Usage(Fact):
    """Usage in arrears, or out of a wallet; `meter`: meter, price and billing period, which share
    tiers.
    """

    document: str
    quantity: str
    price: str
    period_from: int
    meter: tuple[str, str, int]
    wallet: bool = False


@dataclass(frozen=True)
class TopUp(Fact):
    """Money that goes into a wallet, and the way it came."""

    amount: int
    settlement: str


@dataclass(frozen=True)
class Expiry(Fact):
    """What expires in a wallet; without an amount all that is left."""

    amount: int | None


@dataclass(frozen=True)
class Ended(Fact):
    """A subscription was cancelled: whatever bills it beyond that moment."""

    subscription: str


@dataclass(frozen=True)
class SegmentTerms:
    """What a contract says of a segment; times in epoch seconds."""

    name: str
    price: int
    variable: int
    constraint: int | None
    standalone: int | None
    start: int
    end: int


@dataclass(frozen=True)
class Signed(Fact):
    """A contract and its segments."""

    segments: tuple[SegmentTerms, ...]


@dataclass(frozen=True)
class Modified(Fact):
    """A change of a contract; `end`: the new end of the segment's service."""

    treatment: str
    segment: str | None
    new_segment: str | None
    change: int
    variable: int | None
    constraint: int | None
    end: int | None
    segments: tuple[SegmentTerms, ...]


@dataclass(frozen=True)
class ContractEnded(Fact):
    """The early end of a contract."""
