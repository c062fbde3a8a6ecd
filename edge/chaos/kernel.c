/* The hot loops of both image ciphers, byte for byte what NumPy computes.
 *
 * Rules kept here: only + - * and floor on double, and 32-bit integers as doubles, in the order of PROTOCOL.md, each rounded on
 * its own (build with -ffp-contract=off, never with -ffast-math); no allocation, no state but the level, no file, no thread.
 * Sizes, indices and overlaps are checked by kernel.py, the only caller.
 *
 * Every loop is plain C that compilers turn into vector code. On x86-64 it is compiled four times: for what every processor has,
 * for SSE4.1, which rounds in one instruction, for AVX2 and for AVX-512; edge_level says which is used.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "key words are little-endian"
#endif
#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0)
#error "every operation must be rounded on its own, to double"
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* Lanes that are stepped together: their states stay in the first-level cache while they take all their steps. */
#define BLOCK 256

/* The source from which this was built, as kernel.py knows it. */
#ifndef EDGE_SOURCE
#define EDGE_SOURCE ""
#endif
EXPORT const char edge_source[] = EDGE_SOURCE;

INLINE size_t least(size_t a, size_t b) { return a < b ? a : b; }

INLINE uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

INLINE uint64_t load64(const uint8_t *from) {
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

INLINE void store64(uint8_t *to, uint64_t word) { memcpy(to, &word, sizeof word); }

INLINE double drawn(const uint8_t *seed, size_t number) {
    uint32_t word;
    memcpy(&word, seed + number * sizeof word, sizeof word);
    return word;
}

/* --- the logistic map: t = r - y, y' = y t ------------------------------------------------------------------------- */

INLINE void logistic_step(double *restrict y, const double *restrict r, size_t lanes) {
    for (size_t i = 0; i < lanes; i++) {
        double t = r[i] - y[i];
        y[i] = y[i] * t;
    }
}

INLINE void logistic_seed(double *restrict y, double *restrict r, size_t lanes, const uint8_t *restrict seed, double image) {
    for (size_t i = 0; i < lanes; i++) {
        y[i] = drawn(seed, i) * 0x1p-32 + 1.0;
        r[i] = ((4.0 - (drawn(seed, lanes + i) * 0x1p-45 + 0x1p-33)) + image) * 0.5;
    }
}

INLINE void logistic_advance(double *y, const double *r, size_t lanes, size_t steps) {
    for (size_t start = 0; start < lanes; start += BLOCK) {
        size_t count = least(BLOCK, lanes - start);
        for (size_t step = 0; step < steps; step++)
            logistic_step(y + start, r + start, count);
    }
}

/* XOR the low 32 bits of the states that follow into `words` words: of all lanes, step by step. Two steps a pass, because the
 * states are then loaded and stored half as often; gcc 12 makes no vector code of more. */
INLINE void logistic_xor(double *y, const double *r, size_t lanes, uint32_t *target, size_t words) {
    for (size_t start = 0; start < lanes; start += BLOCK) {
        size_t count = least(BLOCK, lanes - start);
        double *restrict own_y = y + start;
        const double *restrict own_r = r + start;
        size_t position = start;
        for (; position + lanes + count <= words; position += 2 * lanes) {
            uint32_t *restrict first = target + position;
            uint32_t *restrict second = first + lanes;
            for (size_t i = 0; i < count; i++) {
                double t = own_r[i] - own_y[i];
                double next = own_y[i] * t;
                double u = own_r[i] - next;
                double last = next * u;
                own_y[i] = last;
                first[i] ^= (uint32_t)bits_of(next);
                second[i] ^= (uint32_t)bits_of(last);
            }
        }
        for (; position - start < words; position += lanes) {
            logistic_step(own_y, own_r, count);
            for (size_t i = 0; i < count && position + i < words; i++)
                target[position + i] ^= (uint32_t)bits_of(own_y[i]);
        }
    }
}

/* --- the Lorenz system, Runge-Kutta of order four ------------------------------------------------------------------ */

#define LORENZ_SLOPE(dx, dy, dz, x, y, z)                                                                               \
    double dx = s * ((y) - (x));                                                                                        \
    double dy = (x) * (r - (z)) - (y);                                                                                  \
    double dz = (x) * (y) - b * (z);

/* One step of all lanes of a block: each coordinate and parameter is a row of `lanes` doubles. */
INLINE void lorenz_step(double *restrict xs, double *restrict ys, double *restrict zs, const double *restrict sigma,
                        const double *restrict rho, const double *restrict beta, size_t lanes) {
    const double half = 0x1p-6, whole = 0x1p-5, sixth = 0x1.5555555555555p-8;
    for (size_t i = 0; i < lanes; i++) {
        double s = sigma[i], r = rho[i], b = beta[i];
        double x = xs[i], y = ys[i], z = zs[i];
        LORENZ_SLOPE(x1, y1, z1, x, y, z)
        double px = x + x1 * half, py = y + y1 * half, pz = z + z1 * half;
        LORENZ_SLOPE(x2, y2, z2, px, py, pz)
        double qx = x + x2 * half, qy = y + y2 * half, qz = z + z2 * half;
        LORENZ_SLOPE(x3, y3, z3, qx, qy, qz)
        double ux = x + x3 * whole, uy = y + y3 * whole, uz = z + z3 * whole;
        LORENZ_SLOPE(x4, y4, z4, ux, uy, uz)
        xs[i] = x + (((x2 + x3) * 2.0 + x1) + x4) * sixth;
        ys[i] = y + (((y2 + y3) * 2.0 + y1) + y4) * sixth;
        zs[i] = z + (((z2 + z3) * 2.0 + z1) + z4) * sixth;
    }
}

INLINE void lorenz_seed(double *restrict state, double *restrict parameters, size_t lanes, const uint8_t *restrict seed,
                        const double *restrict image) {
    static const double low[] = {-8.0, -8.0, 16.0, 9.0, 32.0, 2.5};
    static const double scale[] = {0x1p-28, 0x1p-28, 0x1p-28, 0x1p-31, 0x1p-29, 0x1p-33};
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = k * lanes; i < (k + 1) * lanes; i++) {
            state[i] = drawn(seed, i) * scale[k] + low[k];
            parameters[i] = ((drawn(seed, 3 * lanes + i) * scale[k + 3] + low[k + 3]) + image[k]) * 0.5;
        }
    }
}

