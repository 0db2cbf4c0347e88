"""What is installed is what was tried: all of it locked, with hashes, from no fixed index."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-java.lock")


def locked(name: str) -> Iterator[tuple[str, Version, list[str]]]:
    """Name, version and hashes of every entry of a lock file."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if found:
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", line)
            yield canonicalize_name(found[1]), Version(found[2]), hashes
        else:
            assert not line or line.lstrip().startswith("#"), f"{name}: {line}"


def declared(*extras: str) -> list[Requirement]:
    """Dependencies of the project and of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [*project["dependencies"]]
    for extra in extras:
        told += project["optional-dependencies"][extra]
    return [Requirement(one) for one in told]


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_has_a_hash_and_no_index_is_named(name: str) -> None:
    entries = list(locked(name))
    assert entries
    assert [entry for entry, _, hashes in entries if not hashes] == []
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize(
    ("name", "extras"),
    [("requirements.lock", ("build",)), ("requirements-dev.lock", ("build", "dev"))],
)
def test_the_lock_has_what_the_project_declares(name: str, extras: tuple[str, ...]) -> None:
    versions = {entry: version for entry, version, _ in locked(name)}
    for one in declared(*extras):
        version = versions.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name} is not in {name}: run `make lock`"
        assert one.specifier.contains(version), f"{one} is not met by {name}: run `make lock`"


def test_tests_run_on_the_versions_that_users_get() -> None:
    runtime = {entry: version for entry, version, _ in locked("requirements.lock")}
    dev = {entry: version for entry, version, _ in locked("requirements-dev.lock")}
    assert {entry: dev.get(entry) for entry in runtime} == runtime
