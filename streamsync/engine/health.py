"""Probes for whoever runs workers: alive, ready, recovered.

Problem: an orchestrator must not kill a worker that reads a large changelog, must not send
requests to one that can't answer, and must not restart the next worker before this one has its
partitions and its warm copies back. These are three questions, so there are three pages:

- `/v1/health/live`       the process answers at all; restart it when it doesn't
- `/v1/health/ready`      it is a confirmed member of the group: views are answered or routed
- `/v1/health/recovered`  ready, every partition of its own works, its standbys are warm

Each answers 200 or 503, with the reasons.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from faust.types.web import Request, Response
from faust.web import View

from streamsync.engine.seat import SeatState

if TYPE_CHECKING:
    from streamsync.engine.app import LaneApp

# A standby this close to its owner is promoted within a second.
WARM_WITHIN_OFFSETS = 50_000


def add_pages(app: LaneApp) -> None:
    """Serve the three pages."""

    async def live(view: View, _request: Request) -> Response:
        return _told(view, [])

    async def ready(view: View, _request: Request) -> Response:
        return _told(view, not_ready(app))

    async def recovered(view: View, _request: Request) -> Response:
        return _told(view, not_ready(app) or not_recovered(app))

    app.views.page("/v1/health/live", live)
    app.views.page("/v1/health/ready", ready)
    app.views.page("/v1/health/recovered", recovered)


def not_ready(app: LaneApp) -> list[str]:
    """Why this worker can't answer; nothing when it can."""
    if app.rebalancing or not app.lanes.in_group:
        return ["the worker group is assigning partitions"]
    if any(lane.seats for lane in app.lanes.by_name.values()):
        if not app.lanes.membership.is_confirmed():
            return ["the group has not confirmed this worker for a session time-out"]
    return []


def not_recovered(app: LaneApp) -> list[str]:
    """What is still on its way to work."""
    reasons = []
    for name, lane in app.lanes.by_name.items():
        busy = {n for n, seat in lane.seats.items() if seat.state is not SeatState.ACTIVE}
        if waiting := sorted(busy | lane.recovering):
            reasons.append(f"lane {name} recovers partitions {waiting}")
    if cold := app.lanes.standbys.cold(WARM_WITHIN_OFFSETS):
        reasons.append(f"{cold} standbys are not warm yet")
    return reasons


def _told(view: View, reasons: list[str]) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return view.json({"ok": not reasons, "reasons": reasons}, status=status)
