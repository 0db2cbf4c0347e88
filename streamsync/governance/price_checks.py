"""Do the prices of usage price every quantity, on every day once?

Problem: a quantity that no tier holds, or two prices of one day, would leave usage unpriced or
priced by chance. How: tiers rise and end open, and a price has one item per currency and day.
"""

from __future__ import annotations

from fractions import Fraction

from streamsync.core import money
from streamsync.governance.folder import Folder
from streamsync.governance.reading import Placed
from streamsync.governance.shapes import PriceItem
from streamsync.governance.yaml_source import YamlFile


def check_prices(folder: Folder) -> None:
    """Each price of prices.yaml has sound tiers, and one item per currency and day."""
    file = folder.files.get("prices")
    if file is None:
        return
    first: dict[tuple[str, str, str], int] = {}
    for placed in folder.prices.items:
        item = placed.item
        if not money.is_currency(item.currency):
            text = f'There is no currency "{item.currency}": use a code of ISO 4217 in capitals.'
            file.report((*placed.at, "currency"), "unknown_currency", text)
        day = (item.id, item.currency, item.from_)
        if day in first:
            text = (
                f'"{item.id}" in {item.currency} from {item.from_} is already on line '
                f'{first[day]}: give another "from", or remove one.'
            )
            file.report((*placed.at, "from"), "duplicate_id", text)
        first.setdefault(day, file.line(placed.at))
        _check_tiers(file, placed)


def _check_tiers(file: YamlFile, placed: Placed[PriceItem]) -> None:
    before = Fraction(0)
    last = len(placed.item.tiers) - 1
    for index, tier in enumerate(placed.item.tiers):
        at = (*placed.at, "tiers", index)
        if tier.up_to is None:
            if index != last:
                text = 'This tier has no "up_to", so none after it is reached: add one.'
                file.report(at, "tier_open", text)
            continue
        if index == last:
            text = f'Nothing prices what exceeds {tier.up_to}: leave "up_to" out of the last tier.'
            file.report((*at, "up_to"), "tier_open", text)
        if Fraction(tier.up_to) <= before:
            text = f'"up_to" must be above {before}, the end of the tier before.'
            file.report((*at, "up_to"), "wrong_value", text)
        before = Fraction(tier.up_to)
