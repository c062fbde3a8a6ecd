"""A second implementation of cipher A, written from PROTOCOL.md alone: plain Python numbers, slow, no NumPy.

It imports nothing of the package. What it and the package agree on is frozen in vectors.json.
"""

import struct
from hashlib import shake_256
from math import isqrt

MAP_CODES = {"logistic": 1, "lorenz": 2}
BAND_BYTES = 8388608
BAND_ROWS = 65536
MOST_LANES = {"logistic": 8192, "lorenz": 4096}
SEED_BYTES = {"logistic": 8, "lorenz": 24}
BURN_IN = 16
SIXTH = float.fromhex("0x1.5555555555555p-8")


def file_layout(size):
    return size, max(1, isqrt(size) // 8), 8


def bands(size, width, sample):
    """Return (index, rows, bytes) of every band."""
    row_bytes = width * sample
    rows, tail = divmod(size, row_bytes)
    if rows == 0:
        return [(0, 0, tail)]
    limit = min(BAND_ROWS, max(1, BAND_BYTES // row_bytes))
    wanted = (rows + limit - 1) // limit
    height = (rows + wanted - 1) // wanted
    starts = range(0, rows, height)
    result = [(i, min(height, rows - start), min(height, rows - start) * row_bytes) for i, start in enumerate(starts)]
    index, last_rows, last_bytes = result[-1]
    result[-1] = (index, last_rows, last_bytes + tail)
    return result


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def logistic_orbit(y, r):
    """Yield the one coordinate after each step."""
    while True:
        y = y * (r - y)
        yield (y,)


def lorenz_orbit(start, parameters):
    """Yield the three coordinates after each step."""
    x, y, z = start
    sigma, rho, beta = parameters

    def slope(x, y, z):
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    def move(k, h):
        return x + k[0] * h, y + k[1] * h, z + k[2] * h

    while True:
        k1 = slope(x, y, z)
        k2 = slope(*move(k1, 2.0**-6))
        k3 = slope(*move(k2, 2.0**-6))
        k4 = slope(*move(k3, 2.0**-5))
        total = [((b + c) * 2.0 + a) + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
        x, y, z = move(total, SIXTH)
        yield x, y, z


def orbits(job, band, label, lanes):
    """Return one orbit a lane, burnt in. A job is the layout, the map, its parameters, the secret."""
    (size, width, sample), chaotic_map, parameters, secret = job
    message = b"edge-encryptor/chaos-a/1\x00" + bytes([MAP_CODES[chaotic_map]]) + secret
    message += b"".join(struct.pack(">d", p) for p in parameters)
    message += struct.pack(">QIBQ", size, width, sample, band) + label + struct.pack(">I", lanes)
    seed = shake_256(message).digest(SEED_BYTES[chaotic_map] * lanes)
    coordinates = 1 if chaotic_map == "logistic" else 3
    m = struct.unpack(f"<{2 * coordinates * lanes}I", seed)
    result = []
    for i in range(lanes):
        n = m[i::lanes]
        if chaotic_map == "logistic":
            r = ((4.0 - (n[1] * 2.0**-45 + 2.0**-33)) + parameters[0]) * 0.5
            orbit = logistic_orbit(1.0 + n[0] * 2.0**-32, r)
        else:
            start = (-8.0 + n[0] * 2.0**-28, -8.0 + n[1] * 2.0**-28, 16.0 + n[2] * 2.0**-28)
            drawn = (9.0 + n[3] * 2.0**-31, 32.0 + n[4] * 2.0**-29, 2.5 + n[5] * 2.0**-33)
            orbit = lorenz_orbit(start, [(a + b) * 0.5 for a, b in zip(drawn, parameters, strict=True)])
        for _ in range(BURN_IN):
            next(orbit)
        result.append(orbit)
    return result


def order(states):
    return sorted(range(len(states)), key=states.__getitem__)


def key_stream(job, band, size):
    chaotic_map = job[1]
    words = (size + 3) // 4
    a_step = 1 if chaotic_map == "logistic" else 3
    lanes = MOST_LANES[chaotic_map]
    while lanes > 256 and lanes * a_step * 64 > words:
        lanes //= 2
    all_orbits = orbits(job, band, b"z", lanes)
    shift = 0 if chaotic_map == "logistic" else 8
    stream = []
    while len(stream) < words:
        points = [next(orbit) for orbit in all_orbits]
        for coordinate in range(a_step):
            stream += [bits(point[coordinate]) >> shift & 0xFFFFFFFF for point in points]
    return struct.pack(f"<{words}I", *stream[:words])[:size]


def band_keys(job, band, rows, size):
    """Return xindex, yindex, zkey."""
    columns = [next(o)[0] for o in orbits(job, band, b"x", job[0][1])]
    lines = [next(o)[0] for o in orbits(job, band, b"y", rows)] if rows else []
    return order(columns), order(lines), key_stream(job, band, size)


def encipher(plain, layout, chaotic_map, parameters, secret):
    """Return the cipher image and the explicit key file."""
    size, width, sample = layout
    assert len(plain) == size
    job = (layout, chaotic_map, parameters, secret)
    row_bytes = width * sample
    cipher, key_file, position = [], [], 0
    for band, rows, length in bands(*layout):
        xindex, yindex, zkey = band_keys(job, band, rows, length)
        part = plain[position : position + length]
        position += length
        mixed = []
        for i in range(rows):
            row = part[yindex[i] * row_bytes : (yindex[i] + 1) * row_bytes]
            mixed += [row[j * sample : (j + 1) * sample] for j in xindex]
        mixed.append(part[rows * row_bytes :])
        joined = int.from_bytes(b"".join(mixed), "little") ^ int.from_bytes(zkey, "little")
        cipher.append(joined.to_bytes(length, "little"))
        key_file += [struct.pack(f"<{width}I", *xindex), struct.pack(f"<{rows}I", *yindex), zkey]
    return b"".join(cipher), b"".join(key_file)
