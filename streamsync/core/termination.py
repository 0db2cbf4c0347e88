"""A service that ends early, by a policy that stops its schedule.

Problem: what was billed for the time after the end will never be earned. How: what was served until
the day is earned, also within the month that the day cuts; what is left over is answered apart, for
the policy to refund, credit or release.
"""

from __future__ import annotations

from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.document import Issued, LineLeft, Portion
from streamsync.core.revenue import released, served, terminate


class Stopped(Struct, frozen=True):
    """What of a stopped schedule was served, and what is left over, by line; and the discount on
    what of it is revenue.
    """

    earned: tuple[Portion, ...]
    rest: tuple[Portion, ...]
    discount: tuple[Portion, ...]

    @property
    def total_minor(self) -> int:
        """The deferred revenue that the stop ends."""
        return sum(part.amount_minor for part in (*self.earned, *self.rest))


def stop(
    document: Issued, on: date, subscription: str | None = None, *, release: bool
) -> tuple[Issued, Stopped]:
    """The service ends early, on a day: what was served until then is earned, the rest is left.

    `subscription`: only its lines end; None: all. `release`: the rest is revenue as well; else the
    document is smaller by it.
    """
    after: list[LineLeft] = []
    earned: list[Portion] = []
    rest: list[Portion] = []
    discounts: list[Portion] = []
    for line in document.lines:
        if line.line.contract is not None or not _belongs(document, line, subscription):
            after.append(line)
            continue
        deferred = line.unreleased_left(on)
        now = _served(line, on)
        earned.append(Portion(now, line))
        rest.append(Portion(deferred - now, line))
        revenue, before = deferred if release else now, released(line.rows, on)
        discounts.append(Portion(line.discount(before, before + revenue), line))
        after.append(
            replace(
                line,
                rows=terminate(line.rows, on),
                at_once_minor=line.at_once_minor + revenue,
            )
        )
    ended = Stopped(tuple(earned), tuple(rest), tuple(discounts))
    return replace(document, lines=tuple(after)), ended


def _belongs(document: Issued, line: LineLeft, subscription: str | None) -> bool:
    """Whether a line bills a subscription: by its own word, else by its document's."""
    told = line.line.subscription or document.fact.subscription
    return subscription is None or told in (None, subscription)


def _served(line: LineLeft, on: date) -> int:
    """What of a line's deferred amount was served before a day, and not revenue yet."""
    if line.plan is None:
        return 0
    return served(line.rows, line.plan, on) - released(line.rows, on)
