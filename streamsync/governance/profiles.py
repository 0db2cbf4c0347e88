"""Accounting profiles as they stand after what they extend, and as entities use them.

Problem: most policies differ from a known one in a few words, and an entity may book one family of
events by another profile; copies of whole profiles drift apart. How: a profile may extend another
and says only what differs; `merged` puts the two together. `in_force` lays an entity's assignments
end to end and composes, for each stretch of days, one policy out of its profile and of those that
its families of events have of their own. What runs later sees only complete policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from msgspec.structs import fields

from streamsync.core.company import Choices, Policy, PolicyAssignment, TemplateLine
from streamsync.core.policy import CHOICES, JOURNAL_AMOUNTS
from streamsync.core.schedule import Method
from streamsync.governance.shapes import PolicyItem, ProfileFile, Schedule, TemplateItem
from streamsync.governance.yaml_source import YamlFile

_METHOD_DEFAULTS = {"start": "service_start", "first_release": "service_time"}


@dataclass(slots=True)
class Profile:
    """An accounting profile as read."""

    file: YamlFile
    shape: ProfileFile | None


Profiles = Mapping[str, Profile]


def ancestry(profiles: Profiles, name: str) -> list[str] | None:
    """The profile and those it extends, itself first; None for a circle or one that is missing."""
    found: list[str] = []
    at: str | None = name
    while at is not None:
        profile = profiles.get(at)
        if at in found or profile is None or profile.shape is None:
            return None
        found.append(at)
        at = profile.shape.extends
    return found


def merged(profiles: Profiles, name: str) -> ProfileFile | None:
    """The profile with all that it has from others; None while those are not sound."""
    chain = ancestry(profiles, name)
    if chain is None:
        return None
    shapes = [shape for one in reversed(chain) if (shape := profiles[one].shape) is not None]
    schedule: dict[str, object] = {}
    choices: dict[str, str] = {}
    by_reason: dict[str, str] = {}
    roles: dict[str, str] = {}
    journals: dict[str, list[TemplateItem]] = {}
    for shape in shapes:
        schedule |= shape.schedule.model_dump(exclude_none=True)
        choices |= shape.choices
        by_reason |= shape.credit_note_by_reason
        roles |= shape.roles
        journals |= shape.journals
    return shapes[-1].model_copy(
        update={
            "schedule": Schedule.model_validate(schedule),
            "choices": choices,
            "credit_note_by_reason": by_reason,
            "roles": roles,
            "journals": journals,
        }
    )


def policy_of(shape: ProfileFile) -> Policy:
    """A merged profile as the books read it."""
    said = shape.schedule.model_dump(exclude_none=True)
    return Policy(
        id=shape.profile,
        version=shape.version,
        schedule=Method(**(_METHOD_DEFAULTS | said)),
        choices=Choices(**shape.choices, credit_note_by_reason=shape.credit_note_by_reason),
        journals={
            kind: tuple(
                TemplateLine(side=line.side, role=line.role, amount=line.amount) for line in lines
            )
            for kind, lines in shape.journals.items()
        },
    )


def roles_used(shape: ProfileFile, family: str | None = None) -> set[str]:
    """Roles that the journals of a profile, or of one of its families, book to."""
    return {
        line.role
        for kind, lines in shape.journals.items()
        if family is None or _family_of(kind) == family
        for line in lines
    }


def in_force(
    entity: str, items: Sequence[PolicyItem], policies: Mapping[str, Policy]
) -> list[PolicyAssignment]:
    """The policies of one entity, one after another; `items` are its sound assignments."""
    general = [item for item in items if item.family is None]
    begins = sorted(
        {item.from_ for item in items}
        | {_day_after(item.through) for item in items if item.family and item.through}
    )
    found: list[PolicyAssignment] = []
    for begin in begins:
        base = _at(general, begin)
        if base is None:
            continue
        policy = policies[base.profile]
        for item in _families_at(items, begin):
            policy = _with_family(policy, item.family or "", policies[item.profile])
        if not found or found[-1].policy != policy:
            found.append(PolicyAssignment(entity=entity, policy=policy, effective_from=begin))
    return found


def _at(items: Iterable[PolicyItem], day: str) -> PolicyItem | None:
    covering = (
        item
        for item in items
        if item.from_ <= day and (item.through is None or day <= item.through)
    )
    return next(covering, None)


def _families_at(items: Iterable[PolicyItem], day: str) -> list[PolicyItem]:
    own = [
        item
        for item in items
        if item.family and item.from_ <= day and (item.through is None or day <= item.through)
    ]
    return sorted(own, key=lambda item: item.family or "")


def _with_family(policy: Policy, family: str, other: Policy) -> Policy:
    """A policy with one family of events as another has it; id and version name both."""
    journals = {
        kind: (other if _family_of(kind) == family else policy).journals[kind]
        for kind in policy.journals
    }
    chosen = {
        field.name: (other if _family_of_choice(field.name) == family else policy).choices
        for field in fields(Choices)
    }
    return Policy(
        id=f"{policy.id}+{family}:{other.id}",
        version=f"{policy.version}+{other.version}",
        schedule=other.schedule if family == "invoices" else policy.schedule,
        choices=Choices(**{name: getattr(choices, name) for name, choices in chosen.items()}),
        journals=journals,
    )


def _family_of(kind: str) -> str | None:
    shape = JOURNAL_AMOUNTS.get(kind)
    return shape.family if shape is not None else None


def _family_of_choice(name: str) -> str:
    # The only choice that is a table belongs to the same family as the one it overrides.
    return CHOICES["credit_note" if name == "credit_note_by_reason" else name].family


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
