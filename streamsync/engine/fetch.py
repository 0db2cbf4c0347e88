"""Records of lanes, straight from the batches that the broker sent.

Problem: aiokafka makes three objects of every record, one by one in a generator, before a lane
makes its own; that was a third of what a simple event costs. How: a fetched answer is unpacked
batch by batch into the records that steps see. What is skipped is what aiokafka skips, by its own
bookkeeping: control batches, aborted transactions, records before the position. With the records
goes where they were read from and to, since aiokafka goes on from a topic's first record when the
position is gone, and says so to nobody.

Pinned to aiokafka 0.14.0; `tests/contract` says what changed if it does.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition

from streamsync.engine.lane import SourceRecord

RECORDS_PER_FETCH = 32_000


class Fetched(NamedTuple):
    """All committed records of a partition from one offset on and before another; maybe none."""

    start: int
    end: int
    """Also behind markers of transactions, aborted records and what compaction removed."""
    records: list[SourceRecord]


def take_fetched(
    fetcher: Any, topics: Collection[str], allowed: Collection[Any]
) -> dict[TopicPartition, Fetched]:
    """What a fetcher holds of these topics, of the partitions that may be read now.

    Whole batches, so a little more than `RECORDS_PER_FETCH`; the rest stays for the next call. An
    error that the fetcher holds for a partition is raised, but not instead of records.
    """
    taken: dict[TopicPartition, Fetched] = {}
    left = RECORDS_PER_FETCH
    for place, result in list(fetcher._records.items()):
        if place.topic not in topics or left <= 0:
            continue
        if place not in allowed:
            if not fetcher._subscriptions.is_assigned(place):
                del fetcher._records[place]
            continue
        if type(result) is not FetchResult:
            if taken:
                break  # the error has its turn when the records are away
            del fetcher._records[place]
            fetcher._notify(fetcher._wait_consume_future)
            result.check_raise()
            continue
        fetched = _take(result, place, left)
        if not result.has_more():
            del fetcher._records[place]
            fetcher._notify(fetcher._wait_consume_future)
        if fetched is not None:
            taken[place] = fetched
            left -= len(fetched.records)
    return taken


def _take(result: Any, place: TopicPartition, most: int) -> Fetched | None:
    # Also drops the answer when its partition was paused, taken away or sought elsewhere.
    if not result.check_assignment(place) or not result.has_more():
        return None
    answer = result._partition_records
    start = answer.next_fetch_offset
    records = unpack(answer, most)
    result._update_position()
    if not answer._records.has_next():
        result._partition_records = None
    return Fetched(start, answer.next_fetch_offset, records)


def unpack(answer: Any, most: int) -> list[SourceRecord]:
    """The records of the next batches of an answer, until there are `most` of them."""
    topic, partition = answer._tp
    found: list[SourceRecord] = []
    while len(found) < most and answer._records.has_next():
        batch = answer._records.next_batch()
        if answer._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {topic} {partition}")
        if not _is_skipped(answer, batch):
            position = answer.next_fetch_offset
            made = [
                SourceRecord(topic, partition, one.offset, one.timestamp, one.key, one.value)
                for one in batch
            ]
            if made and made[0].offset < position:
                made = [record for record in made if record.offset >= position]
            found += made
        # Also behind what compaction has removed from the end of a batch.
        answer.next_fetch_offset = batch.next_offset
    return found


def _is_skipped(answer: Any, batch: Any) -> bool:
    """Whether a batch holds nothing that was committed."""
    if answer._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        answer._consume_aborted_up_to(batch.base_offset)
        aborted = answer._aborted_producers
        if batch.is_control_batch:
            if answer._contains_abort_marker(batch):
                aborted.discard(batch.producer_id)
        elif batch.is_transactional and batch.producer_id in aborted:
            return True
    return bool(batch.is_control_batch)
