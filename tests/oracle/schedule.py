"""Service time, schedules and proportional splits.

The problem: an amount must be cut over calendar months, or over lines, so that the parts
always add up. How: each month of service gets a weight (days counted one by one,
milliseconds between local midnights, or a share of what first and last month leave), the
exact share is a fraction, and one of three roundings hands the odd units out.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo


def month_end(day: date) -> date:
    """The last day of the day's month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def period_of(day: date) -> str:
    """The natural period, YYYY-MM."""
    return f"{day.year:04d}-{day.month:02d}"


def local_day(at: int, zone: ZoneInfo) -> date:
    """The calendar day of a moment in the entity's zone."""
    return datetime.fromtimestamp(at, UTC).astimezone(zone).date()


def midnight(day: date, zone: ZoneInfo) -> int:
    """Epoch seconds at which a local day begins."""
    return int(datetime.combine(day, time(), zone).timestamp())


def round_half_up(value: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    size = (abs(value) + Fraction(1, 2)).__floor__()
    return size if value >= 0 else -size


@dataclass(frozen=True)
class Service:
    """A service period in epoch seconds, in an entity's zone, and how it is released."""

    start: int
    end: int
    zone: ZoneInfo
    basis: str = "day"
    rounding: str = "last_absorbs"

    def months(self) -> list[date]:
        """Every month from the one of the start to the one of the end, by last day."""
        found = [month_end(local_day(self.start, self.zone))]
        while found[-1] < month_end(local_day(self.end, self.zone)):
            found.append(month_end(found[-1] + timedelta(days=1)))
        return found

    def seconds(self) -> dict[date, Fraction]:
        """Seconds of service by month, months without any left out."""
        found = {}
        for last in self.months():
            begin = midnight(last.replace(day=1), self.zone)
            over = midnight(last + timedelta(days=1), self.zone)
            inside = min(over, self.end) - max(begin, self.start)
            if inside > 0:
                found[last] = Fraction(inside)
        return found

    def between(self) -> list[date]:
        """The even months of `even_month_prorated`: neither first nor last."""
        return sorted(self.seconds())[1:-1] if self.basis == "even_month_prorated" else []

    def weights(self) -> dict[date, Fraction]:
        """Month's last day to its weight."""
        if self.basis == "day":
            return self.days()
        if self.basis == "even_month":
            months = self.months()
            return dict.fromkeys(months[:-1] or months, Fraction(1))
        found = self.seconds()
        even = self.between()
        if even:
            inner = sum(found[month] for month in even)
            found |= dict.fromkeys(even, Fraction(inner, len(even)))
        return found

    def days(self) -> dict[date, Fraction]:
        """Days of service by month: the first counts, the last does not."""
        found: dict[date, Fraction] = {}
        day = local_day(self.start, self.zone)
        while day < local_day(self.end, self.zone):
            found[month_end(day)] = found.get(month_end(day), Fraction(0)) + 1
            day += timedelta(days=1)
        return found

    def spread(self, amount: int, since: date | None = None) -> dict[date, int]:
        """Rows by month's last day, over the months that end on a day or later."""
        weights = {
            month: weight
            for month, weight in sorted(self.weights().items())
            if since is None or month >= since
        }
        sign = -1 if amount < 0 else 1
        whole = sum(weights.values())
        shares = {month: abs(amount) * weight / whole for month, weight in weights.items()}
        if self.rounding == "cumulative_round":
            parts = cumulative(shares)
        elif self.rounding == "largest_remainder":
            parts = largest_remainder(shares, abs(amount))
        else:
            even = [month for month in self.between() if month in shares]
            absorbs = max(even or shares)
            parts = {month: share.__floor__() for month, share in shares.items()}
            parts[absorbs] += abs(amount) - sum(parts.values())
        return {month: sign * part for month, part in parts.items()}


def cumulative(shares: dict[date, Fraction]) -> dict[date, int]:
    """Each month gets what was earned up to it, rounded, less what was given before it."""
    parts = {}
    earned = Fraction(0)
    for month, share in sorted(shares.items()):
        before = round_half_up(earned)
        earned += share
        parts[month] = round_half_up(earned) - before
    return parts


def largest_remainder(shares: dict[date, Fraction], amount: int) -> dict[date, int]:
    """Floors; the units that remain go to the largest remainders, ties to the earlier month."""
    parts = {month: share.__floor__() for month, share in shares.items()}
    missing = amount - sum(parts.values())
    for month in sorted(shares, key=lambda month: (parts[month] - shares[month], month))[:missing]:
        parts[month] += 1
    return parts


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

    def __init__(self, net: int, service: Service | None) -> None:
        """Deferred over the service time, or revenue at once when there is no service."""
        self.net = net
        self.service = service
        self.at_once = 0 if service else net
        self.rows = service.spread(net) if service else {}
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
            self.rows = {row: amount for row, amount in self.rows.items() if row < day}
            self.rows.update(self.service.spread(unreleased - deferred, day))
        return contra, deferred

    def give(self, released: int, unreleased: int, day: date) -> None:
        """What was taken comes back; its unreleased part is earned over the months left."""
        self.contra_taken -= released
        if not unreleased or self.service is None:
            return
        rest = self.unreleased(day) + unreleased
        self.rows = {row: amount for row, amount in self.rows.items() if row < day}
        if max(self.service.weights()) >= day:
            again = self.service.spread(rest, day)
        else:
            again = {month_end(day): rest}
        for row, amount in again.items():
            self.rows[row] = self.rows.get(row, 0) + amount
