"""Time one network in a process of its own: from nothing to the first result, then one inference after another.

Run as `python -m firmware_tools.bench.one_network NAME RUNTIME ROUNDS`; prints JSON. The clock starts before the first
import, so what a daemon waits for at its start is all in it.
"""

import time

_BEGAN = time.perf_counter()

import json  # noqa: E402 - the clock runs already
import statistics  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from datetime import UTC, datetime  # noqa: E402

from edge.inference.networks import FeatureNetwork, ParameterNetwork, question_picture  # noqa: E402
from edge.metadata_image import metadata_image  # noqa: E402
from edge.records import FeatureNetworkName, MetadataRecord, NetworkName, Picture  # noqa: E402


def main() -> None:
    """Print milliseconds to the first result and of one inference, and the numeric profile."""
    name, runtime, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    run, profile = (
        _feature(runtime) if name in {each.value for each in FeatureNetworkName} else _parameter(name, runtime)
    )
    run()
    first = time.perf_counter() - _BEGAN
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    print(json.dumps({"first_ms": 1e3 * first, "median_ms": 1e3 * statistics.median(times), "profile": profile}))


def _parameter(name: str, runtime: str) -> tuple[Callable[[], object], str]:
    network = ParameterNetwork.load(NetworkName(name), runtime=runtime)
    image = metadata_image(MetadataRecord(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "bench", 2048, 2048, 5_000_000))
    return lambda: network.outputs(image), network.profile


def _feature(runtime: str) -> tuple[Callable[[], object], str]:
    network = FeatureNetwork.load(runtime=runtime)
    picture = Picture(question_picture(3))
    return lambda: network.features(picture), network.profile


if __name__ == "__main__":
    main()
