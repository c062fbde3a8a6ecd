"""Fixtures that more than one part of the suite needs."""

from pathlib import Path

import pytest

SHARED_IMAGES = Path(__file__).resolve().parent.parent.parent / "shared" / "images"


@pytest.fixture(scope="session")
def shared_images() -> Path:
    """The folder of real images beside the checkout; tests that need it skip by name where it is absent."""
    if not (SHARED_IMAGES / "MANIFEST.csv").is_file():
        pytest.skip("real images are absent: ../shared/images")
    return SHARED_IMAGES
