"""Do the currency rules and exchange rates of a folder fit together, and with its entities?

Problem: a role that is misspelt would value money as if it were a receivable, and a rate given
twice would be used by chance. How: roles are compared with those of the profiles in use, rates are
checked one by one and against each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamsync.core.company import CONVERSION_ROLE
from streamsync.core.rate import Rate
from streamsync.governance.folder import Folder
from streamsync.governance.problems import listed, nearest
from streamsync.governance.rates import rate_problem
from streamsync.governance.shapes import CurrencyItem, RateItem
from streamsync.governance.yaml_source import Location


def currency_roles(folder: Folder) -> set[str]:
    """Roles that only currency rules post to."""
    return {
        role
        for placed in folder.currency.items
        for role in (placed.item.gain_loss_role, placed.item.unrealised_role)
    }


def conversion_roles(folder: Folder) -> set[str]:
    """Roles by way of which money is converted; asked for by the entities that have an account."""
    return {CONVERSION_ROLE, *(placed.item.conversion_role for placed in folder.currency.items)}


def check_currency(folder: Folder) -> None:
    """Each entity once, and every role it names is one that its documents can have."""
    file, known = folder.files.get("currency"), folder.entity_ids()
    if file is None:
        return
    roles = {
        role
        for profile in folder.profiles.values()
        if profile.shape is not None
        for role in profile.shape.roles
    }
    first: dict[str, Location] = {}
    for placed in folder.currency.items:
        item, at = placed.item, placed.at
        if known is not None and item.entity not in known:
            text = f'There is no entity "{item.entity}" in entities.yaml.'
            near = nearest(item.entity, known)
            advice = f"{near} Known: {listed(known)}."
            file.report((*at, "entity"), "unknown_entity", text + advice)
        if item.entity in first:
            line = file.line(first[item.entity])
            text = f'"{item.entity}" already has rules on line {line}: keep one of the two.'
            file.report((*at, "entity"), "duplicate_id", text)
        first.setdefault(item.entity, at)
        for where, role in _named_roles(item):
            if roles and role not in roles:
                text = f'No accounting profile has a role "{role}".{nearest(role, roles)}'
                file.report((*at, *where), "unknown_role", f"{text} Known: {listed(roles)}.")


def _named_roles(item: CurrencyItem) -> Iterator[tuple[Location, str]]:
    """The roles of profiles that the rules of an entity name, with their places."""
    for key in ("spot_roles", "parked_roles", "revalued_roles"):
        for index, role in enumerate(getattr(item, key)):
            yield (key, index), role
    yield ("conversion_role",), item.conversion_role


def check_rates(folder: Folder) -> None:
    """Each rate is a number between two known currencies, and given once."""
    file, shape = folder.files.get("rates"), folder.rates
    if file is None or shape is None:
        return
    first: dict[tuple[str, str, str, str], Location] = {}
    for index, item in enumerate(shape.rates):
        at: Location = ("rates", index)
        wrong = rate_problem(rate_of(item, shape.version))
        if wrong is not None:
            file.report(at, "wrong_value", wrong)
        key = (item.type, item.from_, item.to, item.date)
        if key in first:
            text = (
                f"The {item.type} rate {item.from_} to {item.to} of {item.date} is already given "
                f"on line {file.line(first[key])}: keep one of the two."
            )
            file.report(at, "duplicate_rate", text)
        first.setdefault(key, at)


def rate_of(item: RateItem, version: int) -> Rate:
    """A line of rates.yaml as a rate."""
    return Rate(
        rate_type=item.type,
        base=item.from_,
        quote=item.to,
        date=item.date,
        rate=item.rate,
        source=item.source,
        version=version,
    )
