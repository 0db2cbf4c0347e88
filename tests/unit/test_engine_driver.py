"""The in-memory driver: every crash ends in the same rows and the same visible outputs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streamsync.engine.commit import Aborted, CommitError, CommitStep, Fenced, Unsettled
from streamsync.engine.driver import Driver, DriverCrashed, DriverStuck
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

TOTAL = RowType("total", 1, int)
SEEN = RowType("seen", 1, bool)
RECORDS = 60


def sequence(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
    if record.value is None or not record.value.isdigit():
        raise Poison("not_a_number", repr(record.value))
    yield Output("log", record.key, record.value)


def ledger(shard: Shard, record: SourceRecord) -> Iterable[Output]:
    """Adds numbers up; every third one also goes to a neighbour account, by loop-back, once."""
    assert record.key is not None and record.value is not None
    account = record.key.decode()
    words = record.value.split(b" ")
    if len(words) == 2:  # a loop-back: keyed by its origin, so a repeat is recognised
        if shard.get(SEEN, record.value.decode()):
            return
        shard.put(SEEN, record.value.decode(), True)
    number = int(words[0])
    total = (shard.get(TOTAL, account) or 0) + number
    shard.put(TOTAL, account, total)
    yield Output("sums", record.key, b"%d" % total)
    if len(words) == 1 and number % 3 == 0:
        yield Output("log", b"neighbour-" + record.key, b"%d of-%d" % (number, record.offset))


def dead(record: SourceRecord, poison: Poison) -> Iterable[Output]:
    yield Output("dead-letters", record.key, poison.reason.encode())


def toy() -> Topology:
    return Topology(
        app_id="toy",
        lanes=(
            LaneSpec("sequence", "numbers", sequence, dead),
            LaneSpec("ledger", "log", ledger, dead),
        ),
        topics=tuple(TopicSpec(name, 4) for name in ("numbers", "log", "sums", "dead-letters")),
        partitioner=account_partition,
    )


def fed(driver: Driver) -> Driver:
    for number in range(RECORDS):
        driver.produce("numbers", b"account-%d" % (number % 7), b"%d" % number)
    driver.produce("numbers", b"account-1", b"poison")
    return driver


def totals(driver: Driver) -> dict[str, int]:
    return {
        key: total
        for partition in range(driver.partitions("ledger"))
        for key, total in driver.shard("ledger", partition).scan(TOTAL)
    }


def expected_totals() -> dict[str, int]:
    result: dict[str, int] = {}
    for number in range(RECORDS):
        key = f"account-{number % 7}"
        result[key] = result.get(key, 0) + number
        if number % 3 == 0:
            result["neighbour-" + key] = result.get("neighbour-" + key, 0) + number
    return result


def sums(driver: Driver) -> dict[bytes | None, list[bytes | None]]:
    result: dict[bytes | None, list[bytes | None]] = {}
    for record in driver.outputs("sums"):
        result.setdefault(record.key, []).append(record.value)
    return result


def test_a_chain_of_lanes_with_loop_backs_gives_what_a_plain_sum_gives() -> None:
    driver = fed(Driver(toy()))
    driver.run()
    assert totals(driver) == expected_totals()
    assert [record.value for record in driver.outputs("dead-letters")] == [b"not_a_number"]


@pytest.mark.parametrize("wipe", [False, True], ids=["disk kept", "disk wiped"])
@pytest.mark.parametrize("lane", ["sequence", "ledger"])
@pytest.mark.parametrize("step", list(CommitStep), ids=lambda step: step.name)
def test_a_crash_after_any_commit_step_changes_nothing(
    step: CommitStep, lane: str, wipe: bool
) -> None:
    quiet = fed(Driver(toy(), batch_max=5))
    quiet.run()
    driver = fed(Driver(toy(), batch_max=5))
    driver.crash_at(step, lane, after=2)
    with pytest.raises(DriverCrashed):
        driver.run()
    driver.restart(wipe=wipe)
    driver.run()
    assert totals(driver) == expected_totals()
    for key, values in sums(quiet).items():
        assert sums(driver)[key][-1] == values[-1]
        assert len(sums(driver)[key]) == len(values), "an output is missing or doubled"
    assert len(driver.outputs("dead-letters")) == 1


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_work_and_no_second_delivery_changes_the_result(seed: int) -> None:
    driver = fed(Driver(toy(), seed=seed, redeliver=True, batch_max=6))
    driver.run()
    assert totals(driver) == expected_totals()


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run() -> tuple[list[SourceRecord], dict[bytes, bytes]]:
        driver = fed(Driver(toy(), seed=7))
        driver.run()
        return driver.outputs("sums"), driver.stored_rows("ledger", 1)

    assert run() == run()


def test_outputs_of_a_transaction_are_invisible_until_it_commits_and_loop_backs_are_not() -> None:
    driver = fed(Driver(toy()))
    driver.crash_at(CommitStep.FLUSH, "ledger")
    with pytest.raises(DriverCrashed):
        driver.run()
    assert driver.outputs("sums") == []
    loop_backs = [r for r in driver.outputs("log") if r.key and r.key.startswith(b"neighbour")]
    assert loop_backs
    assert totals(driver) == {}


def test_an_exception_in_a_step_is_a_dead_letter_only_when_the_step_says_so() -> None:
    raised: list[Exception] = [Poison("not_good"), ValueError("a bug")]

    def failing(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        shard.put(TOTAL, "all", 1)
        if record.value == b"bad" and raised:
            raise raised[0]
        return (Output("sums", record.key, record.value),)

    topology = Topology(
        "failing", (LaneSpec("failing", "numbers", failing, dead),),
        tuple(TopicSpec(name, 1) for name in ("numbers", "sums", "dead-letters")),
        account_partition,
    )  # fmt: skip
    driver = Driver(topology)
    for value in (b"1", b"bad", b"2"):
        driver.produce("numbers", b"k", value)
    driver.run()
    assert [record.value for record in driver.outputs("dead-letters")] == [b"not_good"]
    assert [record.value for record in driver.outputs("sums")] == [b"1", b"2"]

    del raised[0]
    for value in (b"3", b"bad"):
        driver.produce("numbers", b"k", value)
    with pytest.raises(ValueError, match="a bug"):
        driver.run()
    assert driver.position("failing", 0) == 3, "it stops before the commit"
    assert len(driver.outputs("dead-letters")) == 1
    assert [record.value for record in driver.outputs("sums")] == [b"1", b"2"]
    raised.clear()
    driver.restart()
    driver.run()
    assert [record.value for record in driver.outputs("sums")] == [b"1", b"2", b"3", b"bad"]


def test_a_lane_that_answers_itself_without_end_is_stopped_with_a_sentence() -> None:
    def echo(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        yield Output("log", record.key, record.value)

    driver = Driver(
        Topology(
            "loop",
            (LaneSpec("echo", "log", echo, dead),),
            (TopicSpec("log", 1),),
            account_partition,
        )
    )
    driver.produce("log", b"a", b"1")
    with pytest.raises(DriverStuck, match="answers itself"):
        driver.run(batches_max=50)


def test_the_driver_replaces_the_partitions_of_topics_that_have_several() -> None:
    topology = Topology("p", (), (TopicSpec("many", 8), TopicSpec("one", 1)), account_partition)
    driver = Driver(topology, 3)
    assert {driver.produce("many", b"k%d" % n, b"").partition for n in range(50)} == {0, 1, 2}
    assert {driver.produce("one", b"k%d" % n, b"").partition for n in range(50)} == {0}


@pytest.mark.parametrize("seed", range(10))
def test_a_former_owner_that_was_not_told_is_fenced_and_changes_nothing(seed: int) -> None:
    driver = fed(Driver(toy(), seed=seed, batch_max=4, workers=2))
    for turn in range(12):
        for _ in range(3):
            driver.step()
        partition = turn % driver.partitions("ledger")
        to = 1 - driver.owner("ledger", partition)
        driver.hand_over("ledger", partition, to, zombie=True)
    driver.run()
    assert totals(driver) == expected_totals()


@pytest.mark.parametrize("error", [Aborted, Unsettled, Fenced])
@pytest.mark.parametrize("step", [CommitStep.LOOP_BACK, CommitStep.FLUSH, CommitStep.COMMIT])
def test_a_commit_that_fails_is_repaired_from_the_changelog(
    step: CommitStep, error: type[CommitError]
) -> None:
    quiet = fed(Driver(toy(), batch_max=5))
    quiet.run()
    driver = fed(Driver(toy(), batch_max=5))
    driver.fail_at(step, error, "ledger", after=2)
    driver.run()
    assert not driver.fault_is_armed
    assert totals(driver) == expected_totals()
    assert {key: len(values) for key, values in sums(driver).items()} == {
        key: len(values) for key, values in sums(quiet).items()
    }
