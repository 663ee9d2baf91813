"""Drift of what a release is asked and answers, against what it was when it was made. An environment of its own.

Licence of Alibi Detect, which does the tests: Business Source License 1.1 (docs/drift.md).
"""
