"""Write the frozen vectors beside this file: sealed images and receipts, good ones, and bad ones with one failure each.

Run with `python -m tests.vectors.make_vectors`; every run gives the same bytes. A file that was once released is never
changed: a new failure gets a new name.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.vectors.cases import BAD, BAD_RECEIPTS, GOOD, GOOD_RECEIPTS
from tests.vectors.recipes import AUDIENCE, BULK_LIMIT, HERE, NOW


def files() -> dict[str, bytes]:
    """Return every vector and the index that says what to expect of it, by name."""
    made: dict[str, bytes] = {}
    index: dict[str, Any] = {
        "now": NOW,
        "bulk_limit": BULK_LIMIT,
        "audience": AUDIENCE,
        "devices": ["device-1", "device-2", "device-3", "device-4"],
        "receivers": ["receiver-1", "receiver-2", "receiver-3"],
        "revoked": ["device-4", "receiver-2"],
        "unwrap": ["receiver-1.wrap", "receiver-2.wrap"],
        "good": {},
        "bad": {},
        "receipts": {},
    }
    for name, recipe in GOOD.items():
        made[f"good/{name}.sealed"] = recipe.build()
        index["good"][name] = {
            "plain_sha256": hashlib.sha256(recipe.image.plain).hexdigest(),
            "cipher_image_sha256": hashlib.sha256(recipe.image.cipher_image()).hexdigest(),
            "key_file_sha256": hashlib.sha256(recipe.image.key_file()).hexdigest(),
        }
    for name, (expect, recipe) in BAD.items():
        made[f"bad/{name}.sealed"] = recipe.build()
        index["bad"][name] = expect
    for name, receipt in GOOD_RECEIPTS.items():
        made[f"receipts/{name}.receipt"] = receipt.build()
        index["receipts"][name] = "verifies"
    for name, (expect, receipt) in BAD_RECEIPTS.items():
        made[f"receipts/{name}.receipt"] = receipt.build()
        index["receipts"][name] = expect
    made["index.json"] = (json.dumps(index, indent=1) + "\n").encode()
    return made


def main() -> None:
    """Write what is missing, and refuse to change what is there."""
    for name, data in files().items():
        path = HERE / name
        if name != "index.json" and path.exists() and path.read_bytes() != data:
            raise SystemExit(f"{name} is frozen, and would change")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
