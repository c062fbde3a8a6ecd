"""The images that are offered at once, few of all that wait: which come in next, and whose chunks go now.

The rule kept here: urgent images have places of their own, and whoever has been asked for keeps its place. One thread uses
it; its length may be read by others. Times are those of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge.spool import SpooledImage
from edge.transfer.line import Line


@dataclass(slots=True)
class Offered:
    """An image that has been offered, or is about to be."""

    image: SpooledImage
    urgent: bool
    interval: float
    offer_at: float
    chunk_bytes: int = 0
    wanted: bool = False  # on this connection
    turn: int = 0  # the number of its last chunk among all that were sent
    held: bool = False  # its chunks have been kept back for an urgent image
    reached: int = -1  # the least chunk that was lacking when it was last asked for
    fruitless: int = 0  # offers and wants since it last got any further
    served: int = 0  # chunks since the image was last known to be whole
    pending: OrderedDict[int, None] = field(default_factory=OrderedDict)


class Offers:
    """What is offered, and the line that it comes from."""

    def __init__(self, line: Line, most: int, small_bytes: int) -> None:
        """Make places for `most` urgent images and as many others; images of at most `small_bytes` share one by two.

        A receiver has always one of them to go on with. Were large ones to wait there, an urgent one came behind them.
        """
        self._line = line
        self._halves = 2 * most
        self._small_bytes = small_bytes
        self._offered: dict[bytes, Offered] = {}

    def __len__(self) -> int:
        """How many images are offered or wait for that."""
        return len(self._line) + len(self._offered)

    def __iter__(self) -> Iterator[Offered]:
        return iter(list(self._offered.values()))

    def get(self, image_id: bytes) -> Offered | None:
        """Return what is offered under an image's id, None where it is not offered."""
        return self._offered.get(image_id)

    def image(self, image_id: bytes) -> SpooledImage | None:
        """Return the image of an id, offered or still in line; None where there is none."""
        offered = self._offered.get(image_id)
        return offered.image if offered else self._line.get(image_id)

    def add(self, image: SpooledImage) -> None:
        """Put an image in line."""
        self._line.add(image)

    def remove(self, image_id: bytes) -> None:
        """Forget an image, wherever it is."""
        self._offered.pop(image_id, None)
        self._line.remove(image_id)

    def fill(self, interval: float, now: float) -> None:
        """Give free places to the images whose turn it is, to be offered now and again after `interval` seconds."""
        for urgent in (True, False):
            while (image := self._line.first(urgent=urgent)) is not None and self._has_place(image, urgent=urgent):
                self._offered[image.image_id] = Offered(image, urgent, interval, now)
                self._line.remove(image.image_id)

    def _has_place(self, image: SpooledImage, *, urgent: bool) -> bool:
        """Say whether an image can be offered now, putting back for it one that nobody has asked for and that comes later."""
        mates = [each for each in self._offered.values() if each.urgent == urgent]
        if sum(2 - self._is_small(each.image) for each in mates) < self._halves:
            return True
        idle = [each.image for each in mates if not each.wanted]
        last = max(idle, key=self._line.place, default=image)
        if self._line.place(last) <= self._line.place(image):
            return False
        self._line.add(last)
        del self._offered[last.image_id]
        return True

    def in_order(self) -> list[Offered]:
        """Return all that is offered, or about to be, in the order in which a receiver is to take it up."""
        return sorted(self._offered.values(), key=lambda each: (not each.urgent, self._line.place(each.image)))

    def _is_small(self, image: SpooledImage) -> bool:
        return image.envelope.manifest.bulk_bytes <= self._small_bytes

    def hurry(self, interval: float, at: Callable[[], float]) -> None:
        """Offer everything again, each at the time that `at` gives, and begin the pauses anew."""
        for each in self._offered.values():
            each.offer_at, each.interval = at(), interval

    def forget_wants(self) -> None:
        """Begin a new connection: nobody has asked for anything on it."""
        for each in self._offered.values():
            each.pending.clear()
            each.wanted = False

    def turn(self, now: float) -> list[Offered]:
        """Return the images asked for whose chunks go now: all of them, or the urgent ones while there are any.

        While an urgent image waits for the receiver to take it up, one other goes on: its end makes room there.
        """
        busy = [each for each in self._offered.values() if each.wanted and (each.pending or each.offer_at > now)]
        urgent = [each for each in busy if each.urgent]
        if not urgent and any(each.urgent and each.chunk_bytes for each in self._offered.values()):
            urgent = busy[:1]
        for each in busy:
            if urgent and each not in urgent:
                each.held = True
            elif each.held:
                # The receiver may have given its place to another image: it says again what it lacks.
                each.held = False
                each.pending.clear()
                each.offer_at = now
        # The cap may allow one chunk in many steps: whoever had none for longest comes first.
        return sorted((each for each in urgent or busy if each.pending), key=lambda each: each.turn)
