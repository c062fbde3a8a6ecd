"""The images that wait for their turn: urgent ones first, then the oldest or the newest, as configured.

The rule kept here: an image's place depends on the image alone and never on a clock, and only being taken or delivered
takes it out of the line. One thread uses it; its length may be read by others.
"""

from __future__ import annotations

import fnmatch
import heapq
import re
from collections.abc import Iterable

from edge.spool import SpooledImage


class Line:
    """A line of images."""

    def __init__(self, *, newest_first: bool = False, urgent: Iterable[str] = ()) -> None:
        """Make an empty line.

        Args:
            newest_first: whether images sealed later come first.
            urgent: name patterns (fnmatch, in any case); a file is urgent where its name, or that of a folder it is in
                below the watched one, matches.
        """
        self._sign = -1 if newest_first else 1
        self._pattern = re.compile("|".join(map(fnmatch.translate, urgent)) or r"(?!)", re.IGNORECASE)
        self._images: dict[bytes, SpooledImage] = {}
        self._heaps: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}

    def __len__(self) -> int:
        return len(self._images)

    def is_urgent(self, image: SpooledImage) -> bool:
        """Whether an image goes before all that are not urgent."""
        return any(self._pattern.fullmatch(name) for name in image.origin.relative.split("/"))

    def place(self, image: SpooledImage) -> tuple[int, bytes]:
        """Return what urgent images, and those that are not, are ordered by: the least is the first."""
        return (self._sign * image.sequence, image.image_id)

    def add(self, image: SpooledImage) -> None:
        """Put an image in line; it replaces one of its id."""
        if image.image_id not in self._images:
            heapq.heappush(self._heaps[self.is_urgent(image)], self.place(image))
        self._images[image.image_id] = image

    def first(self, *, urgent: bool) -> SpooledImage | None:
        """Return the image whose turn it is among the urgent ones or among the others, None where none waits."""
        heap = self._heaps[urgent]
        while heap and heap[0][1] not in self._images:
            heapq.heappop(heap)
        return self._images[heap[0][1]] if heap else None

    def get(self, image_id: bytes) -> SpooledImage | None:
        """Return the image of this id, None where it does not wait."""
        return self._images.get(image_id)

    def remove(self, image_id: bytes) -> None:
        """Take an image out of the line, if it is there."""
        self._images.pop(image_id, None)
