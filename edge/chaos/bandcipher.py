"""What both ciphers are to the loops over an image: the keys of a band, and what they do to it.

The rule kept here: keys are made anew at every call, so deciphering with keys made anew proves them; and whoever holds the
explicit key file deciphers with it, without the secret.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

from edge.chaos.buffers import Readable
from edge.chaos.layout import Band, Layout
from edge.chaos.permute import Bytes

Keys = TypeVar("Keys")


class BandCipher(ABC, Generic[Keys]):
    """A cipher for one image, band by band. Buffers are band buffers; what they hold beyond the band is undefined."""

    key_buffers: ClassVar[int]
    """Band buffers that `keys` needs."""
    file_buffers: ClassVar[int]
    """Band buffers that `key_pieces` and `read_keys` need."""

    @classmethod
    @abstractmethod
    def key_file_size(cls, layout: Layout) -> int:
        """Return the bytes of the explicit key file."""

    @abstractmethod
    def keys(self, secret: bytes, band: Band, buffers: Sequence[Bytes]) -> Keys:
        """Make the keys of a band from the image's secret."""

    @abstractmethod
    def key_pieces(self, secret: bytes, band: Band, buffers: Sequence[Bytes]) -> Iterator[memoryview]:
        """Yield the band's share of the explicit key file in pieces. A piece is valid until the next."""

    @abstractmethod
    def read_keys(self, source: Readable, band: Band, buffers: Sequence[Bytes]) -> Keys:
        """Read the band's share of the explicit key file.

        Raises:
            MalformedKeyFile: It ends early, or makes no sense.
        """

    @abstractmethod
    def encipher(self, band: Band, plain: Bytes, cipher: Bytes, keys: Keys) -> None:
        """Encipher a band from `plain`, which stays as it is, into `cipher`; the keys are used up."""

    @abstractmethod
    def decipher(self, band: Band, cipher: Bytes, plain: Bytes, keys: Keys) -> None:
        """Decipher a band from `cipher`, which is used up, into `plain`; so are the keys."""
