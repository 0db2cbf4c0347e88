"""Whatever stands in a company folder, its author gets a company or a list of errors."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.governance import CompanyErrors, from_payload, load_company, to_payload
from tests.company_folder import ACME

FILES = sorted(path.name for path in ACME.glob("*.yaml"))
YAML_PIECES = st.sampled_from(
    ["- ", ": ", "[", "]", "{", "}", "&a ", "*a", "!!int ", "? ", "| ", '"', "'", "#", "\n", "~"]
)


def load(folder: Path) -> None:
    """Load, and check what either outcome promises."""
    try:
        company = load_company(folder)
    except CompanyErrors as errors:
        assert errors.problems
        assert all(found.line >= 1 and found.column >= 1 for found in errors.problems)
        assert all(found.message.endswith((".", "?")) for found in errors.problems)
    else:
        assert from_payload(to_payload(company)) == company


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FILES), text=st.text() | st.lists(YAML_PIECES).map("".join))
def test_any_text_gives_a_company_or_errors(name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(ACME, Path(scratch) / "acme"))
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
        load(folder)


@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(FILES), data=st.data())
def test_any_edit_gives_a_company_or_errors(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(ACME, Path(scratch) / "acme"))
        text = (folder / name).read_text(encoding="utf-8")
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        put = data.draw(YAML_PIECES | st.text(max_size=6) | st.just(text[start:end] * 2))
        edited = text[:start] + put + text[end:]
        (folder / name).write_text(edited, encoding="utf-8", errors="replace")
        load(folder)


@settings(max_examples=8, deadline=None)
@given(depth=st.sampled_from([12, 13, 900, 1500]), opener=st.sampled_from("[{"))
def test_any_depth_gives_errors(depth: int, opener: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(ACME, Path(scratch) / "acme"))
        (folder / "company.yaml").write_text("tenant: " + opener * depth, encoding="utf-8")
        load(folder)
