"""Completes webhooks that hold only part of their object, by asking the billing system for it."""
