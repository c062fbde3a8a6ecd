"""Files as the ledger's tests see them, and the way of a file to any state."""

from dataclasses import dataclass
from datetime import datetime

from edge.intake.ledger import FileState, ImageFacts
from edge.records import CaptureSource, CaptureTime

T0, T1, T2 = (f"2026-01-02T03:04:0{n}+00:00" for n in range(3))


@dataclass(frozen=True)
class Version:
    relative: str = "study/a.png"
    inode: int = 7
    size: int = 10
    mtime_ns: int = 5


FILE = Version()
FACTS = ImageFacts(
    image_id="00" * 15 + "01",
    sequence=1,
    sha256=b"\x01" * 32,
    sealed_bytes=1234,
    capture=CaptureTime(datetime.fromisoformat("2026-01-01T08:30:00.250000"), CaptureSource.EXIF_ORIGINAL),
    network="mobilenetv2",
    map="logistic",
    domain="file",
)


def bring_to(ledger, state, file=FILE, facts=FACTS):
    """Take the shortest legal way to a state."""
    ledger.observe(file, now=T0)
    if state is FileState.IGNORED:
        ledger.ignore(file, reason="no-image", now=T0)
    elif state is FileState.STUCK:
        ledger.stuck(file, reason="empty-file", now=T0)
    elif state is FileState.QUARANTINED:
        bring_to(ledger, FileState.SEALED, file, facts)
        ledger.quarantine(file, reason="unknown-signer", hint="enrol it", now=T0)
    else:
        way = (FileState.SEEN, *(s for s in FileState if s in PROGRESS))
        for step in way[1 : way.index(state) + 1]:
            ledger.advance(file, step, now=T0, facts=facts if step is FileState.SEALED else None)


PROGRESS = (FileState.SETTLED, FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED, FileState.DISPOSED)


def step(ledger, state, file, facts):
    if state is FileState.QUARANTINED:
        return ledger.quarantine(file, reason="r", now=T1)
    if state is FileState.IGNORED:
        return ledger.ignore(file, reason="r", now=T1)
    if state is FileState.STUCK:
        return ledger.stuck(file, reason="r", now=T1)
    return ledger.advance(file, state, now=T1, facts=facts if state is FileState.SEALED else None)
