"""A deterministic campaign on the in-memory driver: one seed, one company life, many faults.

Problem: the few crashes that one thinks of are not the ones that break books. How: `options` draws
a run from a seed, `life` a company, `world` feeds it to the topology, `faults` crash and hand over
under way, `erp` answers badly; then `checks` hold everything against folds and recomputations that
share nothing with the engine. `planted` breaks the code on purpose, to see the checks fail.
"""
