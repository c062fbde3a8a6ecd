"""A second implementation of cipher B, written from PROTOCOL.md alone: plain Python numbers, slow, no NumPy.

It imports nothing of the package. What it and the package agree on is frozen in vectors.json.
"""

import struct
from hashlib import shake_256
from math import floor

from tests.chaos.reference import bands, bits

QUANTISER_CODES = {"paper": 1, "wide": 2}
MATRIX_BYTES = {"paper": 2, "wide": 8}
MOST_LANES = 8192
BURN_IN = 16

# The half step, the step and the sixth of the step of the Runge-Kutta method.
STEPS = {"paper": (0.001, 0.002, 0.002 / 6.0), "wide": (3 * 2.0**-7, 3 * 2.0**-6, 2.0**-7)}

# Rule 4 writes two bits as a base, and bases add as numbers modulo 4.
BASES = {"00": "C", "01": "T", "10": "A", "11": "G"}
NUMBERS = {"A": 0, "G": 1, "C": 2, "T": 3}


def orbit(start, quantiser):
    """Yield the four coordinates after each step."""
    x1, x2, x3, x4 = start
    half, whole, sixth = STEPS[quantiser]
    b = 8.0 / 3.0

    def slope(x1, x2, x3, x4):
        return (10.0 * (x2 - x1)) + x4, ((28.0 * x1) - x2) - (x1 * x3), (x1 * x2) - (b * x3), -(x4 + (x2 * x3))

    def move(k, h):
        return x1 + k[0] * h, x2 + k[1] * h, x3 + k[2] * h, x4 + k[3] * h

    while True:
        k1 = slope(x1, x2, x3, x4)
        k2 = slope(*move(k1, half))
        k3 = slope(*move(k2, half))
        k4 = slope(*move(k3, whole))
        total = [(((q2 + q3) * 2.0) + q1) + q4 for q1, q2, q3, q4 in zip(k1, k2, k3, k4, strict=True)]
        x1, x2, x3, x4 = move(total, sixth)
        yield x1, x2, x3, x4


def paper_bytes(x):
    """Return the one byte that a coordinate yields."""
    t = x + 500.0
    return bytes([floor((t - floor(t)) * 1e13) % 256])


def wide_bytes(x):
    """Return the four bytes that a coordinate yields."""
    return struct.pack("<I", bits(x) >> 8 & 0xFFFFFFFF)


QUANTISE = {"paper": paper_bytes, "wide": wide_bytes}


def orbits(job, band, lanes):
    """Return one orbit a lane, burnt in. A job is the layout, the private key, V_B, the quantiser, the secret."""
    (size, width, sample), private_key, pattern, quantiser, secret = job
    message = b"edge-encryptor/chaos-b/1\x00" + bytes([3, QUANTISER_CODES[quantiser]]) + secret
    message += struct.pack(">6d", *private_key) + pattern
    message += struct.pack(">QIBQI", size, width, sample, band, lanes)
    m = struct.unpack(f"<{4 * lanes}I", shake_256(message).digest(16 * lanes))
    x1, x2, x3, x4 = private_key[:4]
    result = []
    for i in range(lanes):
        m1, m2, m3, m4 = m[i::lanes]
        start = (
            ((-40.0 + m1 * 5 * 2.0**-28) + x1) * 0.5,
            ((-40.0 + m2 * 5 * 2.0**-28) + x2) * 0.5,
            ((1.0 + m3 * 5 * 2.0**-28) + x3) * 0.5,
            ((-250.0 + m4 * 125 * 2.0**-30) + x4) * 0.5,
        )
        lane = orbit(start, quantiser)
        for _ in range(BURN_IN):
            next(lane)
        result.append(lane)
    return result


def draw(lanes, quantiser, count):
    """Return R and Z, `count` bytes each, from the outputs of the lanes."""
    quantise = QUANTISE[quantiser]
    r, z = bytearray(), bytearray()
    while len(r) < count:
        points = [next(lane) for lane in lanes]
        for matrix, coordinates in ((r, (0, 1)), (z, (2, 3))):
            for coordinate in coordinates:
                for point in points:
                    matrix.extend(quantise(point[coordinate]))
    return bytes(r[:count]), bytes(z[:count])


def band_matrices(job, band, length):
    """Return R and Z of a band."""
    quantiser = job[3]
    lanes = MOST_LANES
    while lanes > 256 and 64 * MATRIX_BYTES[quantiser] * lanes > length:
        lanes //= 2
    return draw(orbits(job, band, lanes), quantiser, length)


def to_letters(byte):
    text = f"{byte:08b}"
    return "".join(BASES[text[i : i + 2]] for i in range(0, 8, 2))


LETTERS = [to_letters(byte) for byte in range(256)]
BYTES = {letters: byte for byte, letters in enumerate(LETTERS)}
BASE_OF = {number: base for base, number in NUMBERS.items()}
SUMS = {(a, b): BASE_OF[(NUMBERS[a] + NUMBERS[b]) % 4] for a in NUMBERS for b in NUMBERS}
DIFFERENCES = {(a, b): BASE_OF[(NUMBERS[a] - NUMBERS[b]) % 4] for a in NUMBERS for b in NUMBERS}


def combine(table, a, b):
    """Return the byte whose letters the table gives for the letters of two bytes."""
    return BYTES["".join(table[pair] for pair in zip(LETTERS[a], LETTERS[b], strict=True))]


def mask(data, pattern, before):
    """Return data XOR V_B, for data that follows so many bytes of the image; this is its own inverse."""
    return bytes(byte ^ pattern[(n + before) % 125] for n, byte in enumerate(data))


