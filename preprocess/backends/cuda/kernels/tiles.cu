/* Tiles of an image: cut out, clipped, windowed; the powers of their transforms, added up by block. */
#include "portable.h"

#define LARGEST_FLOAT 3.4028234e38f

/* Every `step`th pixel of every `step`th row, then those to their right: samples (2, rows, columns). Blocks: x over
   columns, y over rows. */
KERNEL sample_pixels(const float* image, float* samples, i32 width, i32 step, i32 rows, i32 columns) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        if (x >= columns) continue;
        const float* pixel = image + (size_t)BLOCK_Y * step * width + (size_t)x * step;
        float* sample = samples + (size_t)BLOCK_Y * columns + x;
        sample[0] = pixel[0];
        sample[(size_t)rows * columns] = pixel[1];
    }
}

/* places (tiles, 4): top and left, and the rows of windows (4, side) along y and along x; tiles (count, side, side);
   statistics (tiles, side, 3): sum of a row's values less `level`, clipped at `reach`, sum of their squares, how many are
   not finite: those become the mean of the row's others. Pixels are means of `factor` by `factor` of the image's.
   Blocks: x over rows, y over tiles. */
KERNEL cut_tiles(
    const float* image, const i32* places, const float* windows, float* tiles, double* statistics, i32 width, i32 side,
    i32 factor, float level, float reach
) {
    SHARED double sums[THREADS];
    SHARED double squares[THREADS];
    SHARED double bad[THREADS];
    float* cut = tiles + ((size_t)BLOCK_Y * side + BLOCK_X) * side;
    const i32* place = places + 4 * BLOCK_Y;
    i32 top = (place[0] + BLOCK_X) * factor, left = place[1] * factor;
    const float* along_y = windows + (size_t)place[2] * side;
    const float* along_x = windows + (size_t)place[3] * side;
    EACH_THREAD {
        double sum = 0.0, square = 0.0, not_finite = 0.0;
        for (i32 x = thread; x < side; x += THREADS) {
            float value = 0.0f;
            for (i32 dy = 0; dy < factor; dy++)
                for (i32 dx = 0; dx < factor; dx++)
                    value += image[(size_t)(top + dy) * width + left + x * factor + dx];
            value = value * (1.0f / (float)(factor * factor)) - level;
            if (value >= -LARGEST_FLOAT && value <= LARGEST_FLOAT) {
                value = value < -reach ? -reach : value > reach ? reach : value;
                sum += (double)value;
                square += (double)value * (double)value;
            } else {
                not_finite += 1.0;
            }
            cut[x] = value;
        }
        sums[thread] = sum;
        squares[thread] = square;
        bad[thread] = not_finite;
    }
    ADD_UP(sums);
    ADD_UP(squares);
    ADD_UP(bad);
    EACH_THREAD {
        double good = (double)side - bad[0];
        float mean = good > 0.0 ? (float)(sums[0] / good) : 0.0f;
        for (i32 x = thread; x < side; x += THREADS) {
            bool finite = cut[x] >= -LARGEST_FLOAT && cut[x] <= LARGEST_FLOAT;
            cut[x] = (finite ? cut[x] : mean) * (along_y[BLOCK_X] * along_x[x]);
        }
        if (thread == 0) {
            double* row = statistics + ((size_t)BLOCK_Y * side + BLOCK_X) * 3;
            row[0] = sums[0];
            row[1] = squares[0];
            row[2] = bad[0];
        }
    }
}

/* statistics (tiles, side, 3) added up over rows: totals (tiles, 3). Blocks: x over tiles, y over the three. */
KERNEL add_statistics(const double* statistics, double* totals, i32 side) {
    SHARED double sums[THREADS];
    const double* rows = statistics + (size_t)BLOCK_X * side * 3 + BLOCK_Y;
    EACH_THREAD {
        double sum = 0.0;
        for (i32 y = thread; y < side; y += THREADS) sum += rows[(size_t)3 * y];
        sums[thread] = sum;
    }
    ADD_UP(sums);
    EACH_THREAD {
        if (thread == 0) totals[3 * BLOCK_X + BLOCK_Y] = sums[0];
    }
}

/* transforms (tiles, side, side / 2 + 1); factors and blocks (tiles); powers (blocks, 2 kept + 1, kept + 1), zero
   frequency in the middle row. Blocks: x over the components that are kept. */
KERNEL add_powers(
    const complex64* transforms, const float* factors, const i32* blocks, float* powers, i32 count, i32 side, i32 kept
) {
    i32 columns = kept + 1, size = (2 * kept + 1) * columns, half = side / 2 + 1;
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i >= size) continue;
        i32 row = i / columns - kept, column = i % columns;
        size_t place = (size_t)(row < 0 ? row + side : row) * half + column;
        for (i32 tile = 0; tile < count; tile++) {
            if (factors[tile] <= 0.0f) continue;
            complex64 value = transforms[(size_t)tile * side * half + place];
            powers[(size_t)blocks[tile] * size + i] += factors[tile] * (value.re * value.re + value.im * value.im);
        }
    }
}
