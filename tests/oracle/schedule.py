"""Service time, schedules and proportional splits.

The problem: an amount must be cut over calendar months, or over lines, so that the parts
always add up. How: each month of service gets a weight (days counted one by one,
milliseconds between local midnights, or a share of what first and last month leave), the
exact share is a fraction, and one of three roundings hands the odd units out.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
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
class Way:
    """How a policy releases a line: the words of a profile's `schedule`."""

    basis: str = "day"
    rounding: str = "last_absorbs"
    start: str = "service_start"
    first_release: str = "service_time"


@dataclass(frozen=True)
class Row:
    """One release: its date, its weight, and whether it is an even month between two others."""

    day: date
    weight: Fraction
    even: bool = False


@dataclass(frozen=True)
class Service:
    """A service period in epoch seconds, in an entity's zone, and how it is released.

    `document_day`: the accounting date of the invoice. `months`: of `one_month_after_start`.
    """

    start: int
    end: int
    zone: ZoneInfo
    way: Way = Way()
    document_day: date | None = None
    months: int = 1

    def begin(self) -> int:
        """Where the schedule begins by the policy's convention."""
        told = local_day(self.start, self.zone)
        document = self.document_day or told
        convention = self.way.start
        if convention == "document_date" or (convention == "later_of_both" and document > told):
            return midnight(document, self.zone)
        return midnight(moved(told, convention), self.zone) if by_month(convention) else self.start

    def over(self) -> int:
        """Where it ends."""
        convention = self.way.start
        told = local_day(self.end, self.zone)
        return midnight(moved(told, convention), self.zone) if by_month(convention) else self.end

    def rows(self) -> list[Row]:
        """All releases in order, with their weights."""
        first = local_day(self.begin(), self.zone)
        release = self.way.first_release
        if release == "one_month_after_start":
            return [Row(months_after(first, k), Fraction(1)) for k in range(1, self.months + 1)]
        if release == "daily":
            days = (local_day(self.over(), self.zone) - first).days
            return [Row(first + timedelta(days=k), Fraction(1)) for k in range(days)] or [
                Row(first, Fraction(1))
            ]
        found = self.by_months()
        last = local_day(self.over(), self.zone) - timedelta(days=1)
        if release == "month_end" and month_end(last) == found[-1].day:
            found[-1] = Row(max(last, first), found[-1].weight, found[-1].even)
        return found

    def by_months(self) -> list[Row]:
        """One row per month, dated its last day."""
        begin, over = self.begin(), self.over()
        first = month_end(local_day(begin, self.zone))
        if over <= begin:
            return [Row(first, Fraction(1))]
        if self.way.basis == "day":
            weights = self.days(begin, over)
        elif self.way.basis == "even_month":
            weights = {first: Fraction(1)}
            month = month_end(first + timedelta(days=1))
            while month < month_end(local_day(over, self.zone)):
                weights[month] = Fraction(1)
                month = month_end(month + timedelta(days=1))
        else:
            weights = self.seconds(begin, over)
        months = sorted(weights) or [first]
        even = set(months[1:-1]) if self.way.basis == "even_month_prorated" else set()
        inner = sum((weights[month] for month in even), Fraction(0))
        return [
            Row(
                month,
                inner / len(even) if month in even else weights.get(month, Fraction(1)),
                month in even,
            )
            for month in months
        ]

    def days(self, begin: int, over: int) -> dict[date, Fraction]:
        """Days of service by month: the first counts, the last does not."""
        found: dict[date, Fraction] = {}
        day = local_day(begin, self.zone)
        while day < local_day(over, self.zone):
            found[month_end(day)] = found.get(month_end(day), Fraction(0)) + 1
            day += timedelta(days=1)
        return found

    def seconds(self, begin: int, over: int) -> dict[date, Fraction]:
        """Seconds of service by month, months without any left out."""
        found = {}
        last = month_end(local_day(begin, self.zone))
        while last <= month_end(local_day(over, self.zone)):
            opens = midnight(last.replace(day=1), self.zone)
            closes = midnight(last + timedelta(days=1), self.zone)
            inside = min(closes, over) - max(opens, begin)
            if inside > 0:
                found[last] = Fraction(inside)
            last = month_end(last + timedelta(days=1))
        return found

    def spread(self, amount: int, since: date | None = None) -> dict[date, int]:
        """Amounts by date of release, over the rows dated a day or later."""
        rows = [row for row in self.rows() if since is None or row.day >= since]
        return spread_over(rows, amount, self.way.rounding)


def spread_over(rows: Sequence[Row], amount: int, rounding: str) -> dict[date, int]:
    """Amounts by date of release; a credit mirrors its charge."""
    sign = -1 if amount < 0 else 1
    whole = sum(row.weight for row in rows)
    shares = {row.day: abs(amount) * row.weight / whole for row in rows}
    if rounding == "cumulative_round":
        parts = cumulative(shares)
    elif rounding == "largest_remainder":
        parts = largest_remainder(shares, abs(amount))
    else:
        even = [row.day for row in rows if row.even]
        parts = {day: share.__floor__() for day, share in shares.items()}
        parts[max(even or shares)] += abs(amount) - sum(parts.values())
    return {day: sign * part for day, part in parts.items()}