INLINE void lorenz_advance(double *state, const double *parameters, size_t lanes, size_t steps) {
    for (size_t start = 0; start < lanes; start += BLOCK) {
        double *at = state + start;
        const double *own = parameters + start;
        for (size_t step = 0; step < steps; step++)
            lorenz_step(at, at + lanes, at + 2 * lanes, own, own + lanes, own + 2 * lanes, least(BLOCK, lanes - start));
    }
}

/* XOR bits 8 to 39 of the states that follow into `words` words: x of all lanes, y of all lanes, z of all lanes, step by step. */
INLINE void lorenz_xor(double *state, const double *parameters, size_t lanes, uint32_t *target, size_t words) {
    for (size_t start = 0; start < lanes; start += BLOCK) {
        size_t count = least(BLOCK, lanes - start);
        double *at = state + start;
        const double *own = parameters + start;
        for (size_t base = 0; base < words; base += 3 * lanes) {
            lorenz_step(at, at + lanes, at + 2 * lanes, own, own + lanes, own + 2 * lanes, count);
            for (size_t k = 0; k < 3; k++) {
                size_t position = base + k * lanes + start;
                const double *restrict from = at + k * lanes;
                uint32_t *restrict out = target + position;
                size_t wanted = position < words ? least(count, words - position) : 0;
                for (size_t i = 0; i < wanted; i++)
                    out[i] ^= (uint32_t)(bits_of(from[i]) >> 8);
            }
        }
    }
}

