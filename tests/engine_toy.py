"""A toy topology for the engine's tests on Kafka, and its worker process.

`numbers` (P partitions) and `orders` (1 partition) are sequenced into `log`; the ledger adds
numbers up per account, writes every sum, and sends every third number to a neighbour account by
a loop-back. Nothing here knows the engine's insides; `expected` recomputes the result from the
inputs with a dictionary.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import faust
import msgspec

from streamsync.config import Settings
from streamsync.engine.app import LaneApp, build_app, run_worker
from streamsync.engine.commit import CommitStep
from streamsync.engine.lane import (
    LaneSpec,
    Output,
    Poison,
    Shard,
    SourceRecord,
    TopicSpec,
    Topology,
)
from streamsync.engine.partitioner import account_partition
from streamsync.engine.rows import RowType

# Version 2 is a later release's, which reads what this one wrote.
_VERSION = int(os.environ.get("TOY_ROW_VERSION", "1"))
TOTAL = RowType(
    "total", _VERSION, int, {} if _VERSION == 1 else {1: msgspec.msgpack.Decoder(int).decode}
)
SEEN = RowType("seen", 1, bool)
CLOCK_JUMPS_S = (0, -86_400, 3_600, -365 * 86_400)


def toy(prefix: str, partitions: int = 4) -> Topology:
    """The topology with all its names under a prefix, so that tests don't meet."""
    numbers, orders, log = f"{prefix}.numbers", f"{prefix}.orders", f"{prefix}.log"
    sums, dead = f"{prefix}.sums", f"{prefix}.dead-letters"

    def sequence(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        if record.value is None or not record.value.isdigit():
            raise Poison("not_a_number", repr(record.value))
        # The id is the source position: the same for ever.
        origin = f"{record.topic}-{record.partition}-{record.offset}".encode()
        if record.topic == orders:
            for partition in range(partitions):
                yield Output(log, None, record.value + b" order " + origin, partition)
        else:
            yield Output(log, record.key, record.value + b" number " + origin)

    def ledger(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        assert record.value is not None
        number, kind, origin = record.value.split(b" ")
        if kind == b"order":
            shard.put(TOTAL, "order", int(number))
            return
        assert record.key is not None
        account = record.key.decode()
        if kind == b"neighbour":
            # A loop-back may come twice.
            if shard.get(SEEN, origin.decode()):
                return
            shard.put(SEEN, origin.decode(), True)
        total = (shard.get(TOTAL, account) or 0) + int(number)
        shard.put(TOTAL, account, total)
        yield Output(sums, record.key, b"%d %b %b" % (total, kind, origin))
        if kind == b"number" and int(number) % 50 == 0:
            yield Output(f"{prefix}.fifties.{int(number) % 3}", record.key, number)
        if kind == b"number" and int(number) % 3 == 0:
            yield Output(log, b"neighbour-" + record.key, number + b" neighbour " + origin)

    def dead_letter(record: SourceRecord, poison: Poison) -> Iterable[Output]:
        yield Output(dead, record.key, poison.reason.encode())

    def topic_for(name: str) -> TopicSpec | None:
        return TopicSpec(name, 2) if name.startswith(f"{prefix}.fifties.") else None

    return Topology(
        app_id=prefix,
        lanes=(
            LaneSpec("sequence-numbers", numbers, sequence, dead_letter),
            LaneSpec("sequence-orders", orders, sequence, dead_letter),
            LaneSpec("ledger", log, ledger, dead_letter, rows=(TOTAL, SEEN)),
        ),
        topics=(
            *(TopicSpec(name, partitions) for name in (numbers, log, sums, dead)),
            TopicSpec(orders, 1),
            *(TopicSpec(f"{prefix}.{name}", partitions) for name in ("stock", "stock-counts")),
        ),
        partitioner=account_partition,
        topic_for=topic_for,
    )


def expected(numbers: Iterable[tuple[bytes, bytes]]) -> dict[str, int]:
    """What every account must hold."""
    totals: dict[str, int] = {}
    for key, value in numbers:
        if not value.isdigit():
            continue
        account, number = key.decode(), int(value)
        totals[account] = totals.get(account, 0) + number
        if number % 3 == 0:
            neighbour = "neighbour-" + account
            totals[neighbour] = totals.get(neighbour, 0) + number
    return totals


def add_views(app: LaneApp) -> None:
    def total(shard: Shard, account: str) -> object:
        found = shard.get(TOTAL, account)
        return None if found is None else {"account": account, "total": found}

    def totals(shard: Shard) -> object:
        return dict(shard.scan(TOTAL))

    def merged(parts: list[dict[str, int]]) -> object:
        return {account: total for part in parts for account, total in part.items()}

    app.views.by_key(
        "/v1/totals/{account}", "ledger", lambda parts: parts["account"].encode(), total
    )
    app.views.everywhere("/v1/totals", "ledger", totals, merged)


def add_stock_agent(app: LaneApp, prefix: str, partitions: int) -> None:
    """An ordinary Faust agent with an ordinary Faust table, beside the lanes."""
    counts = app.Table("stock", default=int, partitions=partitions, key_type=str)
    counted = app.topic(f"{prefix}.stock-counts", key_type=str, value_type=int)  # type: ignore[arg-type]

    @app.agent(app.topic(f"{prefix}.stock", key_type=str, value_type=bytes))
    async def count(stream: faust.StreamT[bytes]) -> None:
        async for key, _ in stream.items():
            counts[key] += 1
            await counted.send(key=key, value=counts[key])


def let_the_clock_jump() -> None:
    """The wall clock of this process is right, a day late, an hour early and a year late in turn.

    The steady clock goes on: no operating system lets that one jump.
    """
    right = time.time

    def jumping() -> float:
        return right() + CLOCK_JUMPS_S[int(time.monotonic() / 2) % len(CLOCK_JUMPS_S)]

    time.time = jumping


class KillAt:
    """A fault hook that kills this process after a commit step, once `after` have passed."""

    def __init__(self, lane: str, step: CommitStep, after: int) -> None:
        self.lane, self.step, self.left = lane, step, after

    def __call__(self, lane: str, _partition: int, step: CommitStep) -> None:
        if lane == self.lane and step is self.step:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--web-port", type=int, required=True)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--standbys", type=int, default=1)
    parser.add_argument("--kill-at", help="lane:STEP:after")
    parser.add_argument("--without-stock", action="store_true")
    parser.add_argument("--clock-jumps", action="store_true")
    options = parser.parse_args(arguments)
    if options.clock_jumps:
        let_the_clock_jump()
    extra: dict[str, Any] = {}
    if options.kill_at:
        lane, step, after = options.kill_at.split(":")
        extra["fault"] = KillAt(lane, CommitStep[step], int(after))
    app = build_app(
        toy(options.prefix, options.partitions),
        bootstrap_servers=Settings().brokers(options.bootstrap_servers),
        data_dir=options.data_dir,
        web_port=options.web_port,
        session_timeout_s=6.0,
        standby_replicas=options.standbys,
        **extra,
    )
    add_views(app)
    if not options.without_stock:
        add_stock_agent(app, options.prefix, options.partitions)
    run_worker(app)


if __name__ == "__main__":
    main()
