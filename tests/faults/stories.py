"""Stories of a device and its hospital that between them take every durable step, and how a fault is put into one.

A story is told in acts. Between acts both ends are at rest and something happens to their folders. An end that a fault
ends is started again at once, without one, and the act goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from edge.errors import StorageError
from edge.intake.ledger import FileState, LedgerEntry
from tests.faults import disk
from tests.faults.launcher import TOGETHER
from tests.faults.stage import PATIENCE_SECONDS, Stage, Started, check, check_tidy
from tests.faults.steps import Fault
from tests.world import png, until

ENDS: Final = ("device", "receiver")
_KILLED: Final = -signal.SIGKILL


def _nothing(_stage: Stage) -> None:
    pass


@dataclass(frozen=True)
class Act:
    """What happens first, whether the receiver runs, and the exit codes that the device may end with."""

    before: Callable[[Stage], None] = _nothing
    receiver: bool = True
    codes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Story:
    """What the scanner writes, how the ends are set up, what happens, and what must be true at the end."""

    images: Mapping[str, bytes]
    acts: Sequence[Act] = (Act(),)
    original: str = "keep"
    environment: Callable[[Stage], Mapping[str, str]] = lambda _stage: {}
    verdict: Callable[[Stage], None] | None = None

    def judge(self, stage: Stage) -> None:
        """Fail where a promise is broken."""
        if self.verdict is None:
            check(stage, self.images, original=self.original)
        else:
            self.verdict(stage)


@dataclass(frozen=True)
class Strike:
    """A fault at one end in one act: the process is killed, or with `names` the power of its machine is cut.

    With `broker` the broker is killed with it. With `later` the process is killed at first, and the power is cut once the act is over: what the killed process did
    and did not live to sync may be lost then.
    """

    end: str
    act: int
    fault: Fault
    names: disk.Names | None = None
    seed: int = 0
    later: bool = False
    broker: bool = False


def play(stage: Stage, story: Story, strike: Strike | None = None, *, traces: Path | None = None) -> bool:
    """Tell a story and return whether the fault, if any, struck. Steps are noted below the folder `traces`."""
    stage.environment = story.environment(stage)
    stage.scan(story.images)
    struck = False
    for number, act in enumerate(story.acts):
        act.before(stage)
        here = strike if strike is not None and strike.act == number else None
        told = _Telling(stage, act, here)
        told.tell(None if traces is None else traces / str(number))
        struck |= told.struck
    story.judge(stage)
    return struck


class _Telling:
    """One act, told once, with the fault that strikes in it."""

    def __init__(self, stage: Stage, act: Act, strike: Strike | None) -> None:
        self._stage = stage
        self._act = act
        self._strike = strike
        self._ends = [end for end in ENDS if end == "device" or act.receiver]
        self._running: dict[str, Started] = {}
        self.struck = False

    def tell(self, trace: Path | None) -> None:
        """Start the ends, wait until all is done, and end them; start again what the fault ended."""
        try:
            for end in self._ends:
                self._start(end, trace)
            until(self._is_over, seconds=PATIENCE_SECONDS)
            for end in self._ends:
                self._stop(end)
        finally:
            for each in self._running.values():
                each.end(signal.SIGKILL)
        if self.struck and self._strike is not None and self._strike.later:
            _cut(self._stage, self._strike)
            _Telling(self._stage, replace(self._act, before=_nothing), None).tell(None)

    def _start(self, end: str, trace: Path | None) -> None:
        strike = self._strike if self._strike is not None and self._strike.end == end else None
        self._running[end] = self._stage.start(
            end,
            once=self._act.receiver,
            trace=None if trace is None else trace.with_suffix(f".{end}"),
            fault=None if strike is None else strike.fault,
            shadow=strike is not None and strike.names is not None,
        )

    def _start_again(self, end: str) -> None:
        strike = self._strike
        assert strike is not None, "an end was killed that no fault was put into"
        assert not self.struck, "an end was killed twice"
        self.struck = True
        if strike.broker:
            self._stage.broker.kill()
            self._stage.broker.start()
        if strike.names is not None and not strike.later:
            _cut(self._stage, strike)
        self._running[end] = self._stage.start(end, once=self._act.receiver, shadow=strike.later, goes_on=strike.later)

    def _is_over(self) -> bool:
        codes = {end: self._running[end].code for end in self._ends}
        for end, code in codes.items():
            if code == _KILLED:
                self._start_again(end)
                return False
            allowed = (None, *self._act.codes) if end == "device" else (None,)
            assert code in allowed, f"the {end} ended with {code}: {self._running[end].said[-2000:]}"
        if self._act.receiver:
            return codes["device"] is not None
        return FileState.OFFERED in {entry.state for entry in _ledger(self._stage)}

    def _stop(self, end: str) -> None:
        code = self._running[end].stop()
        if code == _KILLED:
            # It struck just after all was done: what is left is the next start's to tidy.
            self._start_again(end)
            until(self._is_over, seconds=PATIENCE_SECONDS)
            code = self._running[end].stop()
        allowed = self._act.codes if end == "device" else (0,)
        assert code in allowed, f"the {end} ended with {code}: {self._running[end].said[-2000:]}"


def _cut(stage: Stage, strike: Strike) -> None:
    assert strike.names is not None
    shadow = stage.root / f"{strike.end}.shadow"
    disk.leave([stage.root / strike.end], shadow, names=strike.names, seed=strike.seed)


def _ledger(stage: Stage) -> tuple[LedgerEntry, ...]:
    try:
        return stage.ledger()
    except StorageError:
        return ()  # it is still being made


# --- what happens between acts --------------------------------------------------------------------------------------


def _sealed(stage: Stage) -> Path:
    return next(stage.spool.glob("*.spooled"))


def _damage(stage: Stage) -> None:
    with _sealed(stage).open("r+b") as file:
        file.seek(20_000)
        file.write(b"another content")


def _lose_ledger(stage: Stage) -> None:
    for path in (stage.device / "state").glob("ledger.sqlite*"):
        path.unlink()


def _spoil_ledger(stage: Stage) -> None:
    (stage.device / "state" / "ledger.sqlite").write_bytes(b"no ledger at all " * 1000)


def _distrust(stage: Stage) -> None:
    (stage.receiver / "trust").rename(stage.root / "trust")
    (stage.receiver / "trust").mkdir()


def _trust(stage: Stage) -> None:
    (stage.receiver / "trust").rmdir()
    (stage.root / "trust").rename(stage.receiver / "trust")


def _forget_key(stage: Stage) -> None:
    """Give the receiver another key to open images with than the one that the device seals for."""
    shutil.copy(stage.receiver / "elsewhere.wrap.key", stage.receiver / "receiver.wrap.key")


def _leave_litter(stage: Stage) -> None:
    """Leave what processes leave that were killed in the middle of a write."""
    for path in (
        stage.spool / ".edge-00112233445566aa.tmp",
        stage.device / "state" / "scratch" / "pixels-0011.raw",
        *(stage.store / ".incoming" / "0011" / "plain", stage.store / ".incoming" / "stray"),
        stage.receiver / "state" / "quarantine" / ".edge-00112233445566ab.tmp",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")


def _leave_parts(stage: Stage) -> None:
    [(image_id, _, _)] = stage.catalogue()
    for kind in ("part", "have", "key"):
        (stage.receiver / "state" / "parts" / f"xray-1-{image_id}.{kind}").write_bytes(b"recorded already")


def _renew(stage: Stage) -> None:
    (stage.scans / "a.png").write_bytes(png("second"))


def _touch(stage: Stage) -> None:
    os.utime(stage.scans / "a.png", ns=(1, 1))


def _finish(stage: Stage) -> None:
    (stage.scans / "empty.png").unlink()


# --- verdicts -------------------------------------------------------------------------------------------------------


def _kept_on_both_sides(stage: Stage) -> None:
    """A device's image that the receiver cannot open is kept by both, and named."""
    check_tidy(stage)
    assert stage.stored() == {}
    assert [(str(entry.state), entry.reason) for entry in stage.ledger()] == [
        ("quarantined", "rejected-not-a-recipient")
    ]
    [spooled] = (stage.spool / "quarantine").glob("*.spooled")
    quarantine = stage.receiver / "state" / "quarantine"
    [sealed] = quarantine.glob("*.sealed")
    # Behind it the device keeps which file it was made of.
    assert spooled.read_bytes().startswith(sealed.read_bytes())
    [reason] = quarantine.glob("*.reason.json")
    assert json.loads(reason.read_bytes())["reason"] == "not-a-recipient"


