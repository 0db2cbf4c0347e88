"""Workload W on plain Faust, as its documentation writes it: an agent, a table, a send per event.

At-least-once, since Faust's own exactly-once does not keep its promise.
"""

from __future__ import annotations

from typing import Any, cast

import faust
from faust.serializers import codecs
from faust.tables.manager import TableManager

from benchmarks.contenders.told import Meter, mark_active, told
from benchmarks.workload import FRESH, PARTITIONS, decode_event, encode_posting, post


class _Events(codecs.Codec):
    def _loads(self, s: bytes) -> Any:
        return decode_event(s)


class _Postings(codecs.Codec):
    def _dumps(self, obj: Any) -> bytes:
        return encode_posting(obj)


def main() -> None:
    """Run until a signal."""
    options = told()
    meter = Meter(options.warm, options.total)
    codecs.register("workload_event", _Events())
    codecs.register("workload_posting", _Postings())
    app = faust.App(
        options.run,
        broker=f"kafka://{options.bootstrap_servers}",
        store="rocksdb://",
        datadir=str(options.work_dir),
        topic_partitions=PARTITIONS,
        web_enabled=False,
    )
    source = app.topic(options.source, key_type=str, value_serializer="workload_event")
    output = app.topic(
        options.output, key_type=str, value_serializer="workload_posting", partitions=PARTITIONS
    )
    balances = app.Table("balances", key_type=str, partitions=PARTITIONS)

    @app.agent(source)
    async def process(stream: Any) -> None:
        async for event in stream:
            key = event["subscription_id"]
            balances[key], posting = post(tuple(balances.get(key) or FRESH), event)
            await output.send(key=key, value=posting)
            meter.add(1)

    async def watch() -> None:
        # Not earlier: asked before the app has started, it would be made without the app's loop.
        recovery = cast(TableManager, app.tables).recovery
        # All partitions or none: its tables are ready together.
        mark_active(lambda: PARTITIONS if recovery.completed.is_set() else 0)

    app.task(watch)
    app.finalize()
    app.Worker(loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
