/* Spectra with their displacements undone: their sum, its power by rings, and each one's correlation with the others.

   A spectrum is that of a frame, or of a patch of a frame; frames are those of one patch when there are no patches. */
#include "portable.h"

#ifndef RINGS
#define RINGS 256 /* rings of spatial frequency up to Nyquist; components beyond are of ring RINGS */
#endif
#define AT_ONCE 256 /* components of a row that a block holds at a time */

CORE complex64 times(complex64 a, complex64 b) {
    complex64 product = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return product;
}

CORE i32 wave_number(i32 index, i32 size) { return 2 * index < size ? index : index - size; }

/* How many components of the full spectrum one of the half spectrum stands for. */
CORE float multiplicity(i32 x, i32 width) { return x == 0 || 2 * x == width ? 1.0f : 2.0f; }

CORE complex64 wave(double turns) {
    double angle = 6.283185307179586476925 * (turns - floor(turns));
    complex64 factor = {(float)cos(angle), (float)sin(angle)};
    return factor;
}

/* shifts (n, 2): y, x; along_y (n, height), along_x (n, half): the factors that undo them. Blocks: x over shifts. */
KERNEL find_phases(const double* shifts, complex64* along_y, complex64* along_x, i32 height, i32 width) {
    i32 half = width / 2 + 1;
    double shift_y = shifts[2 * (size_t)BLOCK_X], shift_x = shifts[2 * (size_t)BLOCK_X + 1];
    EACH_THREAD {
        for (i32 y = thread; y < height; y += THREADS)
            along_y[(size_t)BLOCK_X * height + y] = wave(shift_y * ((double)wave_number(y, height) / height));
        for (i32 x = thread; x < half; x += THREADS)
            along_x[(size_t)BLOCK_X * half + x] = wave(shift_x * ((double)x / width));
    }
}

