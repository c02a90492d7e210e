"""The environment of the lock file: what a package installs is what is imported."""

import importlib.metadata


def test_no_package_writes_over_another() -> None:
    """No two packages install the same file, so that their order makes no difference."""
    owners: dict[str, set[str]] = {}
    for package in importlib.metadata.distributions():
        for file in package.files or ():
            owners.setdefault(str(file), set()).add(package.metadata["Name"])
    shared = {frozenset(names) for names in owners.values() if len(names) > 1}
    assert not shared
