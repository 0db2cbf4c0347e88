"""A model of the adapters and the ERP behind them: it holds documents, and behaves badly.

Problem: an ERP answers late, twice or never, refuses and alters, and its adapter may read a command
again after a restart, and the commands of two topics in any order. How: each command's fate is
drawn from its id, so that a second delivery meets the same fate; documents are kept by the key
that an ERP enforces.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from streamsync.contracts import Contracts
from streamsync.core.records import PostingCommand, PostingConfirmation
from streamsync.engine.driver import Driver
from streamsync.engine.lane import SourceRecord
from tests.ledger_driver import alters, rejects
from tests.simulation.options import Options
from topology import topics
from topology.offline import accepts

FATES = ("late", "reject", "alter", "never", "booked_never", "twice")
ALTERED_BY = 7
_LATE_MAX = 60


@dataclass(frozen=True, slots=True)
class Document:
    """One document in the ERP's journal."""

    number: str
    command: PostingCommand
    altered_by: int


class Erp:
    """Reads command topics, books, and confirms."""

    def __init__(
        self,
        options: Options,
        driver: Driver,
        contracts: Contracts,
        fed: dict[str, list[SourceRecord]],
    ) -> None:
        self._fed = fed
        self._options = options
        self._driver = driver
        self._contracts = contracts
        self._random = random.Random(f"{options.seed}/erp")
        self._read: dict[tuple[str, int], int] = {}
        self._waiting: list[tuple[int, PostingCommand]] = []
        self._now = 0
        self._faults = True
        self.documents: list[Document] = []
        self.by_key: dict[str, Document] = {}
        self.silent: dict[str, PostingCommand] = {}
        self.answered: dict[str, PostingConfirmation] = {}
        self.delivered_again = 0

    def fate(self, command: PostingCommand) -> str:
        """What happens to a command, whenever it comes."""
        rng = random.Random(f"{self._options.seed}/{command.command_id}")
        if rng.randrange(100) >= self._options.odd_percent:
            return "accept"
        fate = rng.choice(FATES)
        # What an ERP refuses, a person must repair; a change of something accepted is not refused
        # here, because the books can't tell then what the person will want.
        return "accept" if fate == "reject" and command.action != "post" else fate

    def turn(self) -> None:
        """Read some commands, some of them again; answer what is due."""
        self._now += 1
        for place in self._places():
            log = self._driver.outputs(*place)
            read = self._read.get(place, 0)
            if read and self._faults and self._random.randrange(100) < self._options.again_percent:
                self.delivered_again += 1
                read -= self._random.randint(1, min(read, 3))
            until = min(len(log), read + self._random.randint(0, 4))
            for record in log[read:until]:
                assert record.value is not None
                self._receive(self._contracts.decode(record.value))
            self._read[place] = max(self._read.get(place, 0), until)
        due = [entry for entry in self._waiting if entry[0] <= self._now]
        self._waiting = [entry for entry in self._waiting if entry[0] > self._now]
        for _, command in due:
            self._answer(command)

    def stop_faults(self) -> None:
        """From now on nothing comes twice and nothing more is late."""
        self._faults = False
        self._waiting = [(0, command) for _, command in self._waiting]

    def busy(self) -> bool:
        """Whether a command is unread or an answer outstanding."""
        unread = any(
            len(self._driver.outputs(*place)) > self._read.get(place, 0) for place in self._places()
        )
        return unread or bool(self._waiting)

    def answer_silent(self, wanted: Callable[[PostingCommand], bool]) -> bool:
        """A person looks after commands that were never answered; true when there were any."""
        found = [command for command in self.silent.values() if wanted(command)]
        for command in found:
            del self.silent[command.command_id]
            self._book(command, 0)
            self._answer(command)
        return bool(found)

    def _places(self) -> list[tuple[str, int]]:
        names = [
            name
            for name in self._driver.topics()
            if name.startswith(topics.POSTING_COMMANDS_PREFIX)
        ]
        places = [(name, at) for name in names for at in range(self._options.partitions)]
        self._random.shuffle(places)
        return places

    def _receive(self, command: PostingCommand) -> None:
        again = command.command_id in self.answered
        fate = self.fate(command)
        if fate in ("never", "booked_never") and not again:
            if fate == "booked_never":
                self._book(command, 0)
            self.silent.setdefault(command.command_id, command)
            return
        if fate != "reject":
            self._book(command, ALTERED_BY if fate == "alter" else 0)
        if fate == "late" and not again and self._faults:
            self._waiting.append((self._now + self._random.randint(1, _LATE_MAX), command))
            return
        self._answer(command)
        if fate == "twice":
            self._answer(command)

    def _book(self, command: PostingCommand, altered_by: int) -> None:
        """The key decides: a command that comes again finds its document."""
        if command.erp_key not in self.by_key:
            document = Document(f"D{len(self.documents):05d}", command, altered_by)
            self.documents.append(document)
            self.by_key[command.erp_key] = document

    def _answer(self, command: PostingCommand) -> None:
        document = self.by_key.get(command.erp_key)
        if document is None:
            told = rejects(command)
        elif document.altered_by:
            told = alters(command, document.altered_by)
        else:
            told = accepts(command, "")
        if document is not None:
            again = command.command_id in self.answered
            told = replace(
                told,
                status="duplicate" if again else "posted",
                confirmation_id=f"{command.command_id}:{'again' if again else 'posted'}",
                erp_document_id=document.number,
                erp_document_number=document.number,
            )
        self.answered.setdefault(command.command_id, told)
        again_percent = self._options.again_percent if self._faults else 0
        copies = 2 if self._random.randrange(100) < again_percent else 1
        for _ in range(copies):
            key, value = command.account.encode(), self._contracts.encode(told)
            record = self._driver.produce(topics.POSTING_CONFIRMATIONS, key, value)
            self._fed.setdefault(record.topic, []).append(record)
