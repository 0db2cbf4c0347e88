"""Ordinary Faust things beside lanes, as a module for `faust -A`: agents, tables, routes, timers.

Settings come from the environment, since the command imports the module.
"""

from __future__ import annotations

import os
from typing import Any

import faust
from faust.sensors import Sensor
from faust.sensors.prometheus import setup_prometheus_sensors
from faust.web import Request, Response, View
from prometheus_client import CollectorRegistry

from streamsync.engine.app import build_app
from streamsync.engine.tables import LaneRowsAreReadOnly
from tests.engine_toy import TOTAL, add_stock_agent, add_views, toy

PREFIX = os.environ["BESIDE_PREFIX"]
PARTITIONS = 4

app = build_app(
    toy(PREFIX, PARTITIONS),
    bootstrap_servers=os.environ["BESIDE_SERVERS"],
    data_dir=os.environ["BESIDE_DATA_DIR"],
    web_port=int(os.environ["BESIDE_WEB_PORT"]),
    session_timeout_s=6.0,
)
add_views(app)
add_stock_agent(app, PREFIX, PARTITIONS)
setup_prometheus_sensors(app, pattern="/faust-metrics", registry=CollectorRegistry())
ledger: Any = app.tables["ledger"]
seen: dict[str, Any] = {"timer": 0, "messages": 0}


def total_of(account: str) -> int | None:
    """What the lane's row says, read through Faust's table."""
    key = TOTAL.head + account
    row = ledger.get(key.encode())
    return None if row is None else TOTAL.decode(key, row)


class Counting(Sensor):
    """Counts what stock agents are given."""

    def on_message_in(self, *_arguments: Any) -> None:
        seen["messages"] += 1


app.sensors.add(Counting())


@app.agent(app.topic(f"{PREFIX}.asks", key_type=str, value_type=bytes))
async def ask(stream: faust.StreamT[bytes]) -> None:
    """Looks a lane's row up, and tries to change it."""
    async for account, _ in stream.items():
        seen["asked"] = [account, total_of(str(account))]
        try:
            ledger[b"total|forged"] = b"\x01\x01"
        except LaneRowsAreReadOnly as error:
            seen["refused"] = str(error)


@app.timer(0.3)  # type: ignore[untyped-decorator]
async def count() -> None:
    """Runs on every worker, and sees the lane's rows."""
    seen["timer"] += 1
    seen["rows"] = sum(1 for key in ledger.keys() if key.startswith(b"total|account"))


@app.page("/beside/{account}")
@app.table_route(table=ledger, match_info="account")
async def routed(view: View, _request: Request, account: str) -> Response:
    """Answered by the worker that owns the account."""
    return view.json({"total": total_of(account), "by": str(app.conf.canonical_url)})


@app.page("/seen")
async def told(view: View, _request: Request) -> Response:
    """What the parts above have seen."""
    return view.json(seen)