/* --- lanes of either map: one yields `a_step` words a step, 1 by the logistic map and 3 by the Lorenz system ----------- */

INLINE void advance_body(size_t a_step, double *state, const double *parameters, size_t lanes, size_t steps) {
    if (a_step == 1)
        logistic_advance(state, parameters, lanes, steps);
    else
        lorenz_advance(state, parameters, lanes, steps);
}

/* Seed lanes from 32-bit integers, which are exact as doubles, and the image's parameters; and step them. */
INLINE void start_body(size_t a_step, double *state, double *parameters, size_t lanes, const uint8_t *seed,
                       const double *image, size_t steps) {
    if (a_step == 1)
        logistic_seed(state, parameters, lanes, seed, *image);
    else
        lorenz_seed(state, parameters, lanes, seed, image);
    advance_body(a_step, state, parameters, lanes, steps);
}

INLINE void xor_body(size_t a_step, double *state, const double *parameters, size_t lanes, uint32_t *target, size_t words) {
    if (a_step == 1)
        logistic_xor(state, parameters, lanes, target, words);
    else
        lorenz_xor(state, parameters, lanes, target, words);
}

/* --- the hyperchaotic Lorenz system of cipher B: x1, x2, x3 and -x4 ------------------------------------------------- */

#define HYPER_SLOPE(d1, d2, d3, d4, x1, x2, x3, x4)                                                                     \
    double d1 = ((x2) - (x1)) * 10.0 - (x4);                                                                            \
    double d2 = ((x1) * 28.0 - (x2)) - (x1) * (x3);                                                                     \
    double d3 = (x1) * (x2) - (x3) * (8.0 / 3.0);                                                                       \
    double d4 = (x2) * (x3) - (x4);

INLINE void hyper_step(double *restrict s1, double *restrict s2, double *restrict s3, double *restrict s4, size_t lanes,
                       double half, double whole, double sixth) {
    for (size_t i = 0; i < lanes; i++) {
        double a = s1[i], b = s2[i], c = s3[i], d = s4[i];
        HYPER_SLOPE(a1, b1, c1, d1, a, b, c, d)
        double pa = a + a1 * half, pb = b + b1 * half, pc = c + c1 * half, pd = d + d1 * half;
        HYPER_SLOPE(a2, b2, c2, d2, pa, pb, pc, pd)
        double qa = a + a2 * half, qb = b + b2 * half, qc = c + c2 * half, qd = d + d2 * half;
        HYPER_SLOPE(a3, b3, c3, d3, qa, qb, qc, qd)
        double ua = a + a3 * whole, ub = b + b3 * whole, uc = c + c3 * whole, ud = d + d3 * whole;
        HYPER_SLOPE(a4, b4, c4, d4, ua, ub, uc, ud)
        s1[i] = a + (((a2 + a3) * 2.0 + a1) + a4) * sixth;
        s2[i] = b + (((b2 + b3) * 2.0 + b1) + b4) * sixth;
        s3[i] = c + (((c2 + c3) * 2.0 + c1) + c4) * sixth;
        s4[i] = d + (((d2 + d3) * 2.0 + d1) + d4) * sixth;
    }
}

/* Bits 8 to 39 of each state. */
INLINE void by_bits(const double *restrict state, size_t lanes, uint32_t *restrict out) {
    for (size_t i = 0; i < lanes; i++)
        out[i] = (uint32_t)(bits_of(state[i]) >> 8);
}

/* floor((t - floor(t)) 10^13) mod 256 with t = x + 500. That floor is a whole number below 2^52, so that the sum with 2^52 is
 * exact and holds it in its lowest bits: fewer processors turn doubles into 64-bit integers than add. */
