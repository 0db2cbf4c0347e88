"""What changes between two versions of a company, one value at a time.

Problem: whoever approves a version must see what it does, not a file comparison. How: both are
flattened to `path: text` (list items by their id, journal templates as text), and the paths that
differ are listed. The order of rules decides, so it is a value of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streamsync.core.company import Company, TemplateLine


@dataclass(frozen=True, slots=True)
class Change:
    """One changed value; `before` is None when it is new, `after` when it is gone."""

    path: str
    before: str | None
    after: str | None


def diff(old: Company | None, new: Company) -> list[Change]:
    """The changed values, sorted by path."""
    before = _flat(old) if old is not None else {}
    after = _flat(new)
    return [
        Change(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _flat(company: Company) -> dict[str, str]:
    values = dict(_plain("", msgspec.to_builtins(company)))
    for assignment in company.policies:
        base = f"policies.{assignment.entity}@{assignment.effective_from}.policy.journals"
        values = {path: text for path, text in values.items() if not path.startswith(base)}
        for kind, lines in assignment.policy.journals.items():
            values[f"{base}.{kind}"] = "; ".join(map(_template_text, lines))
    for name, ids in (
        ("entity_rules", [rule.rule_id for rule in company.entity_rules]),
        ("account_rules", [rule.rule_id for rule in company.account_rules]),
    ):
        values[f"{name}.order"] = ", ".join(ids)
    return values


def _plain(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Leaves of plain data; None counts as absent."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _plain(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(item, str) for item in value):
            yield path, ", ".join(value)
            return
        for item in value:
            yield from _plain(f"{path}.{_item_name(item)}", item)
    elif value is not None:
        yield path, str(value)


def _item_name(item: Mapping[str, object]) -> str:
    for key in ("rule_id", "sla_class", "id", "code"):
        if key in item:
            return str(item[key])
    told = (item.get(key) for key in ("effective_from", "account", "purpose"))
    return f"{item.get('entity')}@{next(filter(None, told), 'all')}"


def _template_text(line: TemplateLine) -> str:
    return f"{line.side} {line.role} {line.amount}"
