"""The number of examples that a property test tries."""

import hypothesis


def examples(share: float) -> int:
    """The number of examples for a test that tries a share of those of the chosen profile."""
    return max(1, round(hypothesis.settings().max_examples * share))
