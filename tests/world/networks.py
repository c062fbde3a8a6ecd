"""Networks that need no model runtime: what they give depends on what they are given, and on nothing else."""

from __future__ import annotations

import hashlib

from edge.records import (
    FeatureNetworkName,
    FeatureVector,
    MetadataImage,
    NetworkName,
    NetworkOutputs,
    Picture,
)


class SteadyNetwork:
    """A parameter network."""

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Return 64 bytes drawn from the image's hash."""
        values = hashlib.sha512(image.pixels.tobytes()).digest()
        return NetworkOutputs(values, NetworkName.MOBILENETV2, bytes(32), "test")


class SteadyFeatures:
    """A feature network."""

    def features(self, picture: Picture) -> FeatureVector:
        """Return 1000 bytes drawn from the picture's hash."""
        values = hashlib.shake_256(picture.pixels.tobytes()).digest(1000)
        return FeatureVector(values, FeatureNetworkName.VGG16, bytes(32), "test")
