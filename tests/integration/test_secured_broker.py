"""A broker behind TLS and a password: worker, recovery and tools get in, others do not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from streamsync.brokers import Brokers
from streamsync.embedded import EmbeddedPlatform
from streamsync.embedded.kafka import SecuredListener
from streamsync.embedded.server import free_port
from streamsync.engine.cluster import Cluster
from streamsync.engine.hanging import end_transaction
from tests.engine_run import Run

PASSWORD = "opens-nothing-else"
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback address, signed by itself, and its key."""
    chain, key = folder / "broker.pem", folder / "broker.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", key, "-out", chain,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Brokers]]:
    """The plain door for the test's own look, and the other one."""
    folder = tmp_path_factory.mktemp("secured")
    settings = {
        "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": (
            f'{LOGIN} required user_app="{PASSWORD}";'
        ),
    }
    with_tls = shutil.which("openssl") is not None
    chain = None
    if with_tls:
        chain, key = certificate(folder)
        store = folder / "broker.both"
        store.write_text(key.read_text() + chain.read_text())
        settings |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(store)}
    protocol = "SASL_SSL" if with_tls else "SASL_PLAINTEXT"
    listener = SecuredListener(free_port(), protocol, settings)
    with EmbeddedPlatform(folder / "data", registry_port=None, secured=listener) as platform:
        # Of several addresses one may not answer.
        servers = f"127.0.0.1:{free_port()},127.0.0.1:{listener.port}"
        brokers = Brokers(
            servers, protocol, chain, mechanism="PLAIN", username="app", password=PASSWORD
        )
        yield platform.bootstrap_servers, brokers


def test_a_worker_recovers_works_and_restarts_behind_tls_and_a_password(
    secured: tuple[str, Brokers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, brokers = secured
    given = {
        "BOOTSTRAP_SERVERS": brokers.servers, "SECURITY_PROTOCOL": brokers.protocol,
        "SSL_CA_FILE": brokers.ca_file, "SASL_MECHANISM": brokers.mechanism,
        "SASL_USERNAME": brokers.username, "SASL_PASSWORD": brokers.password,
    }  # fmt: skip
    with Run(plain, "engine-secured", tmp_path) as run:
        for name, value in given.items():
            if value is not None:
                monkeypatch.setenv(f"STREAMSYNC_{name}", str(value))
        run.worker_servers = brokers.servers
        run.feed(300, poison=1)
        worker = run.worker("w")
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-3_000:])
        assert worker.stop() == 0, worker.log()[-3_000:]
        again = run.worker("w")
        run.feed(100)
        again.wait_ready(9)
        run.wait_settled(explain=lambda: again.log()[-3_000:])
        assert again.stop() == 0, again.log()[-3_000:]
        run.check(again.data_dir)
        assert PASSWORD not in worker.log() + again.log()
    # What ends forgotten transactions speaks to the broker by aiokafka.
    place = f"{run.prefix}.sums", 0
    end_transaction(Cluster(brokers), "somebody", [place], commit=False, check=lambda: None)


def test_without_the_password_nobody_gets_in(secured: tuple[str, Brokers]) -> None:
    _, brokers = secured
    wrong = Brokers(
        brokers.servers, brokers.protocol, brokers.ca_file,
        mechanism="PLAIN", username="app", password="wrong",
    )  # fmt: skip
    for stranger in (wrong, Brokers(brokers.servers)):
        with pytest.raises(KafkaException):
            Cluster(stranger).admin().list_topics(timeout=3)
