"""A company's rules as files: load, validate, compare, publish.

Problem: finance people decide how events are booked, and must be able to prove later who decided
what, when. How: a folder of YAML files is validated as a whole (every error with file, line and
what to do), compiled to one immutable `core.company.Company` with a version, and published to the
control topic, where the books pick it up at a stated tick.
"""

from streamsync.governance.diff import Change, diff
from streamsync.governance.load import load_company, load_customers, load_rates
from streamsync.governance.payload import (
    PayloadError,
    content_hash,
    from_payload,
    reference_data,
    to_payload,
)
from streamsync.governance.problems import CompanyErrors, Problem, UnknownProfile

__all__ = [
    "Change",
    "CompanyErrors",
    "PayloadError",
    "Problem",
    "UnknownProfile",
    "content_hash",
    "diff",
    "from_payload",
    "load_company",
    "load_customers",
    "load_rates",
    "reference_data",
    "to_payload",
]
