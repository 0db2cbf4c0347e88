"""Do the accounting profiles book soundly, and is one in force on every day of every entity?

Problem: a template that does not balance would be refused by the ERP months later, on the first
odd fact; a day without a policy leaves entries waiting. How: templates are checked symbolically by
`core.policy` for all possible amounts; assignments are laid end to end per entity.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from streamsync.core.company import TemplateLine
from streamsync.core.policy import CHOICES, JOURNAL_AMOUNTS, check_template
from streamsync.governance.folder import Folder
from streamsync.governance.problems import UnknownProfile, listed, nearest
from streamsync.governance.profiles import Profile, merged
from streamsync.governance.reading import Placed
from streamsync.governance.shapes import PolicyItem, ProfileFile, TemplateItem
from streamsync.governance.yaml_source import Location, YamlFile


def check_profiles(folder: Folder) -> None:
    """Every profile in use says how to release and has a sound journal for every kind."""
    for name, profile in folder.profiles.items():
        if profile.shape is not None and _check_base(folder, name, profile, profile.shape):
            whole = merged(folder.profiles, name)
            if whole is not None:
                _check_profile(profile, profile.shape, whole)


def _check_base(folder: Folder, name: str, profile: Profile, shape: ProfileFile) -> bool:
    """Whether what a profile extends is there, in time, and does not lead back to itself."""
    base, at = shape.extends, ("extends",)
    if base is None:
        return True
    if base not in folder.profile_names:
        text = str(UnknownProfile(base, folder.profile_names))
        profile.file.report(at, "unknown_profile", text)
        return False
    if _leads_to(folder, base, name):
        text = f'"{base}" extends this profile itself: one of them must stand by its own.'
        profile.file.report(at, "profile_circle", text)
        return False
    found = folder.profiles[base].shape
    if found is not None and shape.effective_from < found.effective_from:
        text = f'Profile "{base}" is effective from {found.effective_from}: start no earlier.'
        profile.file.report(("effective_from",), "policy_before_profile", text)
    return True


def _leads_to(folder: Folder, base: str, name: str) -> bool:
    seen: set[str] = set()
    at: str | None = base
    while at is not None and at not in seen:
        if at == name:
            return True
        seen.add(at)
        shape = folder.profiles[at].shape if at in folder.profiles else None
        at = shape.extends if shape is not None else None
    return False


def _check_profile(profile: Profile, own: ProfileFile, shape: ProfileFile) -> None:
    """`own`: what stands in the file; `shape`: with what it has from others."""
    file = profile.file
    for key in ("basis", "rounding"):
        if getattr(shape.schedule, key) is None:
            file.report(("schedule",), "missing_key", f'"{key}" is missing: add it.', key=True)
    if shape.schedule.first_release == "daily" and shape.schedule.basis != "day":
        text = f'A daily release needs basis day, here it is {shape.schedule.basis}: write "day".'
        file.report(("schedule", "basis"), "wrong_value", text)
    _check_choices(file, own)
    for kind in JOURNAL_AMOUNTS:
        if kind not in shape.journals:
            text = f'There is no journal "{kind}": add it.'
            file.report(("journals",), "missing_key", text, key=True)
    for kind, lines in own.journals.items():
        at: Location = ("journals", kind)
        if kind not in JOURNAL_AMOUNTS:
            text = f'"{kind}" is no kind of journal.{nearest(kind, JOURNAL_AMOUNTS)}'
            known = f"Known: {listed(JOURNAL_AMOUNTS)}."
            file.report(at, "unknown_key", f"{text} {known}", key=True)
            continue
        _check_roles(file, at, shape, lines)
        _check_amounts(file, at, kind, lines)


def _check_choices(file: YamlFile, own: ProfileFile) -> None:
    for name, value in own.choices.items():
        choice = CHOICES.get(name)
        if choice is None:
            text = f'"{name}" is no choice of a profile.{nearest(name, CHOICES)}'
            file.report(
                ("choices", name), "unknown_key", f"{text} Known: {listed(CHOICES)}.", key=True
            )
        elif value not in choice.values:
            text = f'"{value}" is no value of "{name}".{nearest(value, choice.values)}'
            known = f"Known: {listed(choice.values)}."
            file.report(("choices", name), "wrong_value", f"{text} {known}")


def _check_roles(
    file: YamlFile, at: Location, shape: ProfileFile, lines: list[TemplateItem]
) -> None:
    for index, line in enumerate(lines):
        if line.role not in shape.roles:
            text = f'"{line.role}" is no role of this profile.{nearest(line.role, shape.roles)}'
            known = f"Known: {listed(shape.roles)}."
            file.report((*at, index, line.side), "unknown_role", f"{text} {known}")


def _check_amounts(file: YamlFile, at: Location, kind: str, lines: list[TemplateItem]) -> None:
    template = tuple(
        TemplateLine(side=line.side, role=line.role, amount=line.amount) for line in lines
    )
    for sentence in check_template(kind, template):
        advice = "Correct the template: debits must equal credits for every possible fact."
        text = f"{sentence.rstrip('.')}. {advice}"
        file.report(at, "unbalanced_template", text, key=True)


def check_policies(folder: Folder) -> None:
    """Every entity books by exactly one profile on every day from the company's first."""
    file = folder.files["policies"]
    known = folder.entity_ids()
    by_entity: dict[str, list[Placed[PolicyItem]]] = {name: [] for name in sorted(known or ())}
    by_family: dict[tuple[str, str], list[Placed[PolicyItem]]] = {}
    for placed in folder.policies.items:
        _check_profile_of(folder, file, placed)
        name = placed.item.entity
        if name in by_entity and placed.item.family is not None:
            by_family.setdefault((name, placed.item.family), []).append(placed)
        elif name in by_entity:
            by_entity[name].append(placed)
        elif known is not None:
            text = f'There is no entity "{name}" in entities.yaml.{nearest(name, known)}'
            file.report((*placed.at, "entity"), "unknown_entity", f"{text} Known: {listed(known)}.")
    if folder.policies.complete:
        for entity, assignments in by_entity.items():
            _check_days(folder, file, entity, assignments)
        for (entity, family), assignments in by_family.items():
            _check_family(file, f'"{entity}" has two policies for {family}', assignments)


