/* Tiles of an image, their means removed, windowed; the powers of their transforms, added up in the order of tiles. */
#include "portable.h"

/* places (tiles, 2): top and left; means (tiles). Blocks: x over tiles. */
KERNEL find_means(const float* image, const i32* places, float* means, i32 width, i32 side) {
    SHARED double sums[THREADS];
    const float* tile = image + (size_t)places[2 * BLOCK_X] * width + places[2 * BLOCK_X + 1];
    EACH_THREAD {
        double sum = 0.0;
        for (i32 y = 0; y < side; y++)
            for (i32 x = thread; x < side; x += THREADS) sum += (double)tile[(size_t)y * width + x];
        sums[thread] = sum;
    }
    ADD_UP(sums);
    EACH_THREAD {
        if (thread == 0) means[BLOCK_X] = (float)(sums[0] / ((double)side * side));
    }
}

/* tiles (count, side, side); window (side). Blocks: x over rows, y over tiles. */
KERNEL cut_tiles(
    const float* image, const i32* places, const float* means, const float* window, float* tiles, i32 width, i32 side
) {
    const float* line = image + (size_t)(places[2 * BLOCK_Y] + BLOCK_X) * width + places[2 * BLOCK_Y + 1];
    float* cut = tiles + ((size_t)BLOCK_Y * side + BLOCK_X) * side;
    EACH_THREAD {
        for (i32 x = thread; x < side; x += THREADS)
            cut[x] = (line[x] - means[BLOCK_Y]) * (window[BLOCK_X] * window[x]);
    }
}

/* powers (size) and those of the first `count` transforms (…, size), times `scale`. Blocks: x over components. */
KERNEL add_powers(const complex64* transforms, float* powers, i32 count, i32 size, i32 first, float scale) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i >= size) continue;
        float power = first ? 0.0f : powers[i];
        for (i32 tile = 0; tile < count; tile++) {
            complex64 value = transforms[(size_t)tile * size + i];
            power += value.re * value.re + value.im * value.im;
        }
        powers[i] = power * scale;
    }
}
