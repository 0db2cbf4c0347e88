"""What can keep the servers from starting, told in one line.

Problem: whoever meets this has just cloned the project and knows nothing of it. How: every problem
is a `PlatformProblem` whose message says what is wrong and the command or option that mends it.
"""

from __future__ import annotations


class PlatformProblem(Exception):
    """The embedded servers can't start or have ended; the message says what to do."""
