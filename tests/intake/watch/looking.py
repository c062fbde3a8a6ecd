"""How tests look at a watched folder."""

import pytest

LONG = 60.0  # seconds; a test that waits so long has failed


def names(watcher):
    return sorted(file.relative for file in watcher.listing())


def wait_until(watcher, wanted, looks=400):
    """Wait and list until exactly these names are there."""
    found = None
    for _ in range(looks):
        assert watcher.wait(LONG)
        found = names(watcher)
        if found == sorted(wanted):
            return
    pytest.fail(f"{len(found)} files listed, {len(wanted)} wanted")


def drain(watcher):
    """Use up what events are left of the preparation."""
    while watcher.wait(0.3):
        names(watcher)
