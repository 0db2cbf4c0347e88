"""Kafka and a schema registry on loopback, as child processes of one Python process.

Problem: a newcomer has no broker, and tests need one that they may kill. How: `prerequisites` finds
Java and Maven or says how to install them, `jars` fetches the servers once into the user's cache,
`server` runs one JVM and never loses track of it, `kafka` and `apicurio` know their settings, and
`platform` starts both together.
"""

from __future__ import annotations

from streamsync.embedded.platform import EmbeddedPlatform
from streamsync.embedded.problems import PlatformProblem
from streamsync.embedded.server import Server

__all__ = ["EmbeddedPlatform", "PlatformProblem", "Server"]