INLINE void by_decimals(const double *restrict state, size_t lanes, int negative, uint8_t *restrict out) {
    for (size_t i = 0; i < lanes; i++) {
        double t = negative ? 500.0 - state[i] : state[i] + 500.0;
        double whole = floor((t - floor(t)) * 1e13) + 0x1p52;
        out[i] = (uint8_t)bits_of(whole);
    }
}

INLINE void hyper_block_step(double *at, size_t lanes, size_t count, const double *steps) {
    hyper_step(at, at + lanes, at + 2 * lanes, at + 3 * lanes, count, steps[0], steps[1], steps[2]);
}

INLINE void hyper_advance_body(double *state, size_t lanes, const double *steps, size_t count) {
    for (size_t start = 0; start < lanes; start += BLOCK)
        for (size_t step = 0; step < count; step++)
            hyper_block_step(state + start, lanes, least(BLOCK, lanes - start), steps);
}

/* Fill R and Z, `size` bytes each: x1 of all lanes and then x2 of all lanes to R, x3 and x4 to Z, step by step. `unit` is what a
 * coordinate yields: one byte by its decimals or four by its bits. */
INLINE void hyper_fill_body(double *state, size_t lanes, const double *steps, size_t unit, uint8_t *r, uint8_t *z, size_t size) {
    for (size_t start = 0; start < lanes; start += BLOCK) {
        size_t count = least(BLOCK, lanes - start);
        for (size_t base = 0; base < size; base += 2 * lanes * unit) {
            hyper_block_step(state + start, lanes, count, steps);
            for (size_t k = 0; k < 4; k++) {
                size_t position = base + ((k & 1) * lanes + start) * unit;
                if (position >= size)
                    continue;
                size_t wanted = least(count * unit, size - position);
                const double *from = state + k * lanes + start;
                uint8_t *out = (k < 2 ? r : z) + position;
                uint32_t words[BLOCK];
                uint8_t bytes[BLOCK];
                if (unit == 4) {
                    by_bits(from, count, words);
                    memcpy(out, words, wanted);
                } else {
                    by_decimals(from, count, k == 3, bytes);
                    memcpy(out, bytes, wanted);
                }
            }
        }
    }
}

/* --- cipher A on a band: the permutation fused with the XOR, tile by tile so that a tile is still in the cache ---------- */

/* Of rows no longer than this the next one is fetched ahead: they are visited in an order that no processor foresees. */
#define FETCHED_ROW 65536
#define CACHE_LINE 64

/* Samples that are moved together, no more than a line of them: with each group a line of the next row is fetched. With more
 * than eight gcc makes something slower of samples of two bytes. */
#define GROUP(bytes) ((bytes) > 8 ? CACHE_LINE / (bytes) : 8)

#define MOVE_SAMPLES(bytes)                                                                                             \
    for (; j + GROUP(bytes) <= width; j += GROUP(bytes)) {                                                              \
        __builtin_prefetch(next + j * (bytes));                                                                         \
        for (size_t k = j; k < j + GROUP(bytes); k++)                                                                   \
            memcpy(to + k * (bytes), from + columns[k], (bytes));                                                       \
    }                                                                                                                   \
    for (; j < width; j++)                                                                                              \
        memcpy(to + j * (bytes), from + columns[j], (bytes));                                                           \
    break

/* Write a row whose sample j begins at byte columns[j] of another; `next` is the row that will be missed next. One version for
 * all processors: the gather instructions of some take longer than single loads. */
__attribute__((noinline)) static void move_row(uint8_t *restrict to, const uint8_t *restrict from, const uint32_t *columns,
                                               size_t width, size_t sample, const uint8_t *next) {
    size_t j = 0;
    switch (sample) {
    case 1: MOVE_SAMPLES(1);
    case 2: MOVE_SAMPLES(2);
    case 3: MOVE_SAMPLES(3);
    case 4: MOVE_SAMPLES(4);
    case 6: MOVE_SAMPLES(6);
    case 8: MOVE_SAMPLES(8);
    case 12: MOVE_SAMPLES(12);
    case 16: MOVE_SAMPLES(16);
    default: MOVE_SAMPLES(sample);
    }
}

