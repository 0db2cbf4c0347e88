"""Mutation testing of the core: break it in many small ways, and see that a test notices each.

Problem: a line that is run by tests is not a line that is tested. How: `mutants` makes one small
change of one function at a time; `harness`, a pytest plug-in, collects the tests once, learns which
functions each calls, and for every mutant runs those tests in a fork with the function's code
replaced. A mutant is killed when a test fails; one that no test notices, or that runs out of time,
has survived. `python -m tests.mutation --help` says how to run it.

Not mutated, and why:
- module and class level statements (constants, tables, field defaults): they have run before a fork
  can replace them; the tests of published figures hold the tables;
- texts of errors and docstrings: what a text says is no rule of accounting (a reason's name is, and
  is mutated);
- annotations, and `__repr__`: no result depends on them.
"""
