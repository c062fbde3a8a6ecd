"""Draw the pictures of an evaluation from what it found and from its images.

The rule kept here: maps are drawn at the parameters of the images themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from edge.chaos.parameters import COORDINATES
from edge.records import ChaosParameters, MapName
from firmware_tools.evaluation import dynamics, pictures, robustness
from firmware_tools.evaluation.attacking import ATTACKED_SIDE
from firmware_tools.evaluation.findings import Drawn, Findings, Topic
from firmware_tools.evaluation.images import Sample
from firmware_tools.evaluation.speed import Timed
from firmware_tools.evaluation.ways import Way

_SHOWN_IMAGES: Final = 4


def draw_all(
    findings: Findings, ways: Sequence[Way], samples: Sequence[Sample], generator: np.random.Generator
) -> Iterator[Drawn]:
    """Draw four of the images, the maps at their parameters, and damage."""
    yield from _images(ways[0], _picked(samples), generator)
    yield from _maps(findings, ways, samples)
    yield from _damage(ways, samples, generator)


def draw_times(speeds: Sequence[Timed]) -> Drawn:
    """Draw how long each way takes."""
    return Drawn(
        Topic.SPEED,
        "how long it takes, by the bytes of an image: grey of 8 bits above, colour of 16 bits below",
        pictures.timings(speeds),
    )


def _picked(samples: Sequence[Sample]) -> list[Sample]:
    """Return the first image of each kind, grey or colour and 8 or 16 bits, and of the others as many as are missing."""
    kinds: dict[tuple[int, int], int] = {}
    for place, sample in enumerate(samples):
        kinds.setdefault((sample.samples.ndim, sample.samples.itemsize), place)
    picked = set(kinds.values())
    others = [place for place in range(len(samples)) if place not in picked]
    missing = min(_SHOWN_IMAGES - len(picked), len(others))
    picked |= {others[number * len(others) // missing] for number in range(missing)}
    return [samples[place] for place in sorted(picked)]


def _images(way: Way, samples: Sequence[Sample], generator: np.random.Generator) -> Iterator[Drawn]:
    for sample in samples:
        key = way.key(sample.samples, sample.moment)
        cipher = way.encipher(sample.samples, key)
        yield Drawn(
            Topic.IMAGES,
            f"{sample.name}, {way.name}: image, cipher image, deciphered, with histograms; of colour one of each channel",
            pictures.journey(sample.samples, cipher, way.decipher(cipher, key)),
        )
        yield Drawn(
            Topic.IMAGES,
            f"{sample.name}, {way.name}: samples against their neighbours",
            pictures.neighbours(sample.samples, cipher, generator),
        )


def _maps(findings: Findings, ways: Sequence[Way], samples: Sequence[Sample]) -> Iterator[Drawn]:
    logistic: list[float] = []
    drawn: set[MapName] = set()
    for way in ways:
        parameters = way.key(samples[0].samples, samples[0].moment).parameters
        if parameters is None:
            continue
        if parameters.map is MapName.LOGISTIC:
            logistic += [
                found.values[0]
                for sample in samples
                if (found := way.key(sample.samples, sample.moment).parameters) is not None
            ]
        elif parameters.map not in drawn:
            drawn.add(parameters.map)
            yield Drawn(Topic.MAPS, f"{way.name}: the attractor of {samples[0].name}", _attractor(parameters))
    if logistic:
        r, exponents = dynamics.exponents_over_box()
        picture = pictures.bifurcation(r, exponents, logistic)
        yield Drawn(
            Topic.MAPS, "bifurcation of the logistic map, its Lyapunov exponent, and the r of these images", picture
        )
    if findings.cycles:
        yield Drawn(
            Topic.MAPS, "steps until an orbit of the logistic map repeats itself", pictures.cycles(findings.cycles)
        )


def _attractor(parameters: ChaosParameters) -> bytes:
    if parameters.map is MapName.LORENZ:
        sigma, rho, beta = parameters.values
        return pictures.attractor(
            dynamics.orbit(dynamics.lorenz(sigma, rho, beta), (1.0, 1.0, rho - 1)),
            f"sigma {sigma:.4f}, rho {rho:.4f}, beta {beta:.4f}",
        )
    start = parameters.values[:COORDINATES]
    return pictures.attractor(
        dynamics.orbit(dynamics.hyper_lorenz, start), "from the state " + ", ".join(f"{value:.2f}" for value in start)
    )


def _damage(ways: Sequence[Way], samples: Sequence[Sample], generator: np.random.Generator) -> Iterator[Drawn]:
    """Draw damage of one image as a whole, with fewer pixels: of 8 bits if there is one, for it needs no window."""
    sample = next((each for each in samples if each.samples.dtype == np.uint8), samples[0])
    step = max(1, max(sample.samples.shape[:2]) // ATTACKED_SIDE)
    image = np.ascontiguousarray(sample.samples[::step, ::step])
    drawn: set[bool] = set()
    for way in ways:
        hyper = way.name.startswith(MapName.HYPERLORENZ_DNA.value)
        if hyper in drawn:
            continue
        drawn.add(hyper)
        key = way.key(image, sample.moment)
        shown = []
        for name in robustness.SHOWN:
            damaged, back = robustness.deciphered(way, image, key, name, generator)
            # As a viewer windows the image: noise above or below it would take all grey from it.
            shown += [(f"enciphered,\n{name}", damaged), ("deciphered", np.clip(back, image.min(), image.max()))]
        caption = f"{sample.name}, one pixel in {step} each way, {way.name}, the bare cipher alone: the product refuses all of these"
        yield Drawn(Topic.DAMAGE, caption, pictures.side_by_side(shown))
