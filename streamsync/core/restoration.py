"""Restoration: giving back to a document what an earlier reduction took from it.

Problem: a credit note is voided, a refund fails, a loss is paid after all: the exact amounts must
come back, and the deferred ones must be earned again over the service that is left. How: a `Taken`
names its parts line by line; the same parts are put back, all of them or a share; deferred parts
are spread anew over the months that are left, or earned in the month of the restoration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from msgspec.structs import replace

from streamsync.core.document import Issued, LineLeft, Portion, Taken
from streamsync.core.money import allocate
from streamsync.core.revenue import respread, unreleased


def restore(document: Issued, on: date, taken: Taken) -> Issued:
    """The document with the parts of a reduction put back on a day."""
    taxes = iter(taken.tax)
    lines = tuple(
        _restored(line, on, contra, deferred.amount_minor, taxes)
        for line, contra, deferred in zip(
            document.lines, taken.released, taken.unreleased, strict=True
        )
    )
    return replace(document, lines=lines)


def _restored(
    line: LineLeft, on: date, contra: Portion, deferred: int, taxes: Iterator[Portion]
) -> LineLeft:
    # A tax that was added to the line since (core.adjustment) stands behind those it had then.
    then = contra.of.line.taxes if isinstance(contra.of, LineLeft) else line.line.taxes
    back = [next(taxes).amount_minor for _ in then]
    back += [0] * (len(line.taxes_left) - len(back))
    rows = line.rows
    if deferred and line.plan is not None:
        rows = respread(rows, on, unreleased(rows, on) + deferred, line.plan)
    return replace(
        line,
        rows=rows,
        taken_released_minor=line.taken_released_minor - contra.amount_minor,
        taxes_left=tuple(left + more for left, more in zip(line.taxes_left, back, strict=True)),
    )


def share_of(taken: Taken, amount: int) -> Taken:
    """The part of a reduction that an amount stands for: all of it, or in proportion.

    A share takes from the parts above zero only (largest remainder, in their order), so that it
    never takes more of a part than there is; parts below zero come with the last share.
    """
    if amount >= taken.total_minor:
        return taken
    parts = (*taken.released, *taken.unreleased, *taken.tax)
    shares = allocate(amount, [max(part.amount_minor, 0) for part in parts])
    return _of_parts(taken, shares)


def less(taken: Taken, part: Taken) -> Taken:
    """What is left of a reduction when a part of it was put back."""
    before = (*taken.released, *taken.unreleased, *taken.tax)
    gone = (*part.released, *part.unreleased, *part.tax)
    left = [one.amount_minor - other.amount_minor for one, other in zip(before, gone, strict=True)]
    return _of_parts(taken, left)


def _of_parts(taken: Taken, amounts: Sequence[int]) -> Taken:
    given = iter(amounts)

    def with_amounts(parts: Sequence[Portion]) -> tuple[Portion, ...]:
        return tuple(replace(part, amount_minor=next(given)) for part in parts)

    return Taken(
        with_amounts(taken.released), with_amounts(taken.unreleased), with_amounts(taken.tax)
    )
