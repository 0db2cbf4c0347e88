"""Rows on disk hold values only; whoever looks at them sees the names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from streamsync.core.by_name import by_name
from streamsync.core.company import Company, RestatementJob
from streamsync.core.rate import Rate
from streamsync.core.records import CommandTax, PostingLine
from streamsync.core.schedule import Method
from streamsync.engine.rows import RowType, rows_of
from topology import resolve, rows

ROWS = rows_of(rows, resolve)
# Also JSON, in the payloads that rules and reference data are published as.
PUBLISHED = (Company, RestatementJob, Rate, Method)


def _structs(node: Any) -> Iterator[type[msgspec.Struct]]:
    """The records in a type, but none inside those that are published."""
    if isinstance(node, msgspec.inspect.StructType):
        if node.cls in PUBLISHED:
            return
        yield node.cls
        for field in node.fields:
            yield from _structs(field.type)
    for name in ("types", "item_types"):
        for one in getattr(node, name, ()):
            yield from _structs(one)
    for name in ("item_type", "value_type"):
        if (one := getattr(node, name, None)) is not None:
            yield from _structs(one)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tag)
def test_no_row_repeats_the_names_of_its_fields(row: RowType[Any]) -> None:
    told = set(_structs(msgspec.inspect.type_info(row.cls)))
    assert {one for one in told if not one.__struct_config__.array_like} == set()


def test_a_record_is_shown_by_name_as_deep_as_it_goes() -> None:
    line = PostingLine(
        no=1, role="tax_payable", account="2100", side="credit", amount_minor=5,
        functional_minor=5, tax=CommandTax(tax_code="ny", inclusive=False),
        dimensions={"product": "team"},
    )  # fmt: skip
    shown = by_name((line,))
    assert shown[0]["tax"] == {
        "tax_code": "ny", "jurisdiction": None, "rate": None, "base_minor": None,
        "inclusive": False,
    }  # fmt: skip
    assert shown[0]["dimensions"] == {"product": "team"}
    assert list(shown[0]) == [name for name in PostingLine.__struct_fields__]
