"""A scanner's folder that answers wrongly, or not at all, is never taken for one that is done."""

from __future__ import annotations

import errno

import pytest

from edge.errors import UnreadableFile, VanishedFile
from edge.intake.ledger import FileState
from edge.records import SettledFile
from edge.sealing import Sealer
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import Hospital, RunningDaemon, RunningReceiver, Site, png, refuse_listing, until


def test_a_file_that_is_gone_for_a_moment_is_carried_afterwards(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A share answers "no such file" once, and lists the file before and after.
    real = Sealer.inspect
    gone: list[SettledFile] = []

    def inspect(sealer: Sealer, file: SettledFile, *, incomplete: bool = False) -> object:
        if not gone:
            gone.append(file)
            raise VanishedFile("the file is gone")
        return real(sealer, file, incomplete=incomplete)

    monkeypatch.setattr(Sealer, "inspect", inspect)
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)), RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.DISPOSED})
    assert gone
    assert hospital.contents() == [png("a")]


def test_once_does_not_call_it_done_when_the_folder_is_gone(site: Site, broker: MemoryBroker) -> None:
    site.scans.rmdir()
    with pytest.raises(UnreadableFile, match="missing"):
        site.run_once(broker)


def test_once_does_not_call_it_done_when_a_part_of_the_folder_cannot_be_read(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("a.png", png("a"))
    site.scan("closed/b.png", png("b"))
    refuse_listing(monkeypatch, site.scans / "closed", PermissionError(errno.EACCES, "Permission denied"))
    with RunningReceiver(hospital, MemoryTransport(broker)), pytest.raises(UnreadableFile, match="a part of"):
        site.run_once(broker)
    assert hospital.contents() == [png("a")]
