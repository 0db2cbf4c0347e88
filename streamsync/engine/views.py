"""Reading rows over HTTP, from whichever worker owns them.

Problem: finance and IT ask any worker; the rows are on one. A view is a function of a readable
shard. The engine finds the owner: this worker answers from its own database, another one is asked
over HTTP, and while a partition has no ready owner the answer is 503 with `Retry-After`.

What a view sees is the last committed state, never a row of a transaction that may still abort:
it reads a snapshot of RocksDB, which is only written after a commit (step 8). It may therefore be
a fraction of a second behind what downstream consumers already read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from faust.types.web import Request, Response
from faust.web import View
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from streamsync.engine.lane import Shard
from streamsync.engine.seat import SeatState
from streamsync.engine.shard import LaneShard

if TYPE_CHECKING:
    from streamsync.engine.app import LaneApp

log = logging.getLogger(__name__)

Json = Any
Read = Callable[..., Json]
"""`read(shard, **path parts)`; `None` means that there is no such thing (404)."""

ROUTED = "X-Streamsync-Routed"
RETRY_AFTER_S = 1
_ASK_TIMEOUT_S = 10.0


class Unavailable(Exception):
    """No worker can answer for this partition right now."""

    def __init__(self, lane: str, partition: int, why: str) -> None:
        super().__init__(f"Partition {partition} of {lane} can't be read now: {why}; try again.")


class Views:
    """Registers and answers views; `app.views`."""

    def __init__(self, app: LaneApp) -> None:
        self._app = app
        self._page("/metrics", self._metrics)
        self._page("/v1/partitions", self._partitions_page)

    # -- declaring

    def by_key(
        self, path: str, lane: str, key: Callable[[Mapping[str, str]], bytes], read: Read
    ) -> None:
        """Serve `read(shard, **path parts)` from the partition that owns a key."""
        source = self._app.lanes.topology.lane(lane).source
        topology = self._app.lanes.topology

        async def page(view: View, request: Request) -> Response:
            parts = dict(request.match_info)
            partition = topology.partitioner(key(parts), topology.topic(source).partitions)
            try:
                local = await self.read_local(lane, partition, lambda shard: read(shard, **parts))
            except Unavailable as why:
                if self._is_routed(request):
                    return self._unavailable(view, why)
                return await self._route(view, request, lane, partition)
            return self._found(view, local)

        self._page(path, page)

    def everywhere(
        self, path: str, lane: str, read: Read, merge: Callable[[list[Json]], Json] = list
    ) -> None:
        """Serve what all partitions answer, merged; 503 unless every one of them does."""
        topology = self._app.lanes.topology
        count = topology.topic(topology.lane(lane).source).partitions

        async def page(view: View, request: Request) -> Response:
            parts = dict(request.match_info)
            only = request.query.get("partition")
            try:
                if only is not None:
                    if not only.isdecimal() or int(only) >= count:
                        error = f"partition={only} is none of 0 to {count - 1}."
                        return view.json({"error": error}, status=HTTPStatus.BAD_REQUEST)
                    found = await self.read_local(
                        lane, int(only), lambda shard: read(shard, **parts)
                    )
                    return self._found(view, found)
                answers = await asyncio.gather(
                    *(
                        self._ask(request, lane, partition, read, parts)
                        for partition in range(count)
                    )
                )
            except Unavailable as why:
                return self._unavailable(view, why)
            return self._found(view, merge([answer for answer in answers if answer is not None]))

        self._page(path, page)

    # -- reading

    async def read_local(self, lane: str, partition: int, read: Callable[[Shard], Json]) -> Json:
        """Run `read` over a snapshot of a partition of this worker, else raise `Unavailable`."""
        runtime = self._app.lanes.by_name[lane]
        seat = runtime.seats.get(partition)
        if seat is None or seat.state is not SeatState.ACTIVE:
            raise Unavailable(lane, partition, "it is being recovered, or owned by another worker")

        def in_thread() -> Json:
            return read(LaneShard(partition, runtime.store.snapshot(partition)))

        return await asyncio.get_running_loop().run_in_executor(self._app.lanes.pool, in_thread)

    def owner(self, lane: str, partition: int) -> URL | None:
        """The web address of the worker that owns a partition, as the group last said."""
        changelog = self._app.lanes.by_name[lane].changelog
        for host, topics in self._app.router.table_metadata(lane).items():
            if partition in topics.get(changelog, ()):
                return URL(host)
        return None

    def partitions(self) -> list[dict[str, Json]]:
        """Every partition of every lane that this worker owns or recovers."""
        rows = []
        for name, lane in self._app.lanes.by_name.items():
            for partition in sorted({*lane.seats, *lane.recovering}):
                seat = lane.seats.get(partition)
                state = SeatState.RECOVERING if seat is None else seat.state
                position = None if seat is None else seat.committed_position
                end = self._app.lanes.group.end_offset(lane.spec.source, partition)
                stored = None if seat is None else lane.store.stored(partition)
                rows.append(
                    {
                        "lane": name,
                        "source": lane.spec.source,
                        "partition": partition,
                        "owner": str(self._app.conf.canonical_url),
                        "state": str(state),
                        "position": position,
                        "end": end,
                        "lag": None if end is None or position is None else max(0, end - position),
                        "changelog_offset": stored and stored.changelog_offset,
                    }
                )
        return rows

    # -- inside

    def _page(self, path: str, handler: Callable[[View, Request], Awaitable[Response]]) -> None:
        async def page(view: View, request: Request, **_parts: str) -> Response:
            return await handler(view, request)

        # Faust names a route after its function; these are all called "page".
        self._app.page(path, name=path)(page)

    def _found(self, view: View, answer: Json) -> Response:
        if answer is None:
            return view.json({"error": "There is no such thing."}, status=HTTPStatus.NOT_FOUND)
        return view.json(answer)

    def _unavailable(self, view: View, why: Unavailable) -> Response:
        return view.json(
            {"error": str(why)},
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )

    @staticmethod
    def _is_routed(request: Request) -> bool:
        return ROUTED in request.headers

    def _elsewhere(self, lane: str, partition: int) -> URL:
        owner = self.owner(lane, partition)
        mine = self._app.conf.canonical_url
        if owner is None or (owner.host, owner.port) == (mine.host, mine.port):
            raise Unavailable(lane, partition, "it is being recovered")
        return owner

    async def _route(self, view: View, request: Request, lane: str, partition: int) -> Response:
        try:
            owner = self._elsewhere(lane, partition)
            status, body = await self._get(owner, _path(request))
        except Unavailable as why:
            return self._unavailable(view, why)
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._unavailable(view, Unavailable(lane, partition, f"its owner: {error!r}"))
        headers = (
            {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        )
        return view.text(body, content_type="application/json", status=status, headers=headers)

    async def _ask(
        self, request: Request, lane: str, partition: int, read: Read, parts: Mapping[str, str]
    ) -> Json:
        try:
            return await self.read_local(lane, partition, lambda shard: read(shard, **parts))
        except Unavailable:
            owner = self._elsewhere(lane, partition)
        query = request.url.update_query(partition=str(partition))
        try:
            return await self._get_json(owner, query.raw_path_qs, lane, partition)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(lane, partition, f"its owner: {error!r}") from error

    async def _get_json(self, owner: URL, path: str, lane: str, partition: int) -> Json:
        session = self._app.http_client
        async with session.get(
            _join(owner, path), headers={ROUTED: "1"}, timeout=_timeout()
        ) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            if answer.status != HTTPStatus.OK:
                raise Unavailable(lane, partition, f"its owner answered {answer.status}")
            return await answer.json()

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
        if not self._is_routed(request):
            mine = self._app.conf.canonical_url
            hosts = {URL(host) for host in self._app.router.tables_metadata()}
            for host in sorted(hosts - {mine}, key=str):
                try:
                    _, body = await self._get(host, _path(request))
                    rows.extend(json.loads(body)["partitions"])
                except (aiohttp.ClientError, TimeoutError, ValueError):
                    rows.append({"owner": str(host), "state": "unreachable"})
        return view.json({"partitions": rows})


def _join(owner: URL, path: str) -> URL:
    return URL(str(owner).rstrip("/") + path, encoded=True)


def _path(request: Request) -> str:
    return request.url.raw_path_qs


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=_ASK_TIMEOUT_S)
