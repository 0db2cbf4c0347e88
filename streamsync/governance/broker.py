"""Read what is published from Kafka, and publish.

Problem: the control topic is the one order of rules and ticks; a publisher must know its end, and
must not believe that something is published before the brokers have it. How: topics are read from
the beginning to their end as committed; records are sent idempotently with acks=all and each
delivery is awaited. Afterwards the topic is read again: of two publishers of one version, the
first wins, and the other is told.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from confluent_kafka import TopicPartition as Seat
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.brokers import Brokers
from streamsync.contracts import ContractError, Contracts
from streamsync.core.records import Customer, PeriodStatus, RawWebhook, ReferenceData, Tick
from streamsync.engine.lane import TopicSpec
from streamsync.governance.payload import KIND
from streamsync.governance.rates import RATES_KIND
from streamsync.governance.restatement import RESTATEMENT_KIND

_LOG = logging.getLogger(__name__)


class BrokerUnavailable(Exception):
    """Kafka did not answer, or did not take a record."""


class PublishedByAnother(Exception):
    """Somebody else published the same version first."""


@dataclass(frozen=True, slots=True)
class ControlState:
    """What is published for a tenant: rules and rates of the highest version, every version of the
    rules, restatement jobs by id; and the last tick's number (-1 before the first).
    """

    latest: ReferenceData | None
    last_tick: int
    rates: ReferenceData | None = None
    versions: frozenset[int] = frozenset()
    jobs: Mapping[str, ReferenceData] = field(default_factory=dict)


class Broker:
    """The control and customers topics of one Kafka cluster."""

    def __init__(
        self,
        brokers: Brokers,
        contracts: Contracts,
        control: TopicSpec,
        customers: TopicSpec,
        *,
        patience_s: int = 30,
    ) -> None:
        self._patience_s = patience_s
        self._bootstrap = str(brokers)
        # The library would write a line for each of its many attempts; the outcome is one sentence.
        self._client: dict[str, str | int | float | bool] = {
            **brokers.librdkafka(),
            "log_level": 0,
        }
        self._contracts = contracts
        self._control = control
        self._customers = customers

    def create_topics(self) -> None:
        """Create the topics that are missing, with their declared partitions."""
        admin = AdminClient(self._client)
        existing = self._partitions(admin, None)
        wanted = [spec for spec in (self._control, self._customers) if spec.name not in existing]
        if not wanted:
            return
        made = admin.create_topics(
            [
                NewTopic(spec.name, num_partitions=spec.partitions, config=dict(spec.config))
                for spec in wanted
            ]
        )
        for future in made.values():
            try:
                future.result(self._patience_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._unavailable(error) from error

    def control_state(self, tenant: str) -> ControlState:
        """The tenant's rules and the last tick; of one version, the first item counts."""
        latest: dict[str, ReferenceData] = {}
        jobs: dict[str, ReferenceData] = {}
        versions: set[int] = set()
        last_tick = -1
        for record in self._records(self._control.name):
            if isinstance(record, Tick):
                last_tick = max(last_tick, record.number)
            elif isinstance(record, ReferenceData) and record.tenant == tenant:
                known = latest.get(record.kind)
                if known is None or record.version > known.version:
                    latest[record.kind] = record
                if record.kind == RESTATEMENT_KIND:
                    jobs.setdefault(record.id, record)
                elif record.kind == KIND:
                    versions.add(record.version)
        return ControlState(
            latest.get(KIND), last_tick, latest.get(RATES_KIND), frozenset(versions), jobs
        )

    def periods(self, tenant: str) -> dict[tuple[str, str, str], PeriodStatus]:
        """The last status of each period by entity, ledger and period; of a version the first."""
        found: dict[tuple[str, str, str], PeriodStatus] = {}
        for record in self._records(self._control.name):
            if isinstance(record, PeriodStatus) and record.tenant == tenant:
                known = found.get(_period_of(record))
                if known is None or record.version > known.version:
                    found[_period_of(record)] = record
        return found

    def billing(self, webhooks: str, tenant: str) -> tuple[list[RawWebhook], list[Customer]]:
        """Every webhook of a tenant that is kept, and the latest record of each customer."""
        bodies = [
            record
            for record in self._records(webhooks)
            if isinstance(record, RawWebhook) and record.tenant == tenant
        ]
        known: dict[str, Customer] = {}
        for record in self._records(self._customers.name):
            if isinstance(record, Customer) and record.tenant == tenant:
                before = known.get(record.account)
                if before is None or record.version > before.version:
                    known[record.account] = record
        return bodies, list(known.values())

    def customers(self, accounts: Collection[str]) -> dict[str, Customer]:
        """The highest published version of these accounts' records."""
        found: dict[str, Customer] = {}
        if not accounts:
            return found
        for record in self._records(self._customers.name):
            if isinstance(record, Customer) and record.account in accounts:
                known = found.get(record.account)
                if known is None or record.version > known.version:
                    found[record.account] = record
        return found

    def publish(
        self, items: Sequence[ReferenceData | PeriodStatus], customers: Sequence[Customer]
    ) -> None:
        """Send rules, rates, jobs and statuses of periods, and the customers; returns when the
        brokers have all of them.
        """
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        producer = Producer(
            {
                **self._client,
                "acks": "all",
                "enable.idempotence": True,
                # Kafka's own hash of the key, as every other writer of these topics.
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": self._patience_s * 1000,
                # Its retries are no news; what fails for good is raised below.
                "log_level": 3,
            }
        )
        encode = self._contracts.encode
        for item in items:
            producer.produce(
                self._control.name, value=encode(item), partition=0, on_delivery=delivered
            )
        for customer in customers:
            producer.produce(
                self._customers.name,
                key=customer.account.encode(),
                value=encode(customer),
                on_delivery=delivered,
            )
            producer.poll(0)
        left = producer.flush(self._patience_s + 5)
        if failed or left:
            why = failed[0] if failed else "no answer"
            raise BrokerUnavailable(
                f"{len(failed) + left} of {len(customers) + len(items)} records did not "
                f"reach Kafka at {self._bootstrap} ({why}): run the command again, it sends "
                "what is missing."
            )
        for item in items:
            if isinstance(item, PeriodStatus):
                self._confirm_period(item)
            else:
                self._confirm_first(item)

    def _confirm_period(self, item: PeriodStatus) -> None:
        known = self.periods(item.tenant).get(_period_of(item))
        if known is not None and known != item and known.version == item.version:
            raise PublishedByAnother(
                f"{known.changed_by} set {item.entity} {item.period} to {known.status} a moment "
                "earlier, which is in force; yours is ignored. Look at it with `streamsync "
                "periods`, then run the command again."
            )

    def _confirm_first(self, item: ReferenceData) -> None:
        state = self.control_state(item.tenant)
        if item.kind == RESTATEMENT_KIND:
            latest = state.jobs.get(item.id)
        else:
            latest = state.latest if item.kind == KIND else state.rates
        if latest is None or latest.version > item.version:
            return
        if latest.content_hash != item.content_hash:
            raise PublishedByAnother(
                f"{latest.published_by} published another version {item.version} a moment "
                f"earlier, which is in force; yours is ignored. Compare with it, then publish "
                f"yours as version {item.version + 1}."
            )

    def _records(self, topic: str) -> Iterator[object]:
        for message in self._messages(topic):
            value = message.value()
            if value is None:
                continue
            try:
                yield self._contracts.decode(value)
            except ContractError as error:
                # The lanes put it among the dead letters; here it only must not stop the reader.
                _LOG.warning(
                    "%s[%s]@%s skipped: %s", topic, message.partition(), message.offset(), error
                )

    def _messages(self, topic: str) -> Iterator[Message]:
        """Everything committed in a topic, from the beginning to its present end."""
        consumer = Consumer(
            {
                **self._client,
                "group.id": "streamsync-apply",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            partitions = self._partitions(consumer, topic).get(topic, ())
            consumer.assign([Seat(topic, number, OFFSET_BEGINNING) for number in partitions])
            unread = set(partitions)
            while unread:
                message = consumer.poll(self._patience_s)
                if message is None:
                    raise self._unavailable(KafkaException(f"topic {topic} gives nothing"))
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    unread.discard(message.partition())
                elif error.fatal():
                    raise self._unavailable(KafkaException(error))
        finally:
            consumer.close()

    def _partitions(
        self, client: AdminClient | Consumer, topic: str | None
    ) -> dict[str, tuple[int, ...]]:
        """Topics that exist, with their partitions."""
        try:
            listed = client.list_topics(topic, timeout=self._patience_s)
        except KafkaException as error:
            raise self._unavailable(error) from error
        return {name: tuple(found.partitions) for name, found in listed.topics.items()}

    def _unavailable(self, error: KafkaException) -> BrokerUnavailable:
        cause = error.args[0]
        told = cause.str() if isinstance(cause, KafkaError) else str(cause)
        return BrokerUnavailable(
            f"Kafka at {self._bootstrap} does not answer ({told}): start it with "
            "`streamsync broker`, or give --bootstrap-servers."
        )


def _period_of(status: PeriodStatus) -> tuple[str, str, str]:
    return status.entity, status.ledger, status.period
