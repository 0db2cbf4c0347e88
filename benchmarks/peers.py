"""What the peers need and the project does not: built once, in the user's cache.

Problem: a peer's libraries may contradict the project's, and must never come into its lock. How:
a virtual environment of its own for Quix Streams, and Kafka Streams built by Maven; the name of
each folder carries a hash of what it was made from, so that a change is a new folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.outcome import say
from benchmarks.processes import RunFailed
from streamsync.embedded.prerequisites import find_java, find_maven

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "peers.txt"
KAFKA_STREAMS = HERE / "kafka_streams"
_WITHIN_S = 900


def quix_python() -> Path:
    """The interpreter of the environment with Quix Streams."""
    folder = _folder("quix", [REQUIREMENTS])
    python = folder / "bin" / "python"
    if not folder.is_dir():
        say(f"Installing Quix Streams into {folder} (once)")
        part = _part(folder)
        _run([sys.executable, "-m", "venv", part])
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([part / "bin" / "python", *install, "-r", REQUIREMENTS])
        # Scripts of an environment name its first folder, its interpreter does not.
        part.rename(folder)
    return python


def kafka_streams_command() -> list[str | Path]:
    """How to run the Kafka Streams program, up to its own arguments."""
    java = find_java()
    sources = [KAFKA_STREAMS / "pom.xml", *KAFKA_STREAMS.rglob("*.java")]
    folder = _folder("kafka-streams", sorted(sources))
    if not folder.is_dir():
        say(f"Building the Kafka Streams program with Maven into {folder} (once)")
        part = _part(folder)
        part.mkdir(parents=True)
        _run(
            [
                find_maven(), "-q", "-B", "-ntp", "-f", KAFKA_STREAMS / "pom.xml",
                f"-Dpeer.folder={part}", "package",
            ],
            {"JAVA_HOME": str(_jdk(java))},
        )  # fmt: skip
        part.rename(folder)
    return [
        java,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{folder}/classes:{folder}/lib/*",
    ]


def _jdk(java: Path) -> Path:
    home = java.resolve().parents[1]
    if not (home / "bin" / "javac").exists():
        raise RunFailed(
            "The Kafka Streams program needs a Java compiler: Debian: apt-get install "
            "openjdk-17-jdk-headless, or leave it out with --only."
        )
    return home


def _folder(name: str, made_from: Sequence[Path]) -> Path:
    digest = hashlib.sha256()
    for path in made_from:
        digest.update(path.read_bytes())
    return cache() / f"benchmark-{name}-{digest.hexdigest()[:12]}"


def cache() -> Path:
    """The project's part of the user's cache."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(told) if told else Path.home() / ".cache") / "streamsync"


def _part(folder: Path) -> Path:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def _run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise RunFailed(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-1_500:]}")
