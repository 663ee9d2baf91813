"""A seeded marketplace whose truth is known: users, items, visits, and what any slate is really worth.

The equations and their sources stand in `docs/simulator.md`.
"""
