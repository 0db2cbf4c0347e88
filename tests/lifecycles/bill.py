"""An invoice as the biller knows it: what is owed of it, and what may still be given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DAY = 86_400
AMOUNTS = (3100, 0, 1, 99, 1000, 9_000, 36_500, 7_777)


@dataclass
class Bill:
    """An invoice as the biller knows it. Amounts are minor units."""

    payload: dict[str, Any]
    total: int
    nets: list[int]
    taxes: list[int]
    from_balance: int = 0
    state: str = "open"
    charged: int = 0
    noted: int = 0
    noted_tax: int = 0
    refunds: list[dict[str, Any]] = field(default_factory=list)
    noted_refunds: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Notes that may still be voided."""
    disputed: str = ""
    overdue: bool = False
    metered: bool = False
    """It bills usage; what is taken back of such an invoice, the oracle does not know."""

    @property
    def due(self) -> int:
        """What is still to be paid."""
        return self.total - self.from_balance - self.noted

    @property
    def refunded(self) -> int:
        """What went back to the card."""
        return sum(one["amount"] for one in self.refunds if one["status"] != "failed")

    @property
    def left(self) -> int:
        """What may still be given back."""
        return self.charged + self.from_balance - self.noted - self.plain_refunds

    @property
    def plain_refunds(self) -> int:
        """Refunds that no credit note explains."""
        return self.refunded - self.noted_refunds


def net_of(payload: dict[str, Any]) -> int:
    """Amount less discounts and inclusive taxes."""
    less = [one["amount"] for one in payload["discount_amounts"]]
    less += [one["amount"] for one in payload["tax_amounts"] if one["inclusive"]]
    return int(payload["amount"] - sum(less))


def line_text(payload: dict[str, Any]) -> str:
    """A line in a few words: net, tax, days of service from its start."""
    period = payload["period"]
    days = (period["end"] - period["start"]) // DAY
    owed = sum(one["amount"] for one in payload["tax_amounts"])
    return f"{net_of(payload)}+{owed} for {days} days"