/* XOR words from `base` on with the next key words; stored ones are `state` itself. */
INLINE void key_xor(size_t a_step, void *state, const double *parameters, size_t lanes, uint8_t *cipher, size_t base,
                    size_t words) {
    uint32_t *restrict target = (uint32_t *)cipher + base;
    if (a_step) {
        xor_body(a_step, state, parameters, lanes, target, words);
        return;
    }
    const uint32_t *restrict from = (const uint32_t *)state + base;
    for (size_t i = 0; i < words; i++)
        target[i] ^= from[i];
}

/* Key words come from lanes, or are stored where `a_step` is zero and `state` points to them.
 *
 * Row i of the cipher image is row rows[i] of the plain one, and its sample j begins at byte columns[j] of that row; then all
 * `words` words are XORed, `piece` at a time. */
INLINE void encipher_body(size_t a_step, void *state, const double *parameters, size_t lanes, size_t piece, uint8_t *cipher,
                          size_t words, const uint8_t *plain, const int64_t *rows, size_t count, const uint32_t *columns,
                          size_t width, size_t sample) {
    size_t row_bytes = width * sample, i = 0;
    for (size_t base = 0; base < words; base += piece) {
        size_t wanted = least(piece, words - base);
        for (; i < count && i * row_bytes < (base + wanted) * 4; i++) {
            const uint8_t *from = plain + (size_t)rows[i] * row_bytes;
            int ahead = i + 1 < count && row_bytes <= FETCHED_ROW;
            move_row(cipher + i * row_bytes, from, columns, width, sample,
                     ahead ? plain + (size_t)rows[i + 1] * row_bytes : from);
        }
        key_xor(a_step, state, parameters, lanes, cipher, base, wanted);
    }
}

/* Undo encipher, in both buffers; `columns` are of the inverse permutation. */
INLINE void decipher_body(size_t a_step, void *state, const double *parameters, size_t lanes, size_t piece, uint8_t *cipher,
                          size_t words, uint8_t *plain, const int64_t *rows, size_t count, const uint32_t *columns,
                          size_t width, size_t sample) {
    size_t row_bytes = width * sample, i = 0;
    for (size_t base = 0; base < words; base += piece) {
        size_t wanted = least(piece, words - base);
        key_xor(a_step, state, parameters, lanes, cipher, base, wanted);
        for (; i < count && (i + 1) * row_bytes <= (base + wanted) * 4; i++) {
            uint8_t *to = plain + (size_t)rows[i] * row_bytes;
            int ahead = i + 1 < count && row_bytes <= FETCHED_ROW;
            move_row(to, cipher + i * row_bytes, columns, width, sample,
                     ahead ? plain + (size_t)rows[i + 1] * row_bytes : to);
        }
    }
}

/* --- cipher B's prefix XORs; the last row may be short, and what is missing of it counts as zero --------------------- */

/* XOR each byte of a row with all before it, and with the row above; `above` is null at the first row. */
INLINE void prefix_row(uint8_t *row, const uint8_t *above, size_t size) {
    uint64_t carry = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word = load64(row + i);
        word ^= word << 8;
        word ^= word << 16;
        word ^= word << 32;
        uint64_t all = (word >> 56) * 0x0101010101010101;
        word ^= carry;
        carry ^= all;
        store64(row + i, above ? word ^ load64(above + i) : word);
    }
    for (uint8_t last = (uint8_t)carry; i < size; i++) {
        last ^= row[i];
        row[i] = above ? last ^ above[i] : last;
    }
}

