"""A database that fails says so, also where the client library just ends; no broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rocksdict

from streamsync.engine.store import DatabaseRows, SnapshotRows
from streamsync.engine.trouble import DatabaseTrouble, trouble_of
from tests.engine_storm import fill, small_disk

ROWS = 2_000


def failed(error: Exception) -> Exception:
    return trouble_of(error, Path("here")) or error


@pytest.fixture
def damaged(tmp_path: Path) -> Any:
    """A database with one byte flipped in the middle of its only file of rows."""
    path = tmp_path / "rows.db"
    options = rocksdict.Options(raw_mode=True)
    database = rocksdict.Rdict(str(path), options=options)
    for number in range(ROWS):
        database[b"k%06d" % number] = b"%0200d" % (number * 7919**9)
    database.flush()
    database.close()
    (file,) = path.glob("*.sst")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    return rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))


@pytest.mark.parametrize("kind", [DatabaseRows, SnapshotRows])
def test_neither_a_scan_nor_a_look_up_leaves_out_what_a_damaged_block_held(
    damaged: Any, kind: type[DatabaseRows] | type[SnapshotRows]
) -> None:
    rows = kind(damaged, failed)
    seen = []
    with pytest.raises(DatabaseTrouble, match="damaged and is rebuilt"):
        for key, _ in rows.seek(b""):
            seen.append(key)
    assert 0 < len(seen) < ROWS
    lost = b"k%06d" % len(seen)  # the first that the scan did not reach
    with pytest.raises(DatabaseTrouble):
        rows.get(lost)
    with pytest.raises(DatabaseTrouble):
        next(iter(rows.seek(lost)))
    assert rows.get(b"k000000") is not None


@pytest.mark.parametrize("kind", [DatabaseRows, SnapshotRows])
def test_a_sound_database_is_read_to_its_end(
    tmp_path: Path, kind: type[DatabaseRows] | type[SnapshotRows]
) -> None:
    database = rocksdict.Rdict(str(tmp_path / "db"), options=rocksdict.Options(raw_mode=True))
    rows = kind(database, failed)
    assert list(rows.seek(b"")) == []
    database[b"a"], database[b"b"] = b"1", b"2"
    rows = kind(database, failed)
    assert list(rows.seek(b"")) == [(b"a", b"1"), (b"b", b"2")]
    assert list(rows.seek(b"b\0")) == []
    assert rows.get(b"c") is None


@pytest.mark.parametrize(
    ("error", "damaged"),
    [
        (Exception("Corruption: block checksum mismatch"), True),
        (Exception("IO error: No space left on device: While appending"), False),
        (OSError(28, "No space left on device"), False),
        (ZeroDivisionError("a bug"), None),
    ],
)
def test_only_failures_of_disk_and_database_are_trouble(
    error: Exception, damaged: bool | None
) -> None:
    found = trouble_of(error, Path("here"))
    assert (None if found is None else found.damaged) == damaged
    if found is not None:
        assert "here" in str(found) and str(error) in str(found)


def test_a_database_that_cannot_be_opened_for_want_of_space_is_trouble_and_not_a_bug(
    tmp_path: Path,
) -> None:
    """The client library's own words for what it can't write; only root can mount a small disk."""
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("a file system of its own needs a privilege")
        fill(tmp_path / "disk")
        with pytest.raises(Exception, match="No space left") as raised:
            rocksdict.Rdict(str(tmp_path / "disk" / "db"), options=rocksdict.Options(raw_mode=True))
    trouble = failed(raised.value)
    assert isinstance(trouble, DatabaseTrouble)
    assert not trouble.damaged
