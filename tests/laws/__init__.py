"""The laws of the package: identities, inequalities, limits, invariances and round trips.

One test is one law; its docstring states it, the docstring of its class says what it is about.
`python -m tests.laws.table` writes them to `docs/laws.md`, `python -m tests.laws.mutate` shows that
they notice formulas broken on purpose.
"""