/* The same from the right, with the row below, of which `below_size` bytes are there. */
INLINE void suffix_row(uint8_t *row, size_t size, const uint8_t *below, size_t below_size) {
    uint64_t carry = 0;
    size_t i = size;
    for (; i >= 8; i -= 8) {
        uint64_t word = load64(row + i - 8);
        word ^= word >> 8;
        word ^= word >> 16;
        word ^= word >> 32;
        uint64_t all = (word & 0xFF) * 0x0101010101010101;
        word ^= carry;
        carry ^= all;
        store64(row + i - 8, word);
    }
    for (uint8_t last = (uint8_t)carry; i > 0; i--) {
        last ^= row[i - 1];
        row[i - 1] = last;
    }
    for (i = 0; i < below_size; i++)
        row[i] ^= below[i];
}

INLINE void forward_body(uint8_t *data, size_t size, size_t row) {
    for (size_t start = 0; start < size; start += row)
        prefix_row(data + start, start ? data + start - row : NULL, least(row, size - start));
}

INLINE void backward_body(uint8_t *data, size_t size, size_t row) {
    for (size_t start = (size - 1) / row * row;; start -= row) {
        size_t below = start + row < size ? least(row, size - start - row) : 0;
        suffix_row(data + start, least(row, size - start), data + start + row, below);
        if (start == 0)
            return;
    }
}

/* Undo forward; the scratch holds a row. */
INLINE void undo_forward_body(uint8_t *data, uint8_t *restrict scratch, size_t size, size_t row) {
    for (size_t start = (size - 1) / row * row;; start -= row) {
        uint8_t *restrict at = data + start;
        size_t count = least(row, size - start);
        const uint8_t *above = start ? data + start - row : NULL;
        for (size_t i = 0; i < count; i++)
            scratch[i] = above ? at[i] ^ above[i] : at[i];
        at[0] = scratch[0];
        for (size_t i = 1; i < count; i++)
            at[i] = scratch[i] ^ scratch[i - 1];
        if (start == 0)
            return;
    }
}

INLINE void undo_backward_body(uint8_t *data, uint8_t *restrict scratch, size_t size, size_t row) {
    for (size_t start = 0; start < size; start += row) {
        uint8_t *restrict at = data + start;
        size_t count = least(row, size - start);
        size_t below_size = start + row < size ? least(row, size - start - row) : 0;
        const uint8_t *below = at + row;
        for (size_t i = 0; i < below_size; i++)
            scratch[i] = at[i] ^ below[i];
        memcpy(scratch + below_size, at + below_size, count - below_size);
        for (size_t i = 0; i + 1 < count; i++)
            at[i] = scratch[i] ^ scratch[i + 1];
        at[count - 1] = scratch[count - 1];
    }
}

/* --- cipher B's DNA: to each second byte the byte before it, pair of bits by pair of bits, modulo 4, plus 2 ------------ */

#define PAIR_HIGH 0xFF00FF00FF00FF00u
#define LOW_BITS 0x5500550055005500u
#define PLUS_TWO 0xAA00AA00AA00AA00u

INLINE void add_columns_body(uint64_t *restrict data, size_t words) {
    for (size_t i = 0; i < words; i++) {
        uint64_t word = data[i], moved = word << 8 & PAIR_HIGH;
        data[i] = word ^ moved ^ ((word & moved & LOW_BITS) << 1) ^ PLUS_TWO;
    }
}

INLINE void subtract_columns_body(uint64_t *restrict data, size_t words) {
    for (size_t i = 0; i < words; i++) {
        uint64_t word = data[i], moved = word << 8 & PAIR_HIGH;
        word ^= PLUS_TWO;
        data[i] = word ^ moved ^ ((~word & moved & LOW_BITS) << 1);
    }
}

/* --- one version for each kind of processor ------------------------------------------------------------------------- */

static int level;

#if defined(__x86_64__)

#define SSE41 __attribute__((target("sse4.1")))
#define AVX2 __attribute__((target("avx2")))
#if defined(__clang__)
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"), min_vector_width(512)))
#else
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#endif