def _two_versions(stage: Stage) -> None:
    """New content under an old name is one image more; the first is not overwritten."""
    check_tidy(stage)
    assert sorted(stage.stored().values()) == sorted([png("a"), png("second")])
    assert [str(entry.state) for entry in stage.ledger()] == ["disposed", "disposed"]


def _pixels_and_what_lies_beside(stage: Stage) -> None:
    """Decoded pixels are stored once, and what belongs beside them too."""
    check_tidy(stage)
    stored = stage.stored()
    images = [data for name, data in stored.items() if name.count(".") < 3]
    assert [np.asarray(Image.open(BytesIO(data))).tolist() for data in images] == [_PIXELS.tolist()]
    assert len(stored) == 2
    assert [str(entry.state) for entry in stage.ledger()] == ["disposed"]


def _others_held(stage: Stage) -> None:
    """What is no image is named and stays; the image arrived."""
    check_tidy(stage)
    assert list(stage.stored().values()) == [png("a")]
    assert {entry.relative: str(entry.state) for entry in stage.ledger()} == {"a.png": "disposed", "notes": "ignored"}


_PIXELS: Final = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)


def _photograph() -> bytes:
    exif = Image.Exif()
    exif[0x0132] = "2026:11:21 09:30:00"
    file = BytesIO()
    Image.fromarray(_PIXELS).save(file, "PNG", exif=exif)
    return file.getvalue()


