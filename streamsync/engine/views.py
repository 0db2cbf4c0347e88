"""Reading rows over HTTP, from whichever worker owns them.

Problem: finance and IT ask any worker; the rows are on one. A view is a function of a readable
shard. The engine finds the owner: this worker answers from its own database, another one is asked
over HTTP, and while a partition has no ready owner the answer is 503 with `Retry-After`. Who would
rather have an old answer than none says `?stale=true`: then a standby, or an owner that still
recovers, answers with `"stale": true`, the source `position` of its rows and their `lag`.

What a view sees is the last committed state, never a row of a transaction that may still abort:
it reads a snapshot of RocksDB, which is only written after a commit (step 8). It may therefore be
a fraction of a second behind what downstream consumers already read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from faust.types.web import Request, Response
from faust.web import View
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from streamsync.engine.lane import Shard
from streamsync.engine.reading import Age, Answer, Json, LocalRows, Unavailable
from streamsync.engine.seat import SeatState

if TYPE_CHECKING:
    from streamsync.engine.app import LaneApp
    from streamsync.engine.runtime import LaneRuntime

log = logging.getLogger(__name__)

Read = Callable[..., Json]
"""`read(shard, **path parts)`; `None` means that there is no such thing (404)."""

ROUTED = "X-Streamsync-Routed"
RETRY_AFTER_S = 1
_ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for one partition."""

    lane: str
    partition: int
    read: Callable[[Shard], Json]
    path: str
    """The path with which another worker is asked for the same."""
    routed: bool
    """It comes from another worker, which has asked or will ask everybody else."""
    stale: bool
    """A copy may answer when the owner can't."""

    @classmethod
    def of(
        cls,
        request: Request,
        lane: str,
        partition: int,
        read: Callable[[Shard], Json],
        path: str | None = None,
    ) -> Asked:
        return cls(
            lane, partition, read, path or request.url.raw_path_qs,
            routed=ROUTED in request.headers, stale=request.query.get("stale") == "true",
        )  # fmt: skip


