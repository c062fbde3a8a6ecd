"""How each network is trained: which network, on what side, for how many steps, from which seed.

The rule kept here: a recipe says everything that a result depends on beside the versions of the tools, so it stands in
the manifest, and a training that was interrupted goes on only under the very recipe it began with, or one with more stages.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from edge.records import SIDE, FeatureNetworkName, NetworkName

_WARM_UP_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Stage:
    """A run of steps on images of one side: Adam, its learning rate falling from `peak` to zero along a cosine."""

    side: int
    steps: int
    batch: int
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is trained. Weights do not depend on the side, so they go from one stage to the next."""

    network: NetworkName | FeatureNetworkName
    seed: int
    stages: tuple[Stage, ...]
    width: float = 1.0

    @property
    def steps(self) -> int:
        """How many steps all stages have together."""
        return sum(stage.steps for stage in self.stages)

    @property
    def images(self) -> int:
        """How many images are drawn; none is seen twice."""
        return sum(stage.steps * stage.batch for stage in self.stages)

    def at(self, step: int) -> tuple[int, int]:
        """Return the number of the stage that a step belongs to, and the step's number within it.

        Raises:
            IndexError: The recipe has no such step.
        """
        for number, stage in enumerate(self.stages):
            if step < stage.steps:
                return number, step
            step -= stage.steps
        raise IndexError("the recipe has no such step")

    def described(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


def learning_rate(stage: Stage, step: int) -> float:
    """Return the learning rate of one step of a stage: a short warm-up, then a cosine down to zero."""
    warm = min(1.0, (step + 1) / min(_WARM_UP_STEPS, stage.steps))
    return stage.peak * warm * (1 + math.cos(math.pi * step / stage.steps)) / 2


# Most images are seen at a quarter of the side, which costs a fifteenth; the last ones as devices draw them. A network that
# has read tiles of 7 pixels reads those of 14 and of 28 after some hundred steps more. Peaks were found by short runs.
_STAGES: Final = {
    NetworkName.MOBILENETV2: (
        Stage(SIDE // 4, 2400, 64, 3e-3),
        Stage(SIDE // 2, 600, 32, 1.5e-3),
        Stage(SIDE, 300, 32, 1e-3),
    ),
    NetworkName.RESNET18: (
        Stage(SIDE // 4, 1200, 64, 1e-3),
        Stage(SIDE // 2, 300, 32, 7e-4),
        Stage(SIDE, 160, 32, 5e-4),
    ),
    FeatureNetworkName.VGG16: (
        Stage(SIDE // 4, 6000, 32, 1e-3),
        Stage(SIDE // 2, 2000, 32, 7e-4),
        Stage(SIDE, 1000, 32, 4e-4),
    ),
}
_VGG16_WIDTH: Final = 0.25


def standard_recipe(
    network: NetworkName | FeatureNetworkName, *, seed: int = 1, effort: float = 1.0, width: float = _VGG16_WIDTH
) -> Recipe:
    """Return the recipe by which the networks that ship were made.

    Args:
        network: Which network.
        seed: What all weights and images follow from.
        effort: The share of the steps to take; each stage takes one at least.
        width: The width of the feature network; 1 is the published size.
    """
    stages = tuple(
        Stage(stage.side, max(1, round(stage.steps * effort)), stage.batch, stage.peak) for stage in _STAGES[network]
    )
    chosen = width if isinstance(network, FeatureNetworkName) else 1.0
    return Recipe(network=network, seed=seed, stages=stages, width=chosen)
