"""The bar that people see while images are carried: how many have arrived of how many were found."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from typing import Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from edge.daemon import Summary


class ImageBar:
    """A bar on standard error where that is a terminal, and nothing anywhere else. Log lines go above it."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.shown = wanted and sys.stderr.isatty()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._bar = self._stack.enter_context(tqdm(total=0, unit="image", disable=not self.shown, leave=False))
        if self.shown:
            self._stack.enter_context(logging_redirect_tqdm([logging.getLogger("edge")]))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def update(self, summary: Summary) -> None:
        """Show how far things are. Any thread may call this."""
        self._bar.total, self._bar.n = summary.images, summary.arrived
        self._bar.refresh()