def before_sum(s, n, row_bytes):
    """Return the XOR of the neighbours above, to the left and above to the left."""
    k, column = divmod(n, row_bytes)
    above = s[n - row_bytes] if k > 0 else 0
    left = s[n - 1] if column > 0 else 0
    corner = s[n - row_bytes - 1] if k > 0 and column > 0 else 0
    return above ^ left ^ corner


def after_sum(c, n, row_bytes):
    """Return the XOR of the neighbours below, to the right and below to the right; c holds whole rows."""
    rows = len(c) // row_bytes
    k, column = divmod(n, row_bytes)
    below = c[n + row_bytes] if k < rows - 1 else 0
    right = c[n + 1] if column < row_bytes - 1 else 0
    corner = c[n + row_bytes + 1] if k < rows - 1 and column < row_bytes - 1 else 0
    return below ^ right ^ corner


def forward(masked, r, row_bytes, v1):
    """Return S of M_B."""
    s = []
    for n in range(len(masked)):
        start = v1 if n == 0 else 0
        s.append(masked[n] ^ r[n] ^ before_sum(s, n, row_bytes) ^ start)
    return bytes(s)


def undo_forward(s, r, row_bytes, v1):
    """Return M_B of S."""
    masked = []
    for n in range(len(s)):
        start = v1 if n == 0 else 0
        masked.append(s[n] ^ r[n] ^ before_sum(s, n, row_bytes) ^ start)
    return bytes(masked)


def add_pairs(s):
    """Return T of S."""
    t = bytearray(s)
    for n in range(1, len(s), 2):
        t[n] = combine(SUMS, s[n], s[n - 1])
    return bytes(t)


def undo_add_pairs(t):
    """Return S of T."""
    s = bytearray(t)
    for n in range(1, len(t), 2):
        # The first byte of a pair is the same in S and in T.
        s[n] = combine(DIFFERENCES, t[n], t[n - 1])
    return bytes(s)


def filled_size(length, row_bytes):
    return (length + row_bytes - 1) // row_bytes * row_bytes


def backward(t, z, row_bytes, v2):
    """Return C of T."""
    filled = filled_size(len(t), row_bytes)
    c = [0] * filled
    for n in reversed(range(filled)):
        # In the cells that fill up a short last row T XOR Z is 0.
        own = t[n] ^ z[n] if n < len(t) else 0
        start = v2 if n == filled - 1 else 0
        c[n] = own ^ after_sum(c, n, row_bytes) ^ start
    return bytes(c[: len(t)])


def undo_backward(cipher, z, row_bytes, v2):
    """Return T of C."""
    filled = filled_size(len(cipher), row_bytes)
    c = list(cipher) + [0] * (filled - len(cipher))
    t = bytearray(len(cipher))
    for n in reversed(range(filled)):
        start = v2 if n == filled - 1 else 0
        known = after_sum(c, n, row_bytes) ^ start
        if n < len(cipher):
            t[n] = c[n] ^ z[n] ^ known
        else:
            # The cells that fill up a short last row did not travel, but the rows above were made with them.
            c[n] = known
    return bytes(t)


def encipher(plain, layout, private_key, pattern, quantiser, secret):  # noqa: PLR0917
    """Return the cipher image and the explicit key file."""
    size, width, sample = layout
    assert len(plain) == size
    assert len(pattern) == 125
    job = (layout, private_key, pattern, quantiser, secret)
    row_bytes = width * sample
    v1, v2 = int(private_key[4]), int(private_key[5])
    cipher, key_file, position = [], [], 0
    for band, _, length in bands(*layout):
        r, z = band_matrices(job, band, length)
        masked = mask(plain[position : position + length], pattern, position)
        position += length
        s = forward(masked, r, row_bytes, v1)
        t = add_pairs(s)
        cipher.append(backward(t, z, row_bytes, v2))
        key_file += [r, z]
    return b"".join(cipher), b"".join(key_file)


def decipher(cipher, layout, private_key, pattern, quantiser, secret):  # noqa: PLR0917
    """Return the plain image."""
    size, width, sample = layout
    assert len(cipher) == size
    assert len(pattern) == 125
    job = (layout, private_key, pattern, quantiser, secret)
    row_bytes = width * sample
    v1, v2 = int(private_key[4]), int(private_key[5])
    plain, position = [], 0
    for band, _, length in bands(*layout):
        r, z = band_matrices(job, band, length)
        t = undo_backward(cipher[position : position + length], z, row_bytes, v2)
        s = undo_add_pairs(t)
        masked = undo_forward(s, r, row_bytes, v1)
        plain.append(mask(masked, pattern, position))
        position += length
    return b"".join(plain)


def paper_matrices(private_key, count):
    """Return R and Z of the published system, `count` bytes each: one orbit that starts at the private key."""
    return draw([orbit(private_key[:4], "paper")], "paper", count)


def paper_encipher(image, row_bytes, private_key, pattern):
    """Return the cipher image of the published system for one matrix of whole rows."""
    assert len(image) % row_bytes == 0
    v1, v2 = int(private_key[4]), int(private_key[5])
    r, z = paper_matrices(private_key, len(image))
    s = forward(mask(image, pattern, 0), r, row_bytes, v1)
    # The published system adds columns, so no pair crosses from one row into the next.
    t = b"".join(add_pairs(s[start : start + row_bytes]) for start in range(0, len(s), row_bytes))
    return backward(t, z, row_bytes, v2)