def _check_family(file: YamlFile, what: str, assignments: list[Placed[PolicyItem]]) -> None:
    """A family may have days without a profile of its own, but none with two."""
    ordered = sorted(assignments, key=lambda placed: placed.item.from_)
    if not _each_ends_after_its_start(file, ordered):
        return
    for placed, following in pairwise(ordered):
        start = following.item.from_
        if placed.item.through is None or placed.item.through >= start:
            text = (
                f'Entity {what} on {start}: set "through" on line {file.line(placed.at)} to '
                f"{_day_before(start)}."
            )
            file.report((*following.at, "from"), "policy_overlap", text)


def _each_ends_after_its_start(file: YamlFile, ordered: list[Placed[PolicyItem]]) -> bool:
    for placed in ordered:
        if placed.item.through is not None and placed.item.through < placed.item.from_:
            text = f"It ends before it starts on {placed.item.from_}: correct one of the dates."
            file.report((*placed.at, "through"), "wrong_value", text)
            return False
    return True


def _check_profile_of(folder: Folder, file: YamlFile, placed: Placed[PolicyItem]) -> None:
    name = placed.item.profile
    if name not in folder.profile_names:
        text = str(UnknownProfile(name, folder.profile_names))
        file.report((*placed.at, "profile"), "unknown_profile", text)
        return
    shape = folder.profiles[name].shape
    if shape is not None and placed.item.from_ < shape.effective_from:
        text = f'Profile "{name}" is effective from {shape.effective_from}: start no earlier.'
        file.report((*placed.at, "from"), "policy_before_profile", text)


def _check_days(
    folder: Folder, file: YamlFile, entity: str, assignments: list[Placed[PolicyItem]]
) -> None:
    if not assignments:
        text = (
            f'Entity "{entity}" has no policy: add {{entity: {entity}, profile: ..., from: ...}}.'
        )
        file.report(("policies",), "policy_gap", text, key=True)
        return
    ordered = sorted(assignments, key=lambda placed: placed.item.from_)
    first = ordered[0]
    if folder.company is not None and first.item.from_ > folder.company.effective_from:
        text = (
            f'Entity "{entity}" has no policy from {folder.company.effective_from}, when these '
            f"rules start, to the day before {first.item.from_}: start it earlier."
        )
        file.report((*first.at, "from"), "policy_gap", text)
    if not _each_ends_after_its_start(file, ordered):
        return
    for placed, following in pairwise(ordered):
        _check_seam(file, entity, placed, following)
    last = ordered[-1]
    if last.item.through is not None:
        text = (
            f'Entity "{entity}" has no policy after {last.item.through}: '
            'leave "through" out of the last one, or add the one that follows.'
        )
        file.report((*last.at, "through"), "policy_gap", text)


def _check_seam(
    file: YamlFile, entity: str, one: Placed[PolicyItem], following: Placed[PolicyItem]
) -> None:
    start = following.item.from_
    if one.item.through is None or one.item.through >= start:
        until = f"through {one.item.through}" if one.item.through is not None else "without an end"
        text = (
            f'Entity "{entity}" has two policies on {start}: the one on line {file.line(one.at)} '
            f'runs {until}. Set its "through" to {_day_before(start)}.'
        )
        file.report((*following.at, "from"), "policy_overlap", text)
    elif one.item.through < _day_before(start):
        text = (
            f'Entity "{entity}" has no policy between {one.item.through} and {start}: '
            f'set "through" on line {file.line(one.at)} to {_day_before(start)}.'
        )
        file.report((*following.at, "from"), "policy_gap", text)


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
