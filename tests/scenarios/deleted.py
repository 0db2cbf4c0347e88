"""A topic is deleted under a running worker: it stops, names it, and goes on when it is back."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.engine_run import READY_S, Run, wait_until


def delete(broker: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    admin.delete_topics([topic])[topic].result(30)


def _first_sums(run: Run) -> int:
    """Sums that were written for their own account; all in the topic that was made anew."""
    return sum(count for (kind, _), count in run.found_sums().items() if kind == b"number")


def delete_while_it_works(what: str, name: str, broker: str, folder: Path) -> None:
    """`name`: of the topic, behind the prefix; an output is only missed when it is written to."""
    with Run(broker, f"engine-without-{what}", folder) as run:
        run.feed(200, poison=1)
        worker = run.worker("w")
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-3_000:])
        topic = f"{run.prefix}{name}"
        delete(broker, topic)
        if what != "source":
            run.feed(50)
        wait_until(
            lambda: worker.process.poll() is not None, READY_S, lambda: worker.log()[-3_000:]
        )
        assert worker.process.returncode == 1
        assert f"Topic '{topic}' was deleted while this worker ran" in worker.log()
        if what == "output":
            after = run.worker("w")
            after.wait_ready(9)
            # One of each of the 50 numbers, and of some a second for the neighbour.
            wait_until(lambda: _first_sums(run) == 50, READY_S, lambda: after.log()[-3_000:])
            assert after.stop() == 0, after.log()[-3_000:]


def delete_the_source(broker: str, folder: Path) -> None:
    delete_while_it_works("source", ".numbers", broker, folder)


def delete_an_output(broker: str, folder: Path) -> None:
    delete_while_it_works("output", ".sums", broker, folder)


def delete_a_changelog(broker: str, folder: Path) -> None:
    delete_while_it_works("changelog", "-ledger-changelog", broker, folder)