def part_of_cut(
    rows: Sequence[Row], amounts: Mapping[date, int], first: date, last: date, day: date
) -> int:
    """What of the row that a day cuts is earned, by its days before the day.

    `first`, `last`: of the schedule; when it is over by the day, all that is dated later is earned.
    """
    if first <= last < day:
        return sum(amount for dated, amount in amounts.items() if dated >= day)
    for row in rows:
        end = min(row.day, last)
        if row.day >= day:
            before, days = (day - first).days, (end - first).days + 1
            if before <= 0:
                return 0
            share = Fraction(min(before, days), days) if days > 0 else Fraction(1)
            return round_half_up(amounts.get(row.day, 0) * share)
        first = row.day + timedelta(days=1)
    return 0


def by_month(convention: str) -> bool:
    """Whether a convention moves both ends to the first of a month."""
    return convention in ("month_start", "next_month_start", "mid_month")


def moved(day: date, convention: str) -> date:
    """A day by one of the conventions of whole months."""
    after = month_end(day) + timedelta(days=1)
    if convention == "month_start" or (convention == "mid_month" and day.day <= 15):
        return day.replace(day=1)
    return day if convention == "next_month_start" and day.day == 1 else after


def months_after(day: date, count: int) -> date:
    """So many months later; the month's last day where it has no such day."""
    month = day.month - 1 + count
    last = month_end(date(day.year + month // 12, month % 12 + 1, 1))
    return last.replace(day=min(day.day, last.day))


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
        return self.at_once + self.dated_before(day) - self.contra_taken

    def dated_before(self, day: date) -> int:
        """The rows before a day."""
        return sum(amount for row, amount in self.rows.items() if row < day)

    def unreleased(self, day: date) -> int:
        """Still to be recognised on the day or later."""
        return sum(amount for row, amount in self.rows.items() if row >= day)

    def left(self) -> int:
        """The net that no fact has reduced yet."""
        return self.at_once + sum(self.rows.values()) - self.contra_taken

    def cancel(self, day: date, *, stands: bool = False) -> tuple[int, int]:
        """Take everything left: (released part, unreleased part).

        `stands`: revenue goes on all the same, so nothing is taken out of what is deferred.
        """
        released, unreleased = self.released(day), self.unreleased(day)
        if stands:
            self.contra_taken += released + unreleased
            return released + unreleased, 0
        self.rows = {row: amount for row, amount in self.rows.items() if row < day}
        self.contra_taken += released
        return released, unreleased

    def end(self, day: date, *, release: bool) -> tuple[int, int]:
        """The service ends on a day: (what of the row that the day cuts is earned, the rest)."""
        deferred = self.unreleased(day)
        earned = self.earned_of_cut(day) if self.service else 0
        self.rows = {row: amount for row, amount in self.rows.items() if row < day}
        self.at_once += deferred if release else earned
        return earned, deferred - earned

    def earned_of_cut(self, day: date) -> int:
        """The row's amount by its days before the day (docs/policies.md, termination)."""
        service = self.service
        if service is None:
            return 0
        first = local_day(service.begin(), service.zone)
        last = local_day(service.over(), service.zone) - timedelta(days=1)
        return part_of_cut(service.rows(), self.rows, first, last, day)

    def reduce(self, share: int, day: date, treatment: str = "proportional") -> tuple[int, int]:
        """Take a share: (contra part, deferred part); the unreleased rest is spread anew."""
        contra = self.contra(share, day, treatment)
        deferred = share - contra
        unreleased = self.unreleased(day)
        self.contra_taken += contra
        if self.service and unreleased and treatment != "point_in_time":
            self.respread(unreleased - deferred, day, self.service)
        return contra, deferred

    def respread(self, left: int, day: date, service: Service) -> None:
        """What is left unreleased is earned over the months left, or in that of the day."""
        self.rows = {row: amount for row, amount in self.rows.items() if row < day}
        if not left:
            return
        goes_on = max(row.day for row in service.rows()) >= day
        again = service.spread(left, day) if goes_on else {month_end(day): left}
        for row, amount in again.items():
            self.rows[row] = self.rows.get(row, 0) + amount

    def contra(self, share: int, day: date, treatment: str) -> int:
        """What of a share comes out of revenue."""
        released, unreleased = self.released(day), self.unreleased(day)
        if self.service is None or treatment == "point_in_time":
            return share
        if treatment == "prospective":
            return share - min(share, unreleased)
        if treatment == "retrospective":
            rows = self.service.rows()
            before = sum((row.weight for row in rows if row.day < day), Fraction(0))
            whole = sum((row.weight for row in rows), Fraction(0))
            rest = released + unreleased - share
            return released - round_half_up(rest * before / whole)
        return round_half_up(Fraction(share * released, released + unreleased))

    def give(self, released: int, unreleased: int, day: date) -> None:
        """What was taken comes back; its unreleased part is earned over the months left."""
        self.contra_taken -= released
        if not unreleased or self.service is None:
            return
        self.respread(self.unreleased(day) + unreleased, day, self.service)
