"""Has every account role that an entity's books may ask for an account?

Problem: a role without an account is met months later, by the first fact that needs it. How: the
roles of all journals of the profiles that an entity books by, and of its currency rules, are held
against the account rules, product by product.
"""

from __future__ import annotations

from streamsync.governance.currency_checks import conversion_roles, currency_roles
from streamsync.governance.folder import Folder
from streamsync.governance.profiles import merged, roles_used
from streamsync.governance.shapes import AccountItem, PolicyItem


def known_roles(folder: Folder) -> set[str]:
    """Roles of all profiles in use; empty when one of them is not known for sure."""
    shapes = [merged(folder.profiles, name) for name in folder.profiles]
    if not folder.policies.complete or any(shape is None for shape in shapes):
        return set()
    of_profiles = {role for shape in shapes if shape is not None for role in shape.roles}
    return of_profiles | currency_roles(folder)


def every_role_has_an_account(folder: Folder) -> None:
    """Each role that the policies of an entity use has an account for every product."""
    file = folder.files["accounts"]
    roles = known_roles(folder)
    if not (folder.accounts.complete and folder.entities.complete and folder.policies.complete):
        return
    if any(placed.item.role not in roles for placed in folder.accounts.items):
        return  # most likely the missing one, misspelt
    currencies = {
        placed.item.id: placed.item.functional_currency for placed in folder.entities.items
    }
    needed = {
        (policy.item.entity, role)
        for policy in folder.policies.items
        for role in _roles_used(folder, policy.item) & roles
        if policy.item.entity in currencies
    }
    needed -= _not_between_entities(folder) | _not_converting(folder)
    needed |= {
        (placed.item.entity, role)
        for placed in folder.currency.items
        for role in (placed.item.gain_loss_role, placed.item.unrealised_role)
        if placed.item.entity in currencies
    }
    for entity, role in sorted(needed):
        if not any(
            _covers(placed.item, role, entity, currencies[entity])
            for placed in folder.accounts.items
        ):
            text = (
                f'Role "{role}" of entity "{entity}" has no account for every product: add '
                f"{{id: ..., role: {role}, entity: {entity}, account: ...}}."
            )
            file.report(("accounts",), "role_without_account", text, key=True)


def _not_between_entities(folder: Folder) -> set[tuple[str, str]]:
    """Intercompany roles of the entities that have no account for any of them: most never sell to
    one another, and a sale that comes all the same waits (`account_unmapped`).
    """
    found = set()
    for policy in folder.policies.items:
        entity, shape = policy.item.entity, merged(folder.profiles, policy.item.profile)
        roles = roles_used(shape, "intercompany") if shape is not None else set()
        ours = [one.item for one in folder.accounts.items if one.item.entity in (None, entity)]
        if not any(rule.role in roles for rule in ours):
            found |= {(entity, role) for role in roles}
    return found


def _not_converting(folder: Folder) -> set[tuple[str, str]]:
    """Conversion roles without an account: most processors settle in the currency of the payment,
    and what is settled in another one all the same waits (`account_unmapped`).
    """
    entities = {placed.item.entity for placed in folder.policies.items}
    mapped = {
        (entity, placed.item.role)
        for placed in folder.accounts.items
        for entity in ([placed.item.entity] if placed.item.entity is not None else entities)
    }
    return {(entity, role) for entity in entities for role in conversion_roles(folder)} - mapped


def _roles_used(folder: Folder, item: PolicyItem) -> set[str]:
    shape = merged(folder.profiles, item.profile)
    return roles_used(shape, item.family) if shape is not None else set()


def _covers(rule: AccountItem, role: str, entity: str, currency: str) -> bool:
    return (
        rule.role == role
        and rule.entity in (None, entity)
        and rule.currency in (None, currency)
        and rule.product is None
    )
