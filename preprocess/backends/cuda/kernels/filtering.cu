/* Spectra filtered radially, cropped to their lowest frequencies and added up; what interpolation took, given back. */
#include "portable.h"

#ifndef LAST_FREQUENCY
#define LAST_FREQUENCY 0.7071067811865476 /* of the table of factors, 1/px */
#endif

/* The factor at a frequency, interpolated linearly in its table. */
CORE float factor_at(const float* factors, i32 count, double frequency) {
    double position = frequency * ((count - 1) / LAST_FREQUENCY);
    i32 below = smaller((i32)position, count - 2);
    double fraction = position - below;
    return (float)(factors[below] * (1.0 - fraction) + factors[below + 1] * fraction);
}

/* transform (height, width / 2 + 1); total (rows, columns): its lowest frequencies, set by the first image, added to by
   the others. Blocks: x over columns, y over rows of the total. */
KERNEL add_filtered(
    const complex64* transform, complex64* total, const float* factors, i32 count, i32 height, i32 width, i32 rows,
    i32 columns, i32 first
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread, y = BLOCK_Y;
        if (x >= columns) continue;
        i32 source = 2 * y < rows ? y : height - rows + y;
        double ky = (double)(2 * source < height ? source : source - height) / height, kx = (double)x / width;
        float factor = factor_at(factors, count, sqrt(ky * ky + kx * kx));
        complex64 value = transform[(size_t)source * (width / 2 + 1) + x];
        complex64* sum = total + (size_t)y * columns + x;
        sum->re = (first ? 0.0f : sum->re) + value.re * factor;
        sum->im = (first ? 0.0f : sum->im) + value.im * factor;
    }
}

/* total (rows, columns) times `scale`, and with `undamped` times along_y (rows) and along_x (columns). Blocks: x over
   columns, y over rows. */
KERNEL scale_spectrum(
    complex64* total, float scale, const float* along_y, const float* along_x, i32 undamped, i32 columns
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        if (x >= columns) continue;
        complex64* value = total + (size_t)BLOCK_Y * columns + x;
        float factor = undamped ? scale * along_y[BLOCK_Y] * along_x[x] : scale;
        value->re *= factor;
        value->im *= factor;
    }
}

/* total (rows, columns) plus the absolute values of a transform times `scale`, along_y (rows) and along_x (columns); the
   first image sets it. Blocks: x over columns, y over rows. */
KERNEL add_amplitudes(
    const complex64* transform, float* total, float scale, const float* along_y, const float* along_x, i32 columns,
    i32 first
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        if (x >= columns) continue;
        size_t place = (size_t)BLOCK_Y * columns + x;
        complex64 value = transform[place];
        float amplitude = (float)sqrt((double)(value.re * value.re + value.im * value.im));
        total[place] = (first ? 0.0f : total[place]) + amplitude * (scale * along_y[BLOCK_Y]) * along_x[x];
    }
}

/* sum (size) plus another image times a factor; the first one sets it. Blocks: x over pixels. */
KERNEL add_image(float* sum, const float* image, float factor, i32 size, i32 first) {
    EACH_THREAD {
        size_t place = (size_t)BLOCK_X * THREADS + thread;
        if (place < (size_t)size) sum[place] = (first ? 0.0f : sum[place]) + image[place] * factor;
    }
}
