"""What a charge was for, from whatever told it.

The problem: a dispute names only its charge, and a charge of the newer shape only its payment
intent. How: every record that names two of charge, customer, payment intent and invoice is
remembered, and all are asked when everything is read, so the order of arrival plays no part.
"""

from .payload import Obj, reference, text


class Links:
    """Charge to customer and invoice, directly or by its payment intent."""

    def __init__(self) -> None:
        """Nothing has been told."""
        self.charges: dict[str, tuple[str, str | None]] = {}
        self.intents: dict[str, str] = {}
        self.paid_by: dict[str, str] = {}

    def remember(self, kind: str, obj: Obj, *, newer: bool) -> None:
        """Take what one record's object says."""
        customer = obj.get("customer")
        if kind.startswith("charge.") and obj.get("object", "charge") == "charge" and customer:
            self.charges[text(obj, "id")] = (str(customer), reference(obj, "invoice"))
            if newer and obj.get("payment_intent"):
                self.intents[text(obj, "id")] = str(reference(obj, "payment_intent"))
        elif kind.startswith("invoice.") and obj.get("charge") and customer:
            self.charges[str(reference(obj, "charge"))] = (str(customer), text(obj, "id"))
        elif kind == "invoice_payment.paid" and isinstance(obj.get("payment"), dict):
            intent = reference(obj["payment"], "payment_intent")
            self.paid_by[str(intent)] = str(reference(obj, "invoice"))

    def customer(self, charge: str) -> str | None:
        """Whose charge it is."""
        return self.charges.get(charge, (None, None))[0]

    def invoice(self, charge: str) -> str | None:
        """The invoice that a charge paid, as far as it is told."""
        told = self.charges.get(charge, (None, None))[1]
        return told or self.paid_by.get(self.intents.get(charge, ""))

    def is_open(self, charge: str) -> bool:
        """Whether nothing tells what a charge of the newer shape was for."""
        return charge in self.intents and self.invoice(charge) is None
