"""Rows, shards and the partitioner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.engine.keyorder import KeyOrder
from streamsync.engine.partitioner import account_partition, murmur2
from streamsync.engine.rows import RowError, RowType, UnknownRowVersion
from streamsync.engine.shard import LaneShard, MemoryRows


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    amount_minor: int
    open_days: tuple[int, ...] = ()


ACCOUNT = RowType("account", 2, Account, {1: lambda body: Account(body.decode(), 0)})
OTHER = RowType("accounts", 1, str)


def stored(shard: LaneShard, rows: MemoryRows) -> LaneShard:
    """Commit the shard into its rows."""
    for key, value in shard.changes():
        rows.write(key, value)
    shard.committed()
    return LaneShard(shard.partition, rows)


def test_a_row_comes_back_from_bytes_as_the_same_value() -> None:
    rows = MemoryRows()
    shard = LaneShard(0, rows)
    value = Account("Ä", -5, (1, 2))
    shard.put(ACCOUNT, "a", value)
    assert shard.get(ACCOUNT, "a") is value
    again = stored(shard, rows)
    assert again.get(ACCOUNT, "a") == value
    assert again.get(OTHER, "a") is None


def test_an_older_version_is_read_by_its_reader_and_an_unknown_one_stops_with_a_sentence() -> None:
    rows = MemoryRows()
    rows.write(b"account|old", b"\x01name")
    rows.write(b"account|new", b"\x09...")
    rows.write(b"account|bad", b"\x02\xff")
    shard = LaneShard(0, rows)
    assert shard.get(ACCOUNT, "old") == Account("name", 0)
    with pytest.raises(UnknownRowVersion, match=r"'account\|new' has version 9.*reads 1, 2"):
        shard.get(ACCOUNT, "new")
    with pytest.raises(RowError, match="damaged"):
        shard.get(ACCOUNT, "bad")


@pytest.mark.parametrize("tag", ["", "a|b", "\0position", "__faust"])
def test_a_tag_that_could_hide_engine_rows_is_refused(tag: str) -> None:
    with pytest.raises(RowError):
        RowType(tag, 1, int)


def test_undo_restores_puts_and_deletes_of_the_step_only() -> None:
    rows = MemoryRows()
    shard = LaneShard(0, rows)
    shard.put(OTHER, "kept", "1")
    shard.put(OTHER, "stored", "1")
    shard = stored(shard, rows)
    shard.begin_step()
    shard.put(OTHER, "earlier", "1")
    shard.begin_step()
    shard.put(OTHER, "earlier", "2")
    shard.put(OTHER, "earlier", "3")
    shard.put(OTHER, "new", "1")
    shard.delete(OTHER, "stored")
    assert [key for key, _ in shard.scan(OTHER)] == ["earlier", "kept", "new"]
    shard.undo_step()
    assert list(shard.scan(OTHER)) == [("earlier", "1"), ("kept", "1"), ("stored", "1")]
    assert [key for key, _ in shard.changes()] == [b"accounts|earlier"]


def test_a_scan_survives_putting_and_deleting_what_it_yielded() -> None:
    rows = MemoryRows()
    shard = LaneShard(0, rows)
    for number in range(10):
        shard.put(OTHER, f"k{number}", "x")
    shard = stored(shard, rows)
    seen = []
    for key, value in shard.scan(OTHER, "k"):
        seen.append(key)
        if int(key[1:]) % 2:
            shard.delete(OTHER, key)
        else:
            shard.put(OTHER, key, value + "y")
    assert seen == [f"k{number}" for number in range(10)]
    assert [key for key, _ in shard.scan(OTHER)] == [f"k{number}" for number in range(0, 10, 2)]


keys = st.text(alphabet="ab|é\U0001f600", max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(keys, st.sampled_from(["put", "delete", "commit"])), max_size=40),
    keys, st.none() | keys, st.none() | st.integers(0, 5),
)  # fmt: skip
def test_a_scan_sees_what_a_sorted_dictionary_holds(
    changes: list[tuple[str, str]], prefix: str, after: str | None, limit: int | None
) -> None:
    rows = MemoryRows()
    shard = LaneShard(0, rows)
    model: dict[str, str] = {}
    for number, (key, change) in enumerate(changes):
        if change == "put":
            shard.put(OTHER, key, str(number))
            model[key] = str(number)
        elif change == "delete":
            shard.delete(OTHER, key)
            model.pop(key, None)
        else:
            shard = stored(shard, rows)
    expected = [
        (key, model[key])
        for key in sorted(model, key=str.encode)
        if key.startswith(prefix) and (after is None or key.encode() > after.encode())
    ]
    assert list(shard.scan(OTHER, prefix, after, limit)) == expected[:limit]
    assert all(shard.get(OTHER, key) == model.get(key) for key, _ in changes)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4000)), max_size=4000))
def test_key_order_is_a_sorted_set(changes: list[tuple[bool, int]]) -> None:
    order = KeyOrder()
    model: set[str] = set()
    for number in range(3000):
        order.add(f"{number:05}")
        model.add(f"{number:05}")
    for add, number in changes:
        key = f"{number:05}"
        (order.add if add else order.discard)(key)
        (model.add if add else model.discard)(key)

    def walk() -> Iterator[str]:
        key = order.at_or_after("")
        while key is not None:
            yield key
            key = order.at_or_after(key + "\0")

    assert list(walk()) == sorted(model)


# Published by Apache Kafka: clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java,
# testMurmur2 (signed there).
KAFKA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", KAFKA_VECTORS)
def test_murmur2_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == KAFKA_VECTORS[data] & 0xFFFFFFFF


def test_only_the_account_decides_the_partition() -> None:
    account = b"acme/stripe/cus_1"
    assert account_partition(account + b"|sub_1", 8) == account_partition(account, 8)
    assert account_partition(None, 8) == 0
    assert len({account_partition(b"a%d" % n, 8) for n in range(100)}) == 8
