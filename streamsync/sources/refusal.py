"""Why a payload cannot become facts: one exception, caught at the door of every source.

Problem: a payload is outside data, and any piece of it may be wrong. How: readers raise `Refusal`
with a reason code, the place and the figures; `read_event` turns it into the outcome of the event.
Nothing else leaves a source.
"""

from __future__ import annotations

from collections.abc import Sequence


class Refusal(Exception):
    """`outcome` is rejected, waiting or unknown; `detail` names place and figures, never names,
    addresses or other content of the payload.
    """

    def __init__(self, reason: str, detail: str, outcome: str = "rejected") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.outcome = outcome


def first_repeated(ids: Sequence[str]) -> int | None:
    """The place of the first id that came before."""
    seen: set[str] = set()
    for place, name in enumerate(ids):
        if name in seen:
            return place
        seen.add(name)
    return None
