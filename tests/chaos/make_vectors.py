"""Write or check the frozen vectors of cipher A.

    python -m tests.chaos.make_vectors            # write vectors.json, after the reference has confirmed each vector
    python -m tests.chaos.make_vectors --check    # compare vectors.json with the package; exit status 1 if they differ

A plain image is the start of SHAKE-256("edge-encryptor/test plain"). Floats are written in hexadecimal, exactly.
"""

import json
import sys
from hashlib import sha256, shake_256
from io import BytesIO
from pathlib import Path

from edge.chaos.cipher import encipher
from edge.chaos.keyfile import key_file
from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_secret
from edge.records import ChaosParameters, MapName
from tests.chaos import reference

VECTORS = Path(__file__).with_name("vectors.json")
SHORT = 65  # bytes up to which a vector carries the cipher image and the key file themselves
PIXELS = {
    "gray": ((1, 5, 7, 1), 1),
    "gray16": ((1, 6, 5, 1), 2),
    "rgb-frames": ((2, 4, 3, 3), 1),
    "rgb16": ((1, 4, 5, 3), 2),
    "rgba-float": ((1, 3, 4, 4), 4),
    "one-column": ((3, 9, 1, 1), 1),
    "one-row": ((1, 1, 40, 1), 1),
}
FILES = (1, 7, 8, 9, 63, 64, 65, 255, 256, 1000, 5003)


def cases():
    """Yield name, map, layout of every vector."""
    for chaotic_map in MapName:
        for size in FILES:
            yield f"{chaotic_map}-file-{size}", chaotic_map, Layout.for_file(size)
        for name, (shape, itemsize) in PIXELS.items():
            yield f"{chaotic_map}-pixels-{name}", chaotic_map, Layout.for_pixels(shape, itemsize)
    # Two bands by the limit of rows, 512 lanes, and two bands by the limit of bytes with an incomplete row.
    yield "logistic-pixels-bands", MapName.LOGISTIC, Layout.for_pixels((1, 65539, 2, 1), 1)
    yield "logistic-file-bands", MapName.LOGISTIC, Layout.for_file((8 << 20) + 4099)
    yield "lorenz-file-lanes", MapName.LORENZ, Layout.for_file(500_009)
    yield "lorenz-file-bands", MapName.LORENZ, Layout.for_file((8 << 20) + 4099)


def plain_image(size):
    return shake_256(b"edge-encryptor/test plain").digest(size)


def joined(pieces):
    return b"".join(bytes(piece) for piece in pieces)


def inputs(vector):
    """Return layout, parameters, secret of a vector."""
    layout = Layout(size=vector["size"], width=vector["width"], sample=vector["sample"])
    values = tuple(float.fromhex(v) for v in vector["parameters"])
    parameters = ChaosParameters(map=MapName(vector["map"]), values=values, origin="secret")
    return layout, parameters, bytes.fromhex(vector["secret"])


def package_results(vector):
    """Return the cipher image and the key file as the package makes them."""
    layout, parameters, secret = inputs(vector)
    cipher = joined(encipher(BytesIO(plain_image(layout.size)), layout, parameters, secret))
    return cipher, joined(key_file(layout, parameters, secret))


def reference_results(vector):
    """Return the cipher image and the key file as the reference makes them."""
    values = [float.fromhex(v) for v in vector["parameters"]]
    layout = (vector["size"], vector["width"], vector["sample"])
    return reference.encipher(plain_image(layout[0]), layout, vector["map"], values, bytes.fromhex(vector["secret"]))


def expected(cipher, keys):
    """Return what a vector freezes of its results."""
    frozen = {"cipher_sha256": sha256(cipher).hexdigest(), "key_file_sha256": sha256(keys).hexdigest()}
    if len(cipher) <= SHORT:
        frozen |= {"cipher": cipher.hex(), "key_file": keys.hex()}
    return frozen


def differences():
    """Return the names of the vectors that the package does not reproduce."""
    vectors = json.loads(VECTORS.read_text())
    return [v["name"] for v in vectors if any(v[k] != e for k, e in expected(*package_results(v)).items())]


def write():
    vectors = []
    for name, chaotic_map, layout in cases():
        secret = shake_256(b"edge-encryptor/test secret" + name.encode()).digest(32)
        vector = {
            "name": name,
            "map": chaotic_map.value,
            "parameters": [v.hex() for v in parameters_from_secret(chaotic_map, secret).values],
            "secret": secret.hex(),
            "size": layout.size,
            "width": layout.width,
            "sample": layout.sample,
        }
        cipher, keys = package_results(vector)
        if (cipher, keys) != reference_results(vector):
            sys.exit(f"the reference disagrees: {name}")
        vectors.append(vector | expected(cipher, keys))
    VECTORS.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(differences()) or None)
    write()
