"""Files of a company folder that can't be read: the message names place, rule and remedy.

Each case edits a copy of examples/acme and states the whole message that an author reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamsync.governance import CompanyErrors, load_company
from tests.company_folder import ACME, edit, errors_of


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example company."""
    return Path(shutil.copytree(ACME, tmp_path / "acme"))


US_POLICY = "acme-us, profile: stripe, from: 2012-01-01}"
SYNTAX = "Check indentation, colons and quotes here and on the line before."

# Name: (file, text, replacement, the messages).
CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "unknown key": (
        "entities.yaml",
        "time_zone: Asia/Tokyo",
        "timezone: Asia/Tokyo",
        [
            'entities.yaml:14:5: missing_key: "time_zone" is missing: add it.',
            'entities.yaml:18:5: unknown_key: "timezone" is no key of this place. Did you mean '
            '"time_zone"? Known keys: country, functional_currency, id, ledger, name, target_erp, '
            "time_zone.",
        ],
    ),
    "duplicate key": (
        "entities.yaml",
        "    country: JP",
        "    country: JP\n    country: US",
        [
            'entities.yaml:17:5: duplicate_key: "country" is already given on line 16: keep one of '
            "the two."
        ],
    ),
    "yaml syntax: a bracket": (
        "policies.yaml",
        US_POLICY,
        US_POLICY.rstrip("}"),
        [
            "policies.yaml:7:5: yaml_syntax: While parsing a flow mapping, expected ',' or '}', "
            f"but got '{{'. {SYNTAX}"
        ],
    ),
    "an anchor given twice": (
        "entities.yaml",
        "    country: JP",
        "    country: &here JP\n    name: &here Acme",
        [
            'entities.yaml:17:11: yaml_syntax: The anchor "here" is already given on line 16: give '
            "this one another name."
        ],
    ),
    "yaml syntax: a tab": (
        "entities.yaml",
        "    country: JP",
        "\tcountry: JP",
        [
            "entities.yaml:16:1: yaml_syntax: While scanning for the next token, found character "
            f"'\\t' that cannot start any token. {SYNTAX}"
        ],
    ),
    "yaml syntax: a control character": (
        "company.yaml",
        "tenant: acme",
        "tenant: ac\x07me",
        ["company.yaml:3:11: yaml_syntax: The character U+0007 is not allowed: remove it."],
    ),
    "a reserved tenant": (
        "company.yaml",
        "tenant: acme",
        "tenant: book",
        [
            'company.yaml:3:9: wrong_value: "book" is reserved for the accounts of entities: '
            "choose another name."
        ],
    ),
    "yaml that would run code": (
        "company.yaml",
        "tenant: acme",
        "tenant: !!python/name:os.system acme",
        [
            "company.yaml:3:9: yaml_syntax: The tag tag:yaml.org,2002:python/name:os.system is not "
            "allowed: write plain YAML."
        ],
    ),
    "empty value: a condition that would match everything": (
        "entity_rules.yaml",
        "{id: country-jp, country: JP, entity",
        "{id: country-jp, country: null, entity",
        ['entity_rules.yaml:10:22: wrong_value: "country" has no value: write one or remove it.'],
    ),
    "not a whole number": (
        "company.yaml",
        "version: 1",
        "version: 1.5",
        ['company.yaml:8:10: wrong_value: "1.5" is not a whole number: write digits only.'],
    ),
    "too low": (
        "thresholds.yaml",
        "payment_applied: 0",
        "payment_applied: -1",
        ['thresholds.yaml:7:20: wrong_value: "-1" is too low: the lowest is 0.'],
    ),
    "not one of the choices": (
        "company.yaml",
        "customer_owner: crm",
        "customer_owner: erp",
        ["company.yaml:17:17: wrong_value: \"erp\" is not one of 'crm' or 'billing'."],
    ),
    "a date without hyphens": (
        "company.yaml",
        "2012-01-01",
        "20120101",
        ['company.yaml:10:17: wrong_value: "20120101" is not a date: write it as YYYY-MM-DD.'],
    ),
    "not a date": (
        "company.yaml",
        "2012-01-01",
        "2012-02-30",
        ['company.yaml:10:17: wrong_value: "2012-02-30" is not a date: write it as YYYY-MM-DD.'],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_rule_is_named_with_its_place_and_remedy(acme: Path, case: str) -> None:
    file, old, new, messages = CASES[case]
    edit(acme, file, old, new)
    assert errors_of(acme) == messages


def test_missing_file_is_named(acme: Path) -> None:
    (acme / "chart.yaml").unlink()
    assert errors_of(acme) == [
        'chart.yaml:1:1: missing_file: There is no file "chart.yaml" in the folder: add it.'
    ]


def test_file_that_nothing_reads_is_named(acme: Path) -> None:
    (acme / "entity-rules.yml").write_text("x: 1\n", encoding="utf-8")
    [message] = errors_of(acme)
    assert message.startswith(
        'entity-rules.yml:1:1: unknown_file: "entity-rules.yml" is no file of a company folder. '
        'Did you mean "entity_rules.yaml"?'
    )


def test_empty_file_is_named(acme: Path) -> None:
    (acme / "accounts.yaml").write_text("# later\n", encoding="utf-8")
    assert errors_of(acme) == [
        'accounts.yaml:1:1: wrong_value: Expected "accounts:" with a list under it.'
    ]


def test_file_in_another_encoding_is_named(acme: Path) -> None:
    (acme / "company.yaml").write_bytes("tenant: acmé\n".encode("latin-1"))
    assert errors_of(acme) == [
        "company.yaml:1:1: yaml_syntax: Not UTF-8 at byte 11: save the file as UTF-8."
    ]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompanyErrors) as raised:
        load_company(tmp_path / "nowhere")
    assert "There is no such folder" in str(raised.value)
