"""The web views and metrics of a worker: paths to the functions of `views`.

Problem: a key may be owned by any worker, and counts must be the same everywhere. How: views by key
are answered by the owner of the key's partition, views over everything by all partitions or not at
all; the counts in `/metrics` are read from the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streamsync.core.reasons import SourceClass
from streamsync.engine.app import LaneApp
from streamsync.engine.rows import RowType
from streamsync.engine.seat import SeatState
from streamsync.engine.shard import LaneShard
from topology import ledger, views
from topology.rows import COUNT, GAUGE

_ACCOUNT = "/v1/accounts/{tenant}/{source}/{id}"


def add_views(app: LaneApp) -> None:
    """Register every page; nothing is answered before the worker has recovered."""
    lane = ledger.LANE
    by_key, everywhere = app.views.by_key, app.views.everywhere
    by_key(_ACCOUNT, lane, _account_key, _account)
    by_key(_ACCOUNT + "/subscriptions/{subscription}", lane, _account_key, _subscription)
    by_key(_ACCOUNT + "/documents/{document}", lane, _account_key, _document)
    by_key(_ACCOUNT + "/exceptions", lane, _account_key, _account_exceptions)
    by_key("/v1/totals/{tenant}/{entity}", lane, _totals_key, views.totals)
    by_key("/v1/totals/{tenant}/{entity}/{period}", lane, _totals_key, views.totals)
    everywhere("/v1/exceptions", lane, views.exceptions, _merge_exceptions)
    everywhere("/v1/exceptions/{state}", lane, _exceptions_in, _merge_exceptions)
    everywhere("/v1/counts", lane, views.counts, _merge_counts)
    everywhere("/v1/restatements", lane, views.restatements, _merge_restatements)
    app.lanes.metrics.registry.register(ClassCollector(app))


def _name(parts: Mapping[str, str]) -> str:
    return f"{parts['tenant']}/{parts['source']}/{parts['id']}"


def _account_key(parts: Mapping[str, str]) -> bytes:
    return _name(parts).encode()


def _totals_key(parts: Mapping[str, str]) -> bytes:
    return views.totals_key(parts["tenant"], parts["entity"]).encode()


def _account(shard: views.Readable, **parts: str) -> Any:
    return views.account(shard, _name(parts))


def _subscription(shard: views.Readable, **parts: str) -> Any:
    return views.subscription(shard, _name(parts), parts["subscription"])


def _document(shard: views.Readable, **parts: str) -> Any:
    return views.document(shard, _name(parts), parts["document"])


def _account_exceptions(shard: views.Readable, **parts: str) -> Any:
    return views.exceptions(shard, _name(parts), state="all")


def _exceptions_in(shard: views.Readable, state: str) -> Any:
    return views.exceptions(shard, state=state)


def _merge_exceptions(answers: list[views.Json]) -> views.Json:
    found = [record for answer in answers for record in answer["exceptions"]]
    return {"exceptions": sorted(found, key=lambda one: (one["opened_at_ms"], one["exception_id"]))}


def _merge_restatements(answers: list[views.Json]) -> views.Json:
    """Each job once, with the sums over all partitions; done when all are."""
    jobs: dict[tuple[str, str], views.Json] = {}
    for told in (one for answer in answers for one in answer["restatements"]):
        job = jobs.setdefault(
            (told["tenant"], told["job"]["id"]),
            {
                "tenant": told["tenant"],
                "job": told["job"],
                "documents_seen": 0,
                "documents_rebooked": 0,
                "partitions_done": 0,
                "partitions": len(answers),
            },
        )
        job["documents_seen"] += told["documents_seen"]
        job["documents_rebooked"] += told["documents_rebooked"]
        job["partitions_done"] += told["done"]
    return {"restatements": [jobs[name] for name in sorted(jobs)]}


def _merge_counts(answers: list[views.Json]) -> views.Json:
    opened: dict[str, int] = {}
    for answer in answers:
        for code, count in answer["open_exceptions"].items():
            opened[code] = opened.get(code, 0) + count
    return {
        "counts": {
            name: sum(answer["counts"][name] for answer in answers)
            for name in ("inputs", *SourceClass)
        },
        "in_flight": sum(answer["in_flight"] for answer in answers),
        "waiting": sum(answer["waiting"] for answer in answers),
        "open_exceptions": dict(sorted(opened.items())),
        "ticks": sorted({answer["tick"]["number"] for answer in answers}),
        "rules": [answer["rules"] for answer in answers],
        "partitions": len(answers),
    }


class ClassCollector(Collector):
    """Counts of the partitions that this worker owns, read from their committed rows."""

    def __init__(self, app: LaneApp) -> None:
        self._app = app

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Source records by class, waiting documents and open exceptions by code."""
        records = GaugeMetricFamily(
            "streamsync_source_records", "Source records by class.", labels=["class", "partition"]
        )
        waiting = GaugeMetricFamily(
            "streamsync_waiting_documents",
            "Documents with something waiting.",
            labels=["partition"],
        )
        open_now = GaugeMetricFamily(
            "streamsync_open_exceptions", "Open exceptions by code.", labels=["code", "partition"]
        )
        in_flight = GaugeMetricFamily(
            "streamsync_postings_in_flight", "Commands without an outcome.", labels=["partition"]
        )
        runtime = self._app.lanes.by_name[ledger.LANE]
        for partition, seat in list(runtime.seats.items()):
            if seat.state is not SeatState.ACTIVE:
                continue
            shard = LaneShard(partition, runtime.store.snapshot(partition))
            for name in SourceClass:
                records.add_metric([name, str(partition)], _number(shard, COUNT, name))
            for gauge, value in shard.scan(GAUGE, "open|"):
                open_now.add_metric([gauge[5:], str(partition)], value)
            waiting.add_metric([str(partition)], _number(shard, GAUGE, "waiting"))
            in_flight.add_metric([str(partition)], _number(shard, GAUGE, "in_flight"))
        return [records, waiting, open_now, in_flight]


def _number(shard: views.Readable, row: RowType[int], name: str) -> int:
    return shard.get(row, name) or 0