/* The first of `count` ascending rings that is `ring` or more. */
CORE i32 first_of_ring(const i16* rings, i32 count, i32 ring) {
    i32 low = 0, high = count;
    while (low < high) {
        i32 middle = (low + high) / 2;
        if (rings[middle] < ring) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* spectra (patches, frames, height, half); patches: those wanted; along_y (frames, wanted, height), along_x (frames,
   wanted, half); rings (height, half), ascending in a row; total (wanted, height, half); parts (wanted, strips, 2,
   RINGS): powers of the sum and of all frames in strips of `strip_rows` rows. Components from `last_ring` on are zero.
   Blocks: x over strips, y over patches wanted. */
KERNEL sum_aligned(
    const complex64* spectra, const i32* patches, const complex64* along_y, const complex64* along_x, const i16* rings,
    complex64* total, double* parts,
    i32 frames, i32 wanted, i32 height, i32 width, i32 last_ring, i32 strips, i32 strip_rows
) {
    SHARED float of_sum[AT_ONCE], of_frames[AT_ONCE];
    SHARED i16 ring_of[AT_ONCE];
    SHARED double by_ring[2][RINGS];
    i32 half = width / 2 + 1;
    const complex64* patch = spectra + (size_t)patches[BLOCK_Y] * frames * height * half;
    i32 top = BLOCK_X * strip_rows, stop = smaller(top + strip_rows, height);
    EACH_THREAD {
        for (i32 ring = thread; ring < RINGS; ring += THREADS) by_ring[0][ring] = by_ring[1][ring] = 0.0;
    }
    for (i32 y = top; y < stop; y++) {
        for (i32 first = 0; first < half; first += AT_ONCE) {
            i32 count = smaller(AT_ONCE, half - first);
            BARRIER;
            EACH_THREAD {
                for (i32 i = thread; i < count; i += THREADS) {
                    i32 x = first + i;
                    complex64 sum = {0.0f, 0.0f};
                    float power = 0.0f;
                    ring_of[i] = rings[(size_t)y * half + x];
                    for (i32 t = 0; t < frames && ring_of[i] < last_ring; t++) {
                        size_t spectrum = (size_t)t * wanted + BLOCK_Y;
                        complex64 phase = times(along_y[spectrum * height + y], along_x[spectrum * half + x]);
                        complex64 value = times(patch[((size_t)t * height + y) * half + x], phase);
                        sum.re += value.re;
                        sum.im += value.im;
                        power += value.re * value.re + value.im * value.im;
                    }
                    total[((size_t)BLOCK_Y * height + y) * half + x] = sum;
                    of_sum[i] = multiplicity(x, width) * (sum.re * sum.re + sum.im * sum.im);
                    of_frames[i] = multiplicity(x, width) * power;
                }
            }
            BARRIER;
            EACH_THREAD {
                for (i32 ring = thread; ring < last_ring; ring += THREADS)
                    for (i32 i = first_of_ring(ring_of, count, ring); i < count && ring_of[i] == ring; i++) {
                        by_ring[0][ring] += of_sum[i];
                        by_ring[1][ring] += of_frames[i];
                    }
            }
        }
    }
    double* part = parts + ((size_t)BLOCK_Y * strips + BLOCK_X) * 2 * RINGS;
    EACH_THREAD {
        for (i32 ring = thread; ring < RINGS; ring += THREADS) {
            part[ring] = by_ring[0][ring];
            part[RINGS + ring] = by_ring[1][ring];
        }
    }
}

/* What sum_aligned takes, its total, and weights (RINGS + 1) of rings, the last one 0; parts (wanted, frames, strips,
   5): each frame's correlation with the sum of the others, derived by y, x, yy, xx, yx.
   Blocks: x over strips, y over frames, z over patches wanted. */
KERNEL differentiate(
    const complex64* spectra, const i32* patches, const complex64* along_y, const complex64* along_x, const i16* rings,
    const complex64* total, const float* weights, double* parts,
    i32 frames, i32 wanted, i32 height, i32 width, i32 strips, i32 strip_rows
) {
    SHARED double sums[5][THREADS];
    i32 half = width / 2 + 1;
    size_t shift = (size_t)BLOCK_Y * wanted + BLOCK_Z;
    const complex64* spectrum = spectra + ((size_t)patches[BLOCK_Z] * frames + BLOCK_Y) * height * half;
    const complex64* of_all = total + (size_t)BLOCK_Z * height * half;
    i32 top = BLOCK_X * strip_rows, stop = smaller(top + strip_rows, height);
    double step_y = 6.283185307179586476925 / height, step_x = 6.283185307179586476925 / width;
    EACH_THREAD {
        double along[5] = {0.0, 0.0, 0.0, 0.0, 0.0};
        for (i32 i = top * half + thread; i < stop * half; i += THREADS) {
            float weight = weights[rings[i]];
            if (weight == 0.0f) continue;
            i32 y = i / half, x = i % half;
            complex64 phase = times(along_y[shift * height + y], along_x[shift * half + x]);
            complex64 value = times(spectrum[i], phase);
            complex64 other = {of_all[i].re - value.re, of_all[i].im - value.im};
            double ky = step_y * wave_number(y, height), kx = step_x * x;
            weight *= multiplicity(x, width);
            double odd = weight * (value.im * other.re - value.re * other.im);
            double even = weight * (value.re * other.re + value.im * other.im);
            along[0] -= ky * odd;
            along[1] -= kx * odd;
            along[2] -= ky * ky * even;
            along[3] -= kx * kx * even;
            along[4] -= ky * kx * even;
        }
        for (int n = 0; n < 5; n++) sums[n][thread] = along[n];
    }
    for (int n = 0; n < 5; n++) {
        ADD_UP(sums[n]);
    }
    EACH_THREAD {
        size_t part = ((size_t)BLOCK_Z * frames + BLOCK_Y) * strips + BLOCK_X;
        if (thread < 5) parts[part * 5 + thread] = sums[thread][0];
    }
}

/* parts (groups, strips, values); sums (groups, values): the strips added up, always in the same order.
   Blocks: x over VALUES values, y over groups. */
#define VALUES 32
KERNEL add_strips(const double* parts, double* sums, i32 strips, i32 values) {
    SHARED double of_lane[THREADS / VALUES][VALUES];
    EACH_THREAD {
        i32 lane = thread / VALUES, value = BLOCK_X * VALUES + thread % VALUES;
        double sum = 0.0;
        if (value < values)
            for (i32 strip = lane; strip < strips; strip += THREADS / VALUES)
                sum += parts[((size_t)BLOCK_Y * strips + strip) * values + value];
        of_lane[lane][thread % VALUES] = sum;
    }
    BARRIER;
    EACH_THREAD {
        i32 value = BLOCK_X * VALUES + thread;
        if (thread >= VALUES || value >= values) continue;
        double sum = 0.0;
        for (i32 lane = 0; lane < THREADS / VALUES; lane++) sum += of_lane[lane][thread];
        sums[(size_t)BLOCK_Y * values + value] = sum;
    }
}

/* spectra (frames, height, half), total (height, half), along_y (frames, height), along_x (frames, half), rings,
   weights as above; product (frames, rows, columns): weighted cross-spectra of the frames from `first` on with the sum
   of the others, their lowest frequencies alone. Blocks: x over rows, y over frames. */
KERNEL cross_spectra(
    const complex64* spectra, const complex64* total, const complex64* along_y, const complex64* along_x,
    const i16* rings, const float* weights, complex64* product,
    i32 first, i32 height, i32 half, i32 rows, i32 columns
) {
    size_t frame = first + BLOCK_Y;
    i32 y = BLOCK_X <= rows / 2 ? BLOCK_X : height - rows + BLOCK_X;
    const complex64* line = spectra + (frame * height + y) * half;
    const complex64* of_all = total + (size_t)y * half;
    EACH_THREAD {
        for (i32 x = thread; x < columns; x += THREADS) {
            float weight = weights[rings[(size_t)y * half + x]];
            complex64 value = times(line[x], times(along_y[frame * height + y], along_x[frame * half + x]));
            complex64 others = {weight * (of_all[x].re - value.re), weight * (value.im - of_all[x].im)};
            product[((size_t)BLOCK_Y * rows + BLOCK_X) * columns + x] = times(value, others);
        }
    }
}

/* surfaces (frames, rows, columns), not normalised; windows (frames, side, side) around their origins, from frame
   `first` on. Blocks: x over rows of a window, y over frames. */
KERNEL cut_windows(
    const float* surfaces, float* windows, i32 first, i32 rows, i32 columns, i32 radius
) {
    i32 side = 2 * radius + 1;
    i32 y = (BLOCK_X - radius + rows) % rows;
    float scale = 1.0f / ((float)rows * (float)columns);
    EACH_THREAD {
        for (i32 i = thread; i < side; i += THREADS) {
            i32 x = (i - radius + columns) % columns;
            windows[((size_t)(first + BLOCK_Y) * side + BLOCK_X) * side + i] =
                scale * surfaces[((size_t)BLOCK_Y * rows + y) * columns + x];
        }
    }
}
