"""The demo: the whole installation on one machine, played through and held against the evidence."""
