"""Run the attacks and say what they came to: against the key that a time stamp alone gives, and against the product.

The rule kept here: what an attack came to is compared with the image itself, never taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from tqdm import tqdm

from edge.records import MapName
from firmware_tools.evaluation import attacks
from firmware_tools.evaluation.findings import Attacked
from firmware_tools.evaluation.images import Sample, middle
from firmware_tools.evaluation.refusal import one_bit_changed
from firmware_tools.evaluation.ways import Image, Way

ATTACKED_SIDE: Final = 256
_FORCED_SIDE: Final = 48
_FORCED_SECONDS: Final = 120
"""How many time stamps are tried: two minutes around the capture; the report says what a year would take."""
_NOISE: Final = 1e-4
"""A P-value below this is no noise."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What is attacked: a way, and an image with the time it was taken."""

    way: Way
    image: Image
    moment: datetime

    def shared(self, image: Image) -> Image:
        """Encipher under the key that the time stamp alone gives, as the papers do."""
        return self.way.encipher(image, self.way.key(self.image, self.moment, attacks.PAPER_SECRET))

    def fresh(self, image: Image) -> Image:
        """Encipher under a key of its own, as the product does."""
        return self.way.encipher(image, self.way.key(image, self.moment))


def attack_all(ways: Sequence[Way], sample: Sample, generator: np.random.Generator) -> Iterator[Attacked]:
    """Attack the ways that permute, with the middle of one image; then the sealed image itself."""
    permuting = [way for way in ways if way.name.startswith((f"{MapName.LOGISTIC.value} ", f"{MapName.LORENZ.value} "))]
    image = middle(sample.samples, ATTACKED_SIDE)
    for way in tqdm(permuting, unit="way", desc="attacking"):
        target = _Target(way, image, sample.moment)
        yield _chosen_plaintext(target)
        yield _two_time_pad(target)
    networked = [way for way in permuting if not way.name.endswith("bare")]
    if networked:
        yield from _brute_force(networked[0], sample)
    if ways:
        yield _tampering(ways[0], image, sample.moment, generator)


def _chosen_plaintext(target: _Target) -> Attacked:
    image = target.image
    broken = attacks.recover_key_file(target.shared, image)
    exact = broken.holds and np.array_equal(broken.decipher(target.shared(image)), image)
    tried = attacks.recover_key_file(target.fresh, image)
    return Attacked(
        f"{target.way.name}: chosen images",
        f"{broken.images} images give xindex, yindex and zkey: "
        + ("the image deciphers exactly" if exact else "the image does not decipher"),
        f"{tried.images} images: " + ("RECOVERED" if tried.holds else "what comes out is not even a permutation"),
        broken=exact,
        held=not tried.holds,
    )


def _two_time_pad(target: _Target) -> Attacked:
    image, other = target.image, np.ascontiguousarray(target.image[::-1])
    shared = attacks.two_time_pad(target.shared(image), target.shared(other))
    fresh = attacks.two_time_pad(target.fresh(image), target.fresh(other))

    def said(pad: attacks.TwoTimePad) -> str:
        return f"the difference of two images has {pad.entropy:.3f} bits a sample, p = {pad.p_value:.2g}"

    return Attacked(
        f"{target.way.name}: two images of one second",
        said(shared),
        said(fresh),
        broken=shared.p_value < _NOISE,
        held=fresh.p_value >= _NOISE,
    )


def _brute_force(way: Way, sample: Sample) -> Iterator[Attacked]:
    image = middle(sample.samples, _FORCED_SIDE)
    if not attacks.looks_like_an_image(image):
        # A flat middle gives no sign of success: there is nothing to try it on.
        return
    moments = list(attacks.seconds_from(sample.moment.replace(microsecond=0), _FORCED_SECONDS))
    taken = moments[len(moments) * 3 // 4]
    paper = attacks.brute_force(way, way.encipher(image, way.key(image, taken, attacks.PAPER_SECRET)), moments)
    product = attacks.brute_force(way, way.encipher(image, way.key(image, taken)), moments)
    days = paper.seconds_for_a_year / 86_400
    yield Attacked(
        f"{way.name}: all time stamps",
        ("found" if paper.found == taken else "NOT found")
        + f" after {paper.tried} of {len(moments)} seconds; all seconds of a year take {days:.1f} days on this machine",
        f"nothing found in {product.tried}: the secret has 256 bits" if product.found is None else "FOUND",
        broken=paper.found == taken,
        held=product.found is None,
    )


def _tampering(way: Way, image: Image, moment: datetime, generator: np.random.Generator) -> Attacked:
    key = way.key(image, moment)
    cipher = way.encipher(image, key)
    changed = cipher.copy()
    changed.flat[int(generator.integers(image.size))] ^= 1
    altered = int(np.count_nonzero(way.decipher(changed, key) != image))
    refused = one_bit_changed(cipher, generator)
    return Attacked(
        f"{way.name}: one bit changed on the way",
        f"the bare cipher deciphers all the same, {altered} of {image.size} samples altered",
        f"{refused.by_signature} of {refused.tried} refused by the signature; had they been signed, {refused.by_seal} by "
        "AES-256-GCM and RSA-OAEP alone",
        broken=altered < image.size // 2,
        held=refused.by_signature == refused.by_seal == refused.tried,
    )
