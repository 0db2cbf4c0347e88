"""Configured sources: where secrets come from, and what is said when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsync.sources.configured import SourcesInvalid, load_sources

SECRET = "whsec_0123456789abcdef"
FILE = """
sources:
  stripe-eu:
    kind: stripe
    requests_per_second: 10
    secrets:
      - {key_id: old, secret_env: OLD, not_after: 2026-02-01}
      - {key_id: new, secret_file: SECRETS, not_before: 2026-01-01T00:00:00Z}
"""


def write(tmp_path: Path, text: str = FILE) -> Path:
    (tmp_path / "secret").write_text(SECRET + "\n")
    path = tmp_path / "sources.yaml"
    path.write_text(text.replace("SECRETS", str(tmp_path / "secret")))
    return path


def test_a_file_names_sources_and_where_their_dated_secrets_are(tmp_path: Path) -> None:
    sources = load_sources(write(tmp_path), {"OLD": "whsec_old_0123456789"})
    (source,) = sources.values()
    assert (source.name, source.kind, source.requests_per_second) == ("stripe-eu", "stripe", 10)
    old, new = source.secrets
    assert (old.key_id, old.secret, old.not_after_ms) == (
        "old",
        b"whsec_old_0123456789",
        1769904000000,
    )
    assert (new.key_id, new.secret, new.not_before_ms) == ("new", SECRET.encode(), 1767225600000)


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    env = {"STREAMSYNC_SOURCES_FILE": str(write(tmp_path)), "OLD": "whsec_old_0123456789"}
    assert set(load_sources(None, env)) == {"stripe-eu"}


def test_one_variable_is_enough_for_one_source() -> None:
    sources = load_sources(None, {"STREAMSYNC_STRIPE_SECRET": SECRET})
    assert sources["stripe"].secrets[0].secret == SECRET.encode()
    assert SECRET not in repr(sources)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FILE.replace("kind: stripe", "kind: strype"), r"kind: one of canonical, stripe"),
        (FILE.replace("key_id: old", "keyid: old"), r"sources\.stripe-eu\.secrets\.0\.key_id"),
        (FILE.replace("secret_env: OLD, ", ""), r"secrets\[0\]: give either"),
        (FILE.replace("secret_env: OLD", "secret_env: GONE"), r"variable GONE .*is empty"),
        (FILE.replace("SECRETS", "/nowhere/secret"), "/nowhere/secret cannot be read"),
        ("sources: [", "line 1 is not YAML"),
        ("sources: {}", "sources"),
        ("", "dictionary"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SourcesInvalid, match=says) as caught:
        load_sources(write(tmp_path, text), {"OLD": "whsec_old_0123456789"})
    assert "whsec_old" not in str(caught.value)


def test_nothing_configured_says_how_to() -> None:
    with pytest.raises(SourcesInvalid, match="STREAMSYNC_STRIPE_SECRET"):
        load_sources(None, {})
    with pytest.raises(SourcesInvalid, match="shorter than 16"):
        load_sources(None, {"STREAMSYNC_STRIPE_SECRET": "short"})
