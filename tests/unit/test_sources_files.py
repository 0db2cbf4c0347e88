"""Files of recorded events: every layout, each event's own bytes, the place of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamsync.sources.files import FilesInvalid, read_payload_files

ONE = '{"id": "evt_1",  "n": 1.50}'
TWO = '{"id":"evt_2","text":"é ]}"}'


def read(tmp_path: Path, name: str, text: str | bytes) -> list[tuple[str, bytes]]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [
        (place.removeprefix(f"{tmp_path}/"), body) for place, body in read_payload_files([path])
    ]


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("object.json", f"\n{ONE}\n", [2]),
        ("array.json", f"[\n{ONE},\n\n {TWO}\n]\n", [2, 4]),
        ("empty.json", "[ ]", []),
        ("lines.jsonl", f"{ONE}\n\n  {TWO}\r\n", [1, 3]),
        ("lines.json", f"{ONE}\n{TWO}", [1, 2]),
        (
            "export.json",
            f'{{"object":"list","has_more":false,\n"data":[{ONE},\n{TWO}],"url":"x"}}',
            [2, 3],
        ),
        ("export_last.json", f'{{"data": [\n{ONE}, {TWO}] , "object": "list"}}', [2, 2]),
    ],
)  # fmt: skip
def test_every_layout_keeps_the_bytes_of_each_event(
    tmp_path: Path, name: str, text: str, lines: list[int]
) -> None:
    found = read(tmp_path, name, text)
    assert [place for place, _ in found] == [f"{name}:{line}" for line in lines]
    assert [body for _, body in found] == [ONE.encode(), TWO.encode()][: len(lines)]


def test_a_list_inside_an_event_is_not_taken_for_an_export(tmp_path: Path) -> None:
    event = (
        '{"id":"evt_1","object":"event","data":{"object":{"lines":{"object":"list","data":[]}}}}'
    )
    assert read(tmp_path, "event.json", event) == [("event.json:1", event.encode())]


@pytest.mark.parametrize(
    "content", [b"{", b"[1,", b"\xff", b"[" * 100_000, b'{"object":"list","data":3}']
)
def test_what_is_no_json_is_one_event_for_the_reader_to_refuse(
    tmp_path: Path, content: bytes
) -> None:
    assert read(tmp_path, "broken.json", content) == [("broken.json:1", content)]


def test_a_broken_line_is_one_event_among_the_others(tmp_path: Path) -> None:
    found = read(tmp_path, "some.jsonl", f"{ONE}\nnonsense\n{TWO}\n")
    assert [body for _, body in found] == [ONE.encode(), b"nonsense", TWO.encode()]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FilesInvalid, match=r"none\.json: cannot be read \(No such file"):
        list(read_payload_files([tmp_path / "none.json"]))


def test_numbers_and_order_are_not_touched(tmp_path: Path) -> None:
    odd = '{"z":1.0,"a":1e5,"big":123456789012345678901234567890}'
    ((_, body),) = read(tmp_path, "odd.json", f"[{odd}]")
    assert body == odd.encode()
    assert json.loads(body)