def _moving(stage: Stage) -> dict[str, str]:
    return {"EDGE_ENCRYPTOR_WATCH_ORIGINAL": "move", "EDGE_ENCRYPTOR_WATCH_MOVE_TO": str(stage.moved)}


_ONE: Final = {"a.png": png("a")}
_ALONE: Final = Act(receiver=False)

STORIES: Final[Mapping[str, Story]] = {
    "kept": Story({"ward/a.png": png("a")}),
    "in chunks": Story(_ONE, environment=lambda _stage: {"EDGE_ENCRYPTOR_TRANSFER_CHUNK_SIZE": "16 KiB"}),
    "moved": Story({"ward/a.png": png("a")}, original="move", environment=_moving),
    "deleted": Story(_ONE, original="delete", environment=lambda _stage: {"EDGE_ENCRYPTOR_WATCH_ORIGINAL": "delete"}),
    "rejected and taken back": Story(_ONE, (Act(_distrust, codes=(3,)), Act(_trust))),
    "not to be opened": Story(_ONE, (Act(_forget_key, codes=(3,)),), verdict=_kept_on_both_sides),
    "pixels": Story(
        {"a.png": _photograph()},
        environment=lambda _stage: {"EDGE_ENCRYPTOR_CIPHER_DOMAIN": "pixels"},
        verdict=_pixels_and_what_lies_beside,
    ),
    "damaged in the spool": Story(_ONE, (_ALONE, Act(_damage))),
    "missing from the spool": Story(_ONE, (_ALONE, Act(lambda stage: _sealed(stage).unlink()))),
    "ledger lost": Story(_ONE, (_ALONE, Act(_lose_ledger))),
    "ledger damaged": Story(_ONE, (_ALONE, Act(_spoil_ledger))),
    "a new version": Story(_ONE, (Act(), Act(_renew)), verdict=_two_versions),
    "touched": Story(_ONE, (Act(), Act(_touch))),
    "no images": Story(
        {**_ONE, "empty.png": b"", "notes": b"for people"}, (Act(codes=(3,)), Act(_finish)), verdict=_others_held
    ),
    # Steps of the others once more, in the middle of several images that are kept, and receipted, together.
    "together": Story({f"{name}.png": png(name) for name in "abc"}, environment=lambda _stage: {TOGETHER: "1"}),
    "litter": Story(_ONE, (Act(_leave_litter), Act(_leave_parts))),
}
