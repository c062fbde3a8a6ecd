"""Write or check the frozen vectors of both ciphers.

    python -m tests.chaos.make_vectors            # write vectors.json, after the reference has confirmed each vector
    python -m tests.chaos.make_vectors --check    # compare vectors.json with the package; exit status 1 if they differ

A plain image is the start of SHAKE-256("edge-encryptor/test plain"). Floats are written in hexadecimal, exactly.
"""

import json
import sys
from dataclasses import replace
from hashlib import sha256, shake_256
from io import BytesIO
from pathlib import Path

from edge.chaos.cipher import encipher
from edge.chaos.keyfile import key_file
from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_secret
from edge.records import ChaosParameters, MapName, Quantiser
from tests.chaos import reference, reference_b

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


CIPHER_A = (MapName.LOGISTIC, MapName.LORENZ)
PUBLISHED_KEY = (4.2314, 13.0451, 50.7751, 23.3523, 43.0, 201.0)


def cases():
    """Yield name, map, layout of every vector of cipher A."""
    for chaotic_map in CIPHER_A:
        for size in FILES:
            yield f"{chaotic_map}-file-{size}", chaotic_map, Layout.for_file(size)
        for name, (shape, itemsize) in PIXELS.items():
            yield f"{chaotic_map}-pixels-{name}", chaotic_map, Layout.for_pixels(shape, itemsize)
    # Two bands by the limit of rows, 512 lanes, and two bands by the limit of bytes with an incomplete row.
    yield "logistic-pixels-bands", MapName.LOGISTIC, Layout.for_pixels((1, 65539, 2, 1), 1)
    yield "logistic-file-bands", MapName.LOGISTIC, Layout.for_file((8 << 20) + 4099)
    yield "lorenz-file-lanes", MapName.LORENZ, Layout.for_file(500_009)
    yield "lorenz-file-bands", MapName.LORENZ, Layout.for_file((8 << 20) + 4099)


def cases_b():
    """Yield name, private key (None: drawn from the secret), quantiser, layout of every vector of cipher B."""
    for quantiser in Quantiser:
        name = f"{MapName.HYPERLORENZ_DNA}-{quantiser}"
        for size in FILES:
            yield f"{name}-file-{size}", None, quantiser, Layout.for_file(size)
        for shape_name, (shape, itemsize) in PIXELS.items():
            yield f"{name}-pixels-{shape_name}", None, quantiser, Layout.for_pixels(shape, itemsize)
        # A row of an odd number of bytes, so that pairs reach from one row into the next, and a tail.
        yield f"{name}-odd-rows", None, quantiser, Layout(size=2000, width=27, sample=3)
        yield f"{name}-pixels-bands", None, quantiser, Layout.for_pixels((1, 65539, 2, 1), 1)
        yield f"{name}-published-key", PUBLISHED_KEY, quantiser, Layout.for_pixels((1, 32, 32, 1), 1)
    yield "hyperlorenz-dna-wide-file-lanes", None, Quantiser.WIDE, Layout.for_file(300_007)


def plain_image(size):
    return shake_256(b"edge-encryptor/test plain").digest(size)


def joined(pieces):
    return b"".join(bytes(piece) for piece in pieces)


def inputs(vector):
    """Return layout, parameters, secret of a vector."""
    layout = Layout(size=vector["size"], width=vector["width"], sample=vector["sample"])
    values = tuple(float.fromhex(v) for v in vector["parameters"])
    parameters = ChaosParameters(map=MapName(vector["map"]), values=values, origin="secret")
    if parameters.map is MapName.HYPERLORENZ_DNA:
        pattern = bytes.fromhex(vector["pattern"])
        parameters = replace(parameters, pattern=pattern, quantiser=Quantiser(vector["quantiser"]))
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
    plain, secret = plain_image(layout[0]), bytes.fromhex(vector["secret"])
    if vector["map"] == MapName.HYPERLORENZ_DNA:
        pattern = bytes.fromhex(vector["pattern"])
        return reference_b.encipher(plain, layout, values, pattern, vector["quantiser"], secret)
    return reference.encipher(plain, layout, vector["map"], values, secret)


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


def confirmed(vector):
    """Return a vector with its results, after the reference has confirmed them."""
    results = package_results(vector)
    if results != reference_results(vector):
        sys.exit(f"the reference disagrees: {vector['name']}")
    return vector | expected(*results)


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
        vectors.append(confirmed(vector))
    for name, private_key, quantiser, layout in cases_b():
        secret = shake_256(b"edge-encryptor/test secret" + name.encode()).digest(32)
        parameters = parameters_from_secret(MapName.HYPERLORENZ_DNA, secret, quantiser=quantiser)
        vector = {
            "name": name,
            "map": MapName.HYPERLORENZ_DNA.value,
            "quantiser": quantiser.value,
            "parameters": [v.hex() for v in private_key or parameters.values],
            "pattern": parameters.pattern.hex(),
            "secret": secret.hex(),
            "size": layout.size,
            "width": layout.width,
            "sample": layout.sample,
        }
        vectors.append(confirmed(vector))
    VECTORS.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(differences()) or None)
    write()
