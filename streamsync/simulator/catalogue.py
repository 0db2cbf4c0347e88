"""What the simulated company sells, and the taxes it adds. Amounts are minor units."""

from __future__ import annotations

from dataclasses import dataclass

UNITED_STATES = "US"
JAPAN = "JP"
GERMANY = "DE"
KUWAIT = "KW"
CURRENCY = {UNITED_STATES: "usd", JAPAN: "jpy", GERMANY: "eur", KUWAIT: "kwd"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A price of a product; `foreign`: its currency, where that is not the country's own."""

    price: str
    product: str
    country: str
    amount: int
    annual: bool
    foreign: str | None = None

    @property
    def currency(self) -> str:
        """What it is billed in, as Stripe writes it."""
        return self.foreign or CURRENCY[self.country]


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax rate in thousandths of a percent, on top of the price or inside it."""

    rate: str
    country: str
    jurisdiction: str
    milli_percent: int
    inclusive: bool

    def of(self, amount: int) -> int:
        """The tax on (or in) an amount; half a unit is rounded up."""
        base = 100_000 + (self.milli_percent if self.inclusive else 0)
        whole = abs(amount) * self.milli_percent
        tax = (2 * whole + base) // (2 * base)
        return -tax if amount < 0 else tax


# Cheapest first within a country and interval: an upgrade goes to the next one. Dinars have three
# decimals, and Stripe takes only whole tens of the last one; a year in Kuwait is sold in dollars.
PLANS = (
    Plan("price_us_starter", "prod_starter", UNITED_STATES, 3100, annual=False),
    Plan("price_us_team", "prod_team", UNITED_STATES, 9900, annual=False),
    Plan("price_us_business", "prod_business", UNITED_STATES, 24900, annual=False),
    Plan("price_us_team_year", "prod_team", UNITED_STATES, 99000, annual=True),
    Plan("price_us_business_year", "prod_business", UNITED_STATES, 249000, annual=True),
    Plan("price_jp_starter", "prod_starter", JAPAN, 4400, annual=False),
    Plan("price_jp_team", "prod_team", JAPAN, 14300, annual=False),
    Plan("price_jp_business", "prod_business", JAPAN, 35200, annual=False),
    Plan("price_jp_team_year", "prod_team", JAPAN, 143000, annual=True),
    Plan("price_de_starter", "prod_starter", GERMANY, 2900, annual=False),
    Plan("price_de_team", "prod_team", GERMANY, 8900, annual=False),
    Plan("price_de_business", "prod_business", GERMANY, 22900, annual=False),
    Plan("price_de_team_year", "prod_team", GERMANY, 89000, annual=True),
    Plan("price_kw_starter", "prod_starter", KUWAIT, 9500, annual=False),
    Plan("price_kw_team", "prod_team", KUWAIT, 30450, annual=False),
    Plan("price_kw_business", "prod_business", KUWAIT, 76610, annual=False),
    Plan("price_kw_business_usd", "prod_business", KUWAIT, 249000, annual=True, foreign="usd"),
)
TAXES = (
    Tax("txr_us_ny", UNITED_STATES, "NY", 8875, inclusive=False),
    Tax("txr_us_wa", UNITED_STATES, "WA", 10250, inclusive=False),
    Tax("txr_jp", JAPAN, "JP", 10000, inclusive=False),
    Tax("txr_jp_in", JAPAN, "JP", 10000, inclusive=True),
    Tax("txr_de", GERMANY, "DE", 19000, inclusive=False),
    Tax("txr_de_in", GERMANY, "DE", 19000, inclusive=True),
)


def neighbour(plan: Plan, step: int) -> Plan:
    """The next dearer (1) or cheaper (-1) plan of the same country and interval."""
    fitting = [
        other
        for other in PLANS
        if (other.country, other.annual, other.foreign) == (plan.country, plan.annual, plan.foreign)
    ]
    return fitting[fitting.index(plan) + step]
