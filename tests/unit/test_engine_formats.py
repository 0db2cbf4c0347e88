"""Releases that share a state: what fits, what is written down, what refuses to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

import topology
from streamsync.contracts import Contracts
from streamsync.engine.formats import (
    FormatError,
    Formats,
    LaneFormat,
    RowFormat,
    fit,
    formats_of,
    layout,
)
from streamsync.engine.lane import LaneSpec, Output, TopicSpec, Topology
from streamsync.engine.partitioner import account_partition
from streamsync.engine.rows import RowType, rows_of
from topology import build, rows


class Balance(msgspec.Struct, frozen=True, array_like=True):
    amount: int
    currency: str


class Wider(msgspec.Struct, frozen=True, array_like=True):
    amount: int
    currency: str
    note: str | None = None


def nothing(*_: object) -> Iterable[Output]:
    return ()


def release(row_types: Sequence[RowType[Any]], source: str = "in", partitions: int = 4) -> Topology:
    return Topology(
        "app", (LaneSpec("lane", source, nothing, nothing, rows=row_types),),
        (TopicSpec(source, partitions),), account_partition,
    )  # fmt: skip


OLD = release([RowType("bal", 1, Balance)])
RECORDED = formats_of(OLD)


def later(**changes: Any) -> dict[str, LaneFormat]:
    return {"lane": msgspec.structs.replace(RECORDED["lane"], **changes)}


def test_the_first_worker_writes_down_what_it_writes_and_the_next_one_adds_nothing() -> None:
    assert fit(OLD, {}) == RECORDED
    assert fit(OLD, RECORDED) == {}


def test_a_release_that_reads_the_old_rows_joins_and_adds_its_own_which_the_old_one_refuses() -> (
    None
):
    new = release([RowType("bal", 2, Wider, {1: lambda _: Wider(0, "")}), RowType("x", 1, int)])
    recorded = {**RECORDED, **fit(new, RECORDED)}
    assert {tag: row.version for tag, row in recorded["lane"].rows.items()} == {"bal": 2, "x": 1}
    assert fit(new, recorded) == {}
    with pytest.raises(FormatError, match=r"rows 'bal' of version 2; this worker reads 1: start"):
        fit(OLD, recorded)


def test_a_release_that_only_reads_the_later_rows_leaves_their_format_as_it_is() -> None:
    later = release([RowType("bal", 2, Wider, {1: lambda _: Wider(0, "")})])
    reader = release([RowType("bal", 1, Balance, {2: lambda _: Balance(0, "")})])
    recorded = fit(later, {})
    assert fit(reader, recorded) == {}
    more = release(
        [RowType("bal", 1, Balance, {2: lambda _: Balance(0, "")}), RowType("x", 1, int)]
    )
    added = fit(more, recorded)["lane"].rows
    assert added == {**recorded["lane"].rows, "x": RowFormat(1, layout(int))}


@pytest.mark.parametrize(
    ("ours", "recorded", "told"),
    [
        (release([RowType("bal", 2, Wider)]), RECORDED, "of version 1; this worker reads 2"),
        (release([]), RECORDED, "rows 'bal' of version 1; this worker reads none"),
        (release([RowType("bal", 1, Wider)]), RECORDED, "in another layout than this worker's"),
        (release([RowType("bal", 1, Balance)], source="other"), RECORDED, "comes from topic 'in'"),
        (release([RowType("bal", 1, Balance)], partitions=8), RECORDED, "with 4 partitions; this"),
        (OLD, later(changelog=9), "has changelog format 9, this worker reads 1"),
    ],
)
def test_what_would_be_read_wrongly_refuses_and_says_what_to_do(
    ours: Topology, recorded: dict[str, LaneFormat], told: str
) -> None:
    with pytest.raises(FormatError, match=told) as raised:
        fit(ours, recorded)
    assert any(word in str(raised.value) for word in ("start the release", "use another app id"))


def test_a_layout_is_what_shows_in_the_bytes() -> None:
    class Renamed(msgspec.Struct, frozen=True, array_like=True):
        """Another name and other words, the same bytes."""

        amount: int
        currency: str = "USD"

    assert layout(Renamed) == layout(Balance)
    kinds = [Balance, Wider, int, str, dict[str, int], dict[str, str], tuple[int, ...], list[str]]
    assert len({layout(kind) for kind in kinds}) == len(kinds)


def test_layouts_are_the_same_in_every_process() -> None:
    """Sets and hashes have another order in each; a worker would refuse its own state."""
    code = (
        "from topology import rows; from streamsync.engine.formats import layout;"
        "from streamsync.engine.rows import rows_of;"
        "print(*(layout(row.cls) for row in rows_of(rows)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == [layout(row.cls) for row in rows_of(rows)]


def test_every_row_type_of_the_topology_is_declared_by_the_lane_that_keeps_it() -> None:
    """One that is left out would be read wrongly by another release, without a sound."""
    topology_ = build(Contracts.in_memory(), tenant="acme", partitions=4, app_id="app")
    declared = {row.tag for lane in topology_.lanes for row in lane.rows}
    modules = [import_module(f"topology.{found.name}") for found in iter_modules(topology.__path__)]
    assert declared == {row.tag for row in rows_of(*modules)}


def test_a_record_is_read_back_as_it_was_written() -> None:
    told = msgspec.json.decode(msgspec.json.encode(RECORDED["lane"]), type=LaneFormat)
    assert told == RECORDED["lane"]
    assert told.rows == {"bal": RowFormat(1, layout(Balance))}


@pytest.mark.parametrize("refused", [None, KafkaError(KafkaError._MSG_TIMED_OUT)])
def test_a_worker_whose_formats_nobody_took_does_not_start(
    monkeypatch: pytest.MonkeyPatch, refused: KafkaError | None
) -> None:
    class FakeProducer:
        """As librdkafka: what it gave up is not in its queue any more."""

        def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
            on_delivery(refused, None)

        def flush(self, _timeout_s: float) -> int:
            return 0

    cluster: Any = SimpleNamespace(producer=FakeProducer)
    monkeypatch.setattr(Formats, "_recorded", lambda _self: {})
    formats = Formats(cluster, OLD)
    if refused is None:
        formats.take_part()
    else:
        with pytest.raises(FormatError, match="did not take"):
            formats.take_part()
