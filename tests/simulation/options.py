"""What one run does, drawn from its seed; every field can be set by hand to narrow a failure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Options:
    """One run. Everything else follows from these and the seed."""

    seed: int
    company: int
    partitions: int
    workers: int
    accounts: int
    batch_max: int
    steps_max: int
    """Batches that may run between two things that arrive."""
    window: int
    """How far from their time webhooks may arrive, in places."""
    duplicates: int
    redeliver: bool
    crashes: int
    wipe_percent: int
    commit_errors: int
    handovers: int
    late_customers: int
    late_rules: bool
    new_rules: bool
    close_period: bool
    poison: int
    tick_gaps: int
    odd_percent: int
    """How many of the ERP's answers are late, refused, altered, missing or doubled."""
    again_percent: int
    """How many commands and confirmations are delivered twice."""
    summaries: bool
    """Whether releases of revenue post as summaries, or per document."""
    portable: bool
    """Whether records are read and written by fastavro, also where the codec was compiled."""

    def __str__(self) -> str:
        return " ".join(f"{one.name}={getattr(self, one.name)}" for one in fields(self))


def draw(seed: int, given: Mapping[str, int] | None = None) -> Options:
    """The options of a seed, some of them replaced."""
    rng = random.Random(f"{seed}/options")
    drawn = Options(
        seed=seed,
        company=rng.randrange(6),
        partitions=rng.choice((1, 2, 2, 3)),
        workers=rng.choice((1, 2, 2, 2)),
        accounts=rng.randint(3, 8),
        batch_max=rng.choice((1, 3, 10, 40)),
        steps_max=rng.choice((1, 2, 5)),
        window=rng.choice((1, 10, 60, 300)),
        duplicates=rng.randint(1, 6),
        redeliver=rng.random() < 0.5,
        crashes=rng.randint(3, 6),
        wipe_percent=rng.choice((0, 30, 100)),
        commit_errors=rng.randint(0, 3),
        handovers=rng.randint(1, 4),
        late_customers=rng.randint(0, 2),
        late_rules=rng.random() < 0.3,
        new_rules=rng.random() < 0.5,
        close_period=rng.random() < 0.4,
        poison=rng.randint(1, 5),
        tick_gaps=rng.randint(0, 2),
        odd_percent=rng.choice((0, 20, 60)),
        again_percent=rng.choice((10, 30)),
        summaries=rng.random() < 0.5,
        portable=rng.random() < 0.3,
    )
    known = {one.name: one.type for one in fields(Options) if one.name != "seed"}
    for name in given or {}:
        if name not in known:
            raise ValueError(f"There is no option {name!r}: use {', '.join(known)}.")
    changed = {
        name: bool(value) if known[name] == "bool" else value
        for name, value in (given or {}).items()
    }
    return replace(drawn, **changed)  # type: ignore[arg-type]
