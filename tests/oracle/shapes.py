"""The newer of the two shapes of Stripe's API, told in the words of the older one.

The problem: from version 2025-03-31 on the same content stands elsewhere. How: written from
Stripe's list of changes, and only for the fields that the oracle reads: taxes of lines, notes and
invoices, and the refund that pays a note out.
"""

from .payload import Obj, objects

NEWER_FROM = "2025-03-31"


def is_newer(event: Obj) -> bool:
    """Whether an event is told in the newer shape."""
    return str(event.get("api_version") or "")[: len(NEWER_FROM)] >= NEWER_FROM


def older(obj: Obj) -> Obj:
    """The event's object as the older shape has it."""
    if obj.get("object") not in ("invoice", "credit_note"):
        return obj
    told = taxed(obj, "total_taxes") | {"lines": [taxed(x, "taxes") for x in objects(obj, "lines")]}
    if obj.get("refunds"):
        told["refund"] = objects(obj, "refunds")[0].get("refund")
    return told


def taxed(obj: Obj, field: str) -> Obj:
    """A line or document with its taxes as `tax_amounts`."""
    if obj.get(field) is None:
        return obj
    taxes = [tax | {"inclusive": tax.get("tax_behavior") == "inclusive"}
             for tax in objects(obj, field)]  # fmt: skip
    return obj | {"tax_amounts": taxes}