static int supported(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return 3;
    if (__builtin_cpu_supports("avx2"))
        return 2;
    return __builtin_cpu_supports("sse4.1") ? 1 : 0;
}

#define VERSIONS(name, parameters, arguments)                                                                           \
    static void name##_0 parameters { name##_body arguments; }                                                          \
    SSE41 static void name##_1 parameters { name##_body arguments; }                                                    \
    AVX2 static void name##_2 parameters { name##_body arguments; }                                                     \
    AVX512 static void name##_3 parameters { name##_body arguments; }                                                   \
    EXPORT void edge_##name parameters;                                                                                 \
    void edge_##name parameters {                                                                                       \
        if (level == 3)                                                                                                 \
            name##_3 arguments;                                                                                         \
        else if (level == 2)                                                                                            \
            name##_2 arguments;                                                                                         \
        else if (level == 1)                                                                                            \
            name##_1 arguments;                                                                                         \
        else                                                                                                            \
            name##_0 arguments;                                                                                         \
    }

#else

static int supported(void) { return 0; }

#define VERSIONS(name, parameters, arguments)                                                                           \
    EXPORT void edge_##name parameters;                                                                                 \
    void edge_##name parameters { name##_body arguments; }

#endif

/* Use the version for `wanted` (0 every processor, 1 SSE4.1, 2 AVX2, 3 AVX-512), or the best below it that the processor has;
 * return it. */
EXPORT int edge_level(int wanted);
int edge_level(int wanted) {
    int best = supported();
    level = wanted < best ? wanted : best;
    return level;
}

VERSIONS(start,
         (size_t a_step, double *state, double *parameters, size_t lanes, const uint8_t *seed, const double *image,
          size_t steps),
         (a_step, state, parameters, lanes, seed, image, steps))
VERSIONS(advance, (size_t a_step, double *state, const double *parameters, size_t lanes, size_t steps),
         (a_step, state, parameters, lanes, steps))
VERSIONS(xor, (size_t a_step, double *state, const double *parameters, size_t lanes, uint32_t *target, size_t words),
         (a_step, state, parameters, lanes, target, words))
VERSIONS(hyper_advance, (double *state, size_t lanes, const double *steps, size_t count), (state, lanes, steps, count))
VERSIONS(hyper_fill, (double *state, size_t lanes, const double *steps, size_t unit, uint8_t *r, uint8_t *z, size_t size),
         (state, lanes, steps, unit, r, z, size))
VERSIONS(encipher,
         (size_t a_step, void *state, const double *parameters, size_t lanes, size_t piece, uint8_t *cipher, size_t words,
          const uint8_t *plain, const int64_t *rows, size_t count, const uint32_t *columns, size_t width, size_t sample),
         (a_step, state, parameters, lanes, piece, cipher, words, plain, rows, count, columns, width, sample))
VERSIONS(decipher,
         (size_t a_step, void *state, const double *parameters, size_t lanes, size_t piece, uint8_t *cipher, size_t words,
          uint8_t *plain, const int64_t *rows, size_t count, const uint32_t *columns, size_t width, size_t sample),
         (a_step, state, parameters, lanes, piece, cipher, words, plain, rows, count, columns, width, sample))
VERSIONS(forward, (uint8_t *data, size_t size, size_t row), (data, size, row))
VERSIONS(backward, (uint8_t *data, size_t size, size_t row), (data, size, row))
VERSIONS(undo_forward, (uint8_t *data, uint8_t *scratch, size_t size, size_t row), (data, scratch, size, row))
VERSIONS(undo_backward, (uint8_t *data, uint8_t *scratch, size_t size, size_t row), (data, scratch, size, row))
VERSIONS(add_columns, (uint64_t *data, size_t words), (data, words))
VERSIONS(subtract_columns, (uint64_t *data, size_t words), (data, words))
