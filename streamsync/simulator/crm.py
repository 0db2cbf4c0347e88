"""The CRM beside the simulated billing system: who the customers are, and when it tells.

Problem: master data comes from another system, and sometimes later than the first invoice. How:
every account of the simulation has one customer record; most are known before the first event, a
few are told some days after their sign-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from streamsync.core.records import Customer
from streamsync.simulator.life import DAY_S
from streamsync.simulator.scenario import Cast, cast
from streamsync.simulator.stream import START, start_second
from streamsync.sources.account import account_key


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the CRM tells of a customer; `late`: after the customer's first event."""

    time_ms: int
    customer: Customer
    late: bool


def _customer(member: Cast, tenant: str, source: str) -> Customer:
    return Customer(
        tenant=tenant,
        account=account_key(tenant, source, member.customer),
        party=f"party-{member.index:05d}",
        country=member.country,
        segment="enterprise" if member.plan.annual else "business",
        version=1,
        deleted=False,
        published_by="crm",
    )


def customers(
    seed: int, accounts: int = 100, tenant: str = "acme", source: str = "stripe"
) -> list[Customer]:
    """The CRM's record of every account that `simulate` plays."""
    return [_customer(member, tenant, source) for member in cast(seed, accounts)]


def arrivals(
    seed: int,
    accounts: int = 100,
    start: date = START,
    tenant: str = "acme",
    source: str = "stripe",
) -> list[Arrival]:
    """The same records with their times: at the start, or days after the sign-up."""
    first = start_second(start)
    told = []
    for member in cast(seed, accounts):
        late = member.late_days > 0
        second = first + (member.sign_up_second + member.late_days * DAY_S if late else 0)
        told.append(Arrival(second * 1000, _customer(member, tenant, source), late))
    return sorted(told, key=lambda arrival: (arrival.time_ms, arrival.customer.account))
