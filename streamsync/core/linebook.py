"""One invoice line as booked: what is deferred, what was earned, what reductions have taken back.

Problem: credits, refunds and voids of one line build on each other. How: an immutable book of the
line; each reduction answers the next book and how it splits into released and unreleased.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from streamsync.core.calendar import local_date
from streamsync.core.facts import InvoiceLine
from streamsync.core.revenue import Row, reduce_unreleased, released, schedule, split_share, unreleased


@dataclass(frozen=True, slots=True)
class Share:
    """How a reduction of one line splits: revenue already released, and still deferred."""

    released_minor: int
    unreleased_minor: int


@dataclass(frozen=True, slots=True)
class LineBook:
    """Amounts are at least 0; `sign` is -1 for a credit line. `rows` are empty when the line was
    revenue at once. `taken_minor`: released revenue that reductions have taken back.
    """

    line: InvoiceLine
    sign: int
    start: date | None
    end: date | None
    rows: tuple[Row, ...]
    immediate_minor: int
    taken_minor: int = 0

    @property
    def deferred(self) -> bool:
        """True when the line's net went to deferred revenue."""
        return self.end is not None

    def unreleased_at(self, day: date) -> int:
        """Not yet released before this day, minor units."""
        return unreleased(self.rows, day)

    def released_at(self, day: date) -> int:
        """Released before this day and not taken back, minor units."""
        return self.immediate_minor + released(self.rows, day) - self.taken_minor

    def left_at(self, day: date) -> int:
        """What reductions may still take, minor units."""
        return self.unreleased_at(day) + self.released_at(day)

    def reduce(self, amount_minor: int, day: date) -> tuple[LineBook, Share]:
        """Take an amount (at most what is left) on a day; the rest is spread anew."""
        contra, deferred = split_share(
            amount_minor, self.released_at(day), self.unreleased_at(day)
        )
        book = replace(self, taken_minor=self.taken_minor + contra)
        if deferred and self.start is not None and self.end is not None:
            rows = reduce_unreleased(self.rows, day, deferred, self.start, self.end)
            book = replace(book, rows=rows)
        return book, Share(contra, deferred)


def open_line(line: InvoiceLine, invoice_date: date, zone: str) -> LineBook:
    """A line as its invoice books it."""
    sign = 1 if line.direction == "charge" else -1
    if line.service_from_ms is not None and line.service_to_ms is not None:
        start = local_date(line.service_from_ms, zone)
        end = local_date(line.service_to_ms, zone)
        if start < end and end > invoice_date:
            rows = schedule(line.amount_minor, start, end)
            return LineBook(line, sign, start, end, rows, 0)
    return LineBook(line, sign, None, None, (), line.amount_minor)
