"""Issue of a billing document: its lines, what each earns when, and what of a bundle is whose.

Problem: an invoice's lines must add up, each line needs its schedule, and what is sold together at
one price is earned by what each part would cost by itself. How: figures are checked, the net of a
bundle is shared by stand-alone selling price, and each line becomes a `LineLeft`: revenue at once,
deferred with a plan, or deferred until its contract earns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from streamsync.core.document import CannotReduce, Issued, LineLeft, sign_of, signed_total
from streamsync.core.facts import Fact, Invoice, InvoiceLine
from streamsync.core.money import allocate
from streamsync.core.schedule import Method, Plan, Service, Slice, plan, service_between

# The schedule of a line that something else earns: a row that no day reaches.
_NEVER = Plan((Slice(date.max, 1),), "last_absorbs", date.max, date.max)


def check_figures(invoice: Invoice) -> None:
    """The lines must add up to the document's own total, with the tax on the total's side."""
    tax = sum(sign_of(line) * tax.amount_minor for line in invoice.lines for tax in line.taxes)
    gross = sum(sign_of(line) * line.amount_minor for line in invoice.lines) + tax
    if gross != signed_total(invoice):
        raise CannotReduce(
            "document_total_mismatch",
            f"total {signed_total(invoice)}, net and tax of its lines add up to {gross}, "
            f"difference {signed_total(invoice) - gross}",
        )
    if tax and (tax < 0) != (gross < 0):
        raise CannotReduce(
            "tax_negative", f"tax {tax} is against the direction of the total {gross}"
        )


def issue(fact: Fact, invoice: Invoice, on: date, zone: str, method: Method) -> Issued:
    """A document of checked figures as it was issued; `method` spreads its deferred lines."""
    told = sorted(invoice.lines, key=lambda line: (line.line_no, line.line_id))
    services = [_service(line, zone) for line in told]
    deferred = [
        service for service in services if service is not None and not _at_once(service, on, method)
    ]
    longest = max((one.days for one in deferred), default=0) if method.by_longest_line else 0
    lines = tuple(
        _issue_line(line, net, service, on, method, longest)
        for line, net, service in zip(told, allocated_nets(told), services, strict=True)
    )
    tax = sum(sum(line.taxes_left) for line in lines)
    return Issued(fact, on, signed_total(invoice), tax, lines)


def allocated_nets(lines: Sequence[InvoiceLine]) -> list[int]:
    """The signed net of each line; lines of a bundle share its net by stand-alone selling price.

    Largest remainder, ties to the earlier line. A bundle is one performance after another sold at
    one price (ASC 606-10-32-31): what each earns follows what it would cost by itself.
    """
    nets = [sign_of(line) * line.amount_minor for line in lines]
    for bundle in dict.fromkeys(line.bundle for line in lines if line.bundle is not None):
        places = [at for at, line in enumerate(lines) if line.bundle == bundle]
        prices = [lines[at].standalone_minor for at in places]
        for at, price in zip(places, prices, strict=True):
            if price is None or price < 0:
                raise CannotReduce(
                    "selling_price_missing",
                    f"bundle {bundle}: line {lines[at].line_no} has stand-alone selling price "
                    f"{price}, an amount of at least 0 is required",
                )
        weights = [price or 0 for price in prices]
        whole = sum(nets[at] for at in places)
        if whole and not sum(weights):
            raise CannotReduce(
                "selling_price_missing",
                f"bundle {bundle}: {whole} to share, its selling prices add up to 0",
            )
        for at, share in zip(places, allocate(whole, weights), strict=True):
            nets[at] = share
    return nets


def _service(line: InvoiceLine, zone: str) -> Service | None:
    """The service period of a line; None when it has none of at least a day."""
    if line.service_from_ms is None or line.service_to_ms is None:
        return None
    service = service_between(line.service_from_ms, line.service_to_ms, zone)
    return service if service.has_a_day else None


def _at_once(service: Service, on: date, method: Method) -> bool:
    """Whether a service is over, or too short for the policy to defer."""
    return service.end <= on or service.days <= method.immediate_up_to_days


def _issue_line(
    line: InvoiceLine, net: int, service: Service | None, on: date, method: Method, longest: int
) -> LineLeft:
    taxes = tuple(sign_of(line) * tax.amount_minor for tax in line.taxes)
    if line.contract is not None:
        # Its contract says when it is earned (core.contract); until then it is deferred.
        return LineLeft(line, None, None, _NEVER, _NEVER.spread(net), 0, 0, taxes)
    if service is None:
        return LineLeft(line, None, None, None, (), net, 0, taxes)
    start, end = service.start, service.end
    if _at_once(service, on, method):
        return LineLeft(line, start, end, None, (), net, 0, taxes)
    slices = plan(service, method, on, longest)
    return LineLeft(line, start, end, slices, slices.spread(net), 0, 0, taxes)
