"""What a posting must have before any ERP sees it: dimensions, and tax codes that are known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from streamsync.core.company import Company, RequiredDimensions, TaxCode
from streamsync.governance import load_company, reference_data
from tests.company_folder import edit, errors_of
from tests.ledger_driver import ACME, Books
from tests.stripe_payloads import event, invoice, line, tax


def company(**changes: Any) -> Company:
    return replace(load_company(ACME), **changes)


def billed(books: Books, item: dict[str, Any], **changes: Any) -> None:
    books.customer("cus_1")
    books.webhook(event("invoice.finalized", invoice(item, **changes)))
    books.run()


def test_a_line_without_a_required_dimension_is_held_back_with_its_figures() -> None:
    required = RequiredDimensions(entity="acme-us", account="2400", dimensions=("product",))
    books = Books(company=company(required_dimensions=(required,)))
    billed(books, line(price=None))
    assert books.commands() == []
    (told,) = [one for one in books.exceptions().values() if one.state == "detected"]
    assert told.code == "dimension_missing"
    assert told.detail == (
        "role deferred_revenue on account 2400 of acme-us requires product; the line of 3100 USD "
        "has none"
    )
    other = invoice(line(id="il_2"), id="in_2")
    books.webhook(event("invoice.finalized", other, id="evt_2"))
    books.run()
    assert [command.document for command in books.commands()] == ["in_2"]
    books.publish(reference_data(company(version=2), 0, "test", None))
    books.run()
    assert len(books.commands()) == 2
    assert books.open_codes() == []


def test_an_unknown_tax_code_waits_and_a_known_one_gets_its_jurisdiction() -> None:
    codes = (TaxCode(code="txr_other", jurisdiction="US-NY"),)
    books = Books(company=company(tax_codes=codes))
    billed(books, line(tax_amounts=[tax(310)]), total=3410, tax=310)
    assert books.commands() == []
    assert books.open_codes() == ["tax_code_unknown"]
    more = (*codes, TaxCode(code="txr_1", jurisdiction="US-CA"))
    books.publish(reference_data(company(tax_codes=more, version=2), 0, "test", None))
    books.run()
    (command,) = books.commands()
    taxes = [each.tax.jurisdiction for each in command.lines if each.tax is not None]
    assert taxes == ["US-CA"]
    assert books.open_codes() == []


def test_files_of_requirements_are_read_and_checked(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    (folder / "dimensions.yaml").write_text(
        'dimensions:\n  - {entity: acme-us, account: "2400", requires: [product]}\n'
    )
    (folder / "tax_codes.yaml").write_text("tax_codes:\n  - {code: txr_1, jurisdiction: US-CA}\n")
    loaded = load_company(folder)
    assert loaded.required_dimensions == (
        RequiredDimensions(entity="acme-us", account="2400", dimensions=("product",)),
    )
    assert loaded.tax_codes == (TaxCode(code="txr_1", jurisdiction="US-CA"),)
    edit(folder, "dimensions.yaml", "2400", "2401")
    with (folder / "tax_codes.yaml").open("a") as file:
        file.write("  - {code: txr_1, jurisdiction: US-NY}\n")
    assert errors_of(folder) == [
        'dimensions.yaml:2:32: account_not_in_chart: Account "2401" is not in the chart of '
        '"acme-us". Did you mean "4010"?',
        'tax_codes.yaml:3:12: duplicate_id: "txr_1" is already used on line 2: choose another '
        "code.",
    ]