class Views:
    """Registers and answers views; `app.views`."""

    def __init__(self, app: LaneApp) -> None:
        self._app = app
        self.local = LocalRows(app.lanes)
        self.page("/metrics", self._metrics)
        self.page("/v1/partitions", self._partitions_page)

    # -- declaring

    def page(self, path: str, handler: Callable[[View, Request], Awaitable[Response]]) -> None:
        """Serve a page of any kind."""

        async def page(view: View, request: Request, **_parts: str) -> Response:
            return await handler(view, request)

        # Faust names a route after its function; these are all called "page".
        self._app.page(path, name=path)(page)

    def by_key(
        self, path: str, lane: str, key: Callable[[Mapping[str, str]], bytes], read: Read
    ) -> None:
        """Serve `read(shard, **path parts)` from the partition that owns a key."""
        source = self._app.lanes.topology.lane(lane).source
        topology = self._app.lanes.topology

        async def page(view: View, request: Request) -> Response:
            parts = dict(request.match_info)
            partition = topology.partitioner(key(parts), topology.topic(source).partitions)
            asked = Asked.of(request, lane, partition, lambda shard: read(shard, **parts))
            return await self._answer(view, asked)

        self.page(path, page)

    def everywhere(
        self, path: str, lane: str, read: Read, merge: Callable[[list[Json]], Json] = list
    ) -> None:
        """Serve what all partitions answer, merged; 503 unless every one of them does."""
        topology = self._app.lanes.topology
        count = topology.topic(topology.lane(lane).source).partitions

        async def page(view: View, request: Request) -> Response:
            parts = dict(request.match_info)
            only = request.query.get("partition")

            def read_part(shard: Shard) -> Json:
                return read(shard, **parts)

            if only is not None:
                if not only.isdecimal() or int(only) >= count:
                    error = f"partition={only} is none of 0 to {count - 1}."
                    return view.json({"error": error}, status=HTTPStatus.BAD_REQUEST)
                asked = Asked.of(request, lane, int(only), read_part)
                return await self._answer(view, asked)
            paths = [
                request.url.update_query(partition=str(number)).raw_path_qs
                for number in range(count)
            ]
            try:
                answers = await asyncio.gather(
                    *(
                        self._part(Asked.of(request, lane, number, read_part, path))
                        for number, path in enumerate(paths)
                    )
                )
            except Unavailable as why:
                return self._unavailable(view, why)
            found = merge([answer.found for answer in answers if answer.found is not None])
            ages = {n: one.age for n, one in enumerate(answers) if one.age is not None}
            return view.json(found if not ages else _marked(found, ages))

        self.page(path, page)

    # -- reading

    def owner(self, lane: str, partition: int) -> URL | None:
        """The web address of the worker that owns a partition, as the group last said."""
        changelog = self._app.lanes.by_name[lane].changelog_topic
        for host, topics in self._app.router.table_metadata(lane).items():
            if partition in topics.get(changelog, ()):
                return URL(host)
        return None

    def partitions(self) -> list[dict[str, Json]]:
        """Every partition of every lane that this worker owns, recovers or keeps a copy of."""
        rows = []
        for lane in self._app.lanes.by_name.values():
            rows += [self._owned_row(lane, n) for n in sorted({*lane.seats, *lane.recovering})]
            rows += [
                self._row(lane, place[1], "standby", followed.position)
                | {"changelog_lag": followed.lag}
                for place, followed in sorted(self._app.lanes.standbys.followed.items())
                if place[0] == lane.changelog_topic
            ]
        return rows

    def _owned_row(self, lane: LaneRuntime, partition: int) -> dict[str, Json]:
        seat = lane.seats.get(partition)
        if seat is None:
            left = lane.progress.left.get(partition) if lane.progress is not None else None
            row = self._row(lane, partition, str(SeatState.RECOVERING), None)
            return row | {
                "offsets_left": left and left.rows,
                "seconds_left": left and left.seconds and round(left.seconds, 1),
            }
        end = self._app.lanes.group.end_offset(lane.spec.source, partition)
        position = seat.done_to
        return self._row(lane, partition, str(seat.state), position) | {
            "end": end,
            "lag": None if end is None else max(0, end - position),
            "changelog_offset": lane.store.changelog_offset(partition),
        }

    def _row(
        self, lane: LaneRuntime, partition: int, state: str, position: int | None
    ) -> dict[str, Json]:
        return {
            "lane": lane.spec.name,
            "source": lane.spec.source,
            "partition": partition,
            "owner": str(self._app.conf.canonical_url),
            "state": state,
            "position": position,
            "end": None,
            "lag": None,
            "changelog_offset": None,
        }

    # -- inside

    def _unavailable(self, view: View, why: Unavailable) -> Response:
        return view.json(
            {"error": str(why)},
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )

    async def _answer(self, view: View, asked: Asked) -> Response:
        try:
            answer = await self._part(asked)
        except Unavailable as why:
            return self._unavailable(view, why)
        if answer.found is None:
            nothing = Answer({"error": "There is no such thing."}, answer.age)
            return view.json(nothing.marked(), status=HTTPStatus.NOT_FOUND)
        return view.json(answer.marked())

    async def _part(self, asked: Asked) -> Answer:
        """One partition's answer: of its owner, or where that is allowed of a copy."""
        try:
            return await self._owners(asked)
        except Unavailable as why:
            if not asked.stale:
                raise
            no_owner = why
        try:
            return await self.local.stale(asked.lane, asked.partition, asked.read)
        except Unavailable:
            if asked.routed:
                raise no_owner from None
        for host in self._others():
            try:
                return await self._ask(host, asked)
            except Unavailable as why:
                log.debug("%s", why)
        raise no_owner

    async def _owners(self, asked: Asked) -> Answer:
        try:
            return await self.local.fresh(asked.lane, asked.partition, asked.read)
        except Unavailable:
            if asked.routed:
                raise
        owner = self.owner(asked.lane, asked.partition)
        mine = self._app.conf.canonical_url
        if owner is None or (owner.host, owner.port) == (mine.host, mine.port):
            raise Unavailable(asked.lane, asked.partition, "it is being recovered")
        return await self._ask(owner, asked)

    async def _ask(self, host: URL, asked: Asked) -> Answer:
        """Another worker's answer, from its own rows."""
        lane, partition = asked.lane, asked.partition
        if self._app.http_client.closed:
            raise Unavailable(lane, partition, "this worker is ending")
        try:
            status, body = await self._get(host, asked.path)
            told = json.loads(body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(lane, partition, f"{host}: {error!r}") from error
        if status == HTTPStatus.NOT_FOUND:
            return Answer(None, Answer.unmarked(told).age)
        if status != HTTPStatus.OK:
            raise Unavailable(lane, partition, f"{host} answered {status}")
        return Answer.unmarked(told)

    def _others(self) -> list[URL]:
        mine = self._app.conf.canonical_url
        return sorted({URL(host) for host in self._app.router.tables_metadata()} - {mine}, key=str)

    async def _get(self, owner: URL, path: str) -> tuple[int, str]:
        session = self._app.http_client
        async with session.get(
            _join(owner, path), headers={ROUTED: "1"}, timeout=_timeout()
        ) as answer:
            return answer.status, await answer.text()

    async def _metrics(self, view: View, _request: Request) -> Response:
        page = generate_latest(self._app.lanes.metrics.registry)
        return view.bytes(page, content_type=CONTENT_TYPE_LATEST.split(";", maxsplit=1)[0])

    async def _partitions_page(self, view: View, request: Request) -> Response:
        rows = self.partitions()
        if ROUTED not in request.headers:
            others = [] if self._app.http_client.closed else self._others()
            for host in others:
                try:
                    _, body = await self._get(host, request.url.raw_path_qs)
                    rows.extend(json.loads(body)["partitions"])
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    rows.append({"owner": str(host), "state": "unreachable"})
        return view.json({"partitions": rows})


def _marked(found: Json, ages: Mapping[int, Age]) -> Json:
    """A merged answer of which some parts are old, with their age by partition."""
    inside = found if isinstance(found, dict) else {"answer": found}
    parts = {str(n): {"position": age.position, "lag": age.lag} for n, age in ages.items()}
    return {**inside, "stale": True, "stale_partitions": parts}


def _join(owner: URL, path: str) -> URL:
    return URL(str(owner).rstrip("/") + path, encoded=True)


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=_ASK_TIMEOUT_S)
