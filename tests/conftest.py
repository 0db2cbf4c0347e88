"""Fixtures that several rungs share: one real broker and registry for a whole test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from streamsync.embedded import EmbeddedPlatform

# A loaded machine is slow, and no test may fail for that: properties are about results, not times.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What passed once passes again; `STREAMSYNC_SEARCH=1` (as `make test-deep` does) looks further.
settings.register_profile("repeatable", settings.get_profile("untimed"), derandomize=True)
settings.load_profile("untimed" if os.environ.get("STREAMSYNC_SEARCH") else "repeatable")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPlatform]:
    """Apache Kafka and the schema registry on free loopback ports, data in a temporary folder."""
    with EmbeddedPlatform(tmp_path_factory.mktemp("platform")) as started:
        yield started


@pytest.fixture(scope="session")
def broker(platform: EmbeddedPlatform) -> str:
    """Bootstrap servers of the session's broker."""
    return platform.bootstrap_servers


@pytest.fixture(scope="session")
def registry(platform: EmbeddedPlatform) -> str:
    """URL of the session's schema registry."""
    return platform.schema_registry_url
