"""The command `edge-firmware evaluate-models`: judge every network, print the tables, and fail where a line is missed."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import ExitCode, UsageError
from edge.inference.manifest import manifest_path, models_directory
from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.acceptance import pictures
from firmware_tools.acceptance.families import RECORDS, families
from firmware_tools.acceptance.likeness import measure_likeness
from firmware_tools.acceptance.spread import measure_spread
from firmware_tools.acceptance.verdicts import Line, described, described_likeness, judge, judge_features, table
from firmware_tools.training.card import write_card

_NETWORKS: Final = {name.value: name for name in (*NetworkName, *FeatureNetworkName)}
_IMAGES: Final = Path("../shared/images")


def add_evaluate_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the evaluate-models command to a parser."""
    parser.add_argument("--network", choices=[*_NETWORKS, "all"], default="all", help="which network (default: all)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="the networks' folder (default: those that ship)")
    parser.add_argument(
        "--records", type=int, default=RECORDS, help=f"metadata records, a multiple of 10 (default: {RECORDS:,})"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        default=_IMAGES,
        help=f"real images, where there are any (default: {_IMAGES})",
    )
    parser.add_argument("--runtime", choices=["ai-edge-litert", "tflite-runtime"], help="default: the first installed")
    parser.add_argument(
        "--update", action="store_true", help="write figures, pictures and model cards beside the networks"
    )


def run_evaluate_models(args: argparse.Namespace) -> int:
    """Judge the networks that the options name and print a table for each.

    Args:
        args: As parsed by `add_evaluate_models_arguments`.

    Returns:
        0, or the exit code of a model error where a line is missed.

    Raises:
        UsageError: A number or a folder cannot be used.
        ModelError: A network cannot be used at all.
    """
    if args.records % 10 or not 0 < args.records <= RECORDS:
        raise UsageError(f"--records must be a multiple of 10, at most {RECORDS:,}")
    folder = args.models or models_directory()
    met = True
    for name in _NETWORKS.values() if args.network == "all" else [_NETWORKS[args.network]]:
        judged = (
            _features(name, folder, args) if isinstance(name, FeatureNetworkName) else _parameters(name, folder, args)
        )
        print(table(f"{name.value}, {judged.profile}", judged.lines))
        met = met and all(line.met for line in judged.lines)
        if args.update:
            _update(folder, name, judged)
    return ExitCode.OK if met else ExitCode.MODEL


@dataclass(frozen=True, slots=True)
class _Judged:
    """The verdicts on one network, the figures behind them, pictures of them by name, and the numeric profile."""

    lines: tuple[Line, ...]
    figures: dict[str, Any]
    pictures: dict[str, bytes]
    profile: str


def _parameters(name: NetworkName, folder: Path, args: argparse.Namespace) -> _Judged:
    network = ParameterNetwork.load(name, directory=folder, runtime=args.runtime)
    spread = measure_spread(name, families(args.records), directory=folder, runtime=args.runtime)
    drawn = {}
    if args.update:
        drawn = {"input": pictures.metadata_example(), "spread": pictures.spread_histograms(spread)}
    return _Judged(judge(spread), described(spread), drawn, network.profile)


def _features(name: FeatureNetworkName, folder: Path, args: argparse.Namespace) -> _Judged:
    network = FeatureNetwork.load(name, directory=folder, runtime=args.runtime)
    likeness = measure_likeness(network, args.images if args.images.is_dir() else None)
    drawn = {}
    if args.update:
        drawn = {"input": pictures.drawings_example(), "likeness": pictures.likeness_matrix(likeness)}
    return _Judged(judge_features(likeness), described_likeness(likeness), drawn, network.profile)


def _update(folder: Path, name: NetworkName | FeatureNetworkName, judged: _Judged) -> None:
    """Enter what was measured into a network's manifest, and write its card and pictures anew."""
    path = manifest_path(folder, name)
    manifest = json.loads(path.read_text())
    manifest["acceptance"] = {
        "profile": judged.profile,
        "figures": judged.figures,
        "lines": [asdict(line) for line in judged.lines],
        "pictures": sorted(judged.pictures),
    }
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    for picture, content in judged.pictures.items():
        (folder / f"{name.value}.{picture}.png").write_bytes(content)
    write_card(folder, name)
