"""The servers' jars, fetched once by the ordinary Maven client.

Problem: the jars are 160 MB, must be exactly the ones named in the pom, and must never be half
there. How: Maven fetches into a folder beside the final one, which is renamed when all is there;
the final name carries a hash of the poms, so another version is another folder. Once there, nothing
is asked of anybody.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from streamsync.embedded.prerequisites import find_maven
from streamsync.embedded.problems import PlatformProblem

POMS = Path(__file__).parent / "poms"
_FETCH_WITHIN_S = 900
# Debian's and Fedora's.
_TRUST_STORES = (Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/java/cacerts"))


def cache_folder() -> Path:
    """Where this version of the servers lies, fetched or not yet."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(told) if told else Path.home() / ".cache"
    digest = hashlib.sha256()
    for pom in sorted(POMS.rglob("pom.xml")):
        digest.update(pom.read_bytes())
    return base / "streamsync" / f"platform-{digest.hexdigest()[:12]}"


def ensure_jars(java: Path, say: Callable[[str], None]) -> Path:
    """The folder with `kafka/` and `registry/`, fetched now if it is not there."""
    folder = cache_folder()
    if folder.is_dir():
        return folder
    maven = find_maven()
    say(f"Fetching Kafka and the schema registry with Maven into {folder} (once, about 160 MB)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(3),
            wait=wait_exponential_jitter(initial=1, max=5),
            retry=retry_if_exception_type(PlatformProblem),
            reraise=True,
        ):
            with attempt:
                shutil.rmtree(part, ignore_errors=True)
                _fetch(maven, java, part)
        try:
            part.rename(folder)
        except OSError:
            # Another process was first; its folder is as good as ours.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def maven_environment(java: Path) -> dict[str, str]:
    """Maven is Java too: its own where the machine has one, else the wheel's.

    The wheel's knows only the public authorities; a network with an authority of its own has put it
    into the machine's store, so Maven is pointed there.
    """
    environment = dict(os.environ)
    if "JAVA_HOME" in environment or shutil.which("java"):
        return environment
    environment["JAVA_HOME"] = str(java.resolve().parents[1])
    options = environment.get("MAVEN_OPTS", "")
    store = next((one for one in _TRUST_STORES if one.is_file()), None)
    if store is not None and "javax.net.ssl.trustStore" not in options:
        environment["MAVEN_OPTS"] = f"{options} -Djavax.net.ssl.trustStore={store}".strip()
    return environment


def _fetch(maven: Path, java: Path, into: Path) -> None:
    # -U: an earlier failure that Maven remembers must not be final.
    command: list[str | Path] = [
        maven,
        "-q",
        "-B",
        "-ntp",
        "-U",
        "-f",
        POMS / "pom.xml",
        f"-Dplatform.folder={into}",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [*command, "package"],
            env=maven_environment(java),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PlatformProblem(
            f"Maven did not fetch the servers within {_FETCH_WITHIN_S} s: check the network and "
            "Maven's settings.xml, then start again."
        ) from error
    if done.returncode:
        told = [line for line in done.stdout.splitlines() if "[ERROR]" in line]
        why = told[0].split("[ERROR]", 1)[1].strip() if told else done.stderr.strip()[-500:]
        raise PlatformProblem(
            f"Maven could not fetch the servers ({why}): check the network and Maven's "
            "settings.xml, then start again."
        )
