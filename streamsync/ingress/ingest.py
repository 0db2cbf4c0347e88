"""Sends recorded events through the ingress and says what became of each.

Problem: a user's own events must go the way of real webhooks, in order per account where possible,
fast, and with a report that names the line of whatever was refused. How: events of one account are
sent one after the other, accounts side by side; the summary counts every event once.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp

from streamsync.sources import SOURCES
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.delivery import Delivered, Delivery

_QUEUE_MAX = 200


@dataclass(slots=True)
class IngestReport:
    """Counts by outcome, and each event that was not stored with its place."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, Delivered]] = field(default_factory=list)
    attempts: int = 0

    @property
    def events(self) -> int:
        """How many events were sent."""
        return sum(self.counts.values())


Sent = Callable[[str, Delivered], None]
_Lane = asyncio.Queue[tuple[str, bytes] | None]


async def _drain(lane: _Lane, delivery: Delivery, report: IngestReport, sent: Sent) -> None:
    while (item := await lane.get()) is not None:
        place, body = item
        delivered = await delivery.send(body)
        report.counts["stored" if delivered.stored else delivered.reason] += 1
        report.attempts += delivered.attempts
        if not delivered.stored:
            report.failures.append((place, delivered))
        sent(place, delivered)


async def ingest(
    events: Iterator[tuple[str, bytes]],
    base_url: str,
    source: ConfiguredSource,
    *,
    concurrency: int = 32,
    patience_s: int = 120,
    sent: Sent = lambda _place, _delivered: None,
) -> IngestReport:
    """Send all events; never raises for what the ingress answers."""
    report = IngestReport()
    lanes: list[_Lane] = [asyncio.Queue(_QUEUE_MAX) for _ in range(concurrency)]
    connector = aiohttp.TCPConnector(limit=concurrency)
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):
        delivery = Delivery(session, base_url, source, patience_s=patience_s)
        for lane in lanes:
            group.create_task(_drain(lane, delivery, report, sent))
        for place, body in events:
            hint = SOURCES[source.kind].account_hint(body) or ""
            await lanes[zlib.crc32(hint.encode()) % concurrency].put((place, body))
        for lane in lanes:
            await lane.put(None)
    return report
