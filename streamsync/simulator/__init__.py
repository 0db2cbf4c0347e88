"""A billing system to try things on: Stripe-shaped webhooks and CRM customers, from a seed.

Problem: a demo and a test need a company with every billing event that matters, the same on every
run, and no account at a billing provider. How: pure functions; the same seed gives the same bytes.
Every feature in `scenario.FEATURES` is placed on purpose, whatever the seed.
"""

from streamsync.simulator.crm import Arrival, arrivals, customers
from streamsync.simulator.stream import SimulatedEvent, simulate

__all__ = ["Arrival", "SimulatedEvent", "arrivals", "customers", "simulate"]
