"""Service days, schedules and proportional splits.

The problem: an amount must be cut over calendar months, or over lines, so that the parts
always add up. How: days are counted one by one, months are floored and the last absorbs;
lines get the floor of their quota and the largest remainders get the missing units.
"""

from calendar import monthrange
from datetime import date, timedelta
from fractions import Fraction


def month_end(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def period_of(day: date) -> str:
    """The natural period, YYYY-MM."""
    return f"{day.year:04d}-{day.month:02d}"


def round_half_up(value: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    size = (abs(value) + Fraction(1, 2)).__floor__()
    return size if value >= 0 else -size


def spread(amount: int, start: date, end: date) -> dict[date, int]:
    """Rows by month end for the service days from start up to, not including, end."""
    days: dict[date, int] = {}
    day = start
    while day < end:
        row_date = month_end(day)
        days[row_date] = days.get(row_date, 0) + 1
        day += timedelta(days=1)
    sign = -1 if amount < 0 else 1
    left = abs(amount)
    rows: dict[date, int] = {}
    for row_date in sorted(days)[:-1]:
        part = abs(amount) * days[row_date] // sum(days.values())
        rows[row_date] = sign * part
        left -= part
    rows[max(days)] = sign * left
    return rows


def in_proportion(amount: int, weights: dict[int, int]) -> dict[int, int]:
    """Split an amount by weight (largest remainder, ties to the lower key)."""
    whole = sum(weights.values())
    quotas = {key: Fraction(amount * weight, whole) for key, weight in weights.items()}
    parts = {key: quota.__floor__() for key, quota in quotas.items()}
    missing = amount - sum(parts.values())
    by_remainder = sorted(quotas, key=lambda key: (parts[key] - quotas[key], key))
    for key in by_remainder[:missing]:
        parts[key] += 1
    return parts


class LineState:
    """What is left of one invoice line as facts reduce it."""

    def __init__(self, net: int, service: tuple[date, date] | None) -> None:
        """Deferred over the service days, or revenue at once when there is no service."""
        self.net = net
        self.service = service
        self.at_once = 0 if service else net
        self.rows = spread(net, *service) if service else {}
        self.contra_taken = 0

    def released(self, day: date) -> int:
        """Recognised before the day, less what earlier facts took back."""
        dated_before = sum(amount for row, amount in self.rows.items() if row < day)
        return self.at_once + dated_before - self.contra_taken

    def unreleased(self, day: date) -> int:
        """Still to be recognised on the day or later."""
        return sum(amount for row, amount in self.rows.items() if row >= day)

    def left(self) -> int:
        """The net that no fact has reduced yet."""
        return self.at_once + sum(self.rows.values()) - self.contra_taken

    def cancel(self, day: date) -> tuple[int, int]:
        """Take everything left: (released part, unreleased part)."""
        released, unreleased = self.released(day), self.unreleased(day)
        self.rows = {row: amount for row, amount in self.rows.items() if row < day}
        self.contra_taken += released
        return released, unreleased

    def reduce(self, share: int, day: date) -> tuple[int, int]:
        """Take a share: (contra part, deferred part); the unreleased rest is spread anew."""
        released, unreleased = self.released(day), self.unreleased(day)
        contra = round_half_up(Fraction(share * released, released + unreleased))
        deferred = share - contra
        self.contra_taken += contra
        if self.service and unreleased:
            start = max(self.service[0], day.replace(day=1))
            self.rows = {row: amount for row, amount in self.rows.items() if row < day}
            self.rows.update(spread(unreleased - deferred, start, self.service[1]))
        return contra, deferred
