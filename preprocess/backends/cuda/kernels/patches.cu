/* Patches: cut out of binned frames, and the lowest frequencies of their transforms kept. */
#include "portable.h"

/* binned (frames, rows, columns); tops, lefts (frames, patches): where each patch begins; window_y (height), window_x
   (width); cuts (frames, patches, height, width), each one's mean removed. Blocks: x over patches of frames. */
KERNEL cut_patches(
    const float* binned, const i32* tops, const i32* lefts, const float* window_y, const float* window_x, float* cuts,
    i32 patches, i32 rows, i32 columns, i32 height, i32 width
) {
    SHARED double sums[THREADS];
    const float* from =
        binned + ((size_t)(BLOCK_X / patches) * rows + tops[BLOCK_X]) * columns + lefts[BLOCK_X];
    float* cut = cuts + (size_t)BLOCK_X * height * width;
    EACH_THREAD {
        double sum = 0.0;
        for (i32 i = thread; i < height * width; i += THREADS) sum += from[(size_t)(i / width) * columns + i % width];
        sums[thread] = sum;
    }
    ADD_UP(sums);
    float level = (float)(sums[0] / (height * width));
    EACH_THREAD {
        for (i32 i = thread; i < height * width; i += THREADS) {
            i32 y = i / width, x = i % width;
            cut[i] = (from[(size_t)y * columns + x] - level) * (window_y[y] * window_x[x]);
        }
    }
}

/* binned (frames, rows, columns), in place; fixed (rows, columns); levels (frames): how much of it is taken off each
   frame. Blocks: x over rows, y over frames. */
KERNEL take_off(float* binned, const float* fixed, const float* levels, i32 rows, i32 columns) {
    float* line = binned + ((size_t)BLOCK_Y * rows + BLOCK_X) * columns;
    const float* from = fixed + (size_t)BLOCK_X * columns;
    EACH_THREAD {
        for (i32 x = thread; x < columns; x += THREADS) line[x] -= levels[BLOCK_Y] * from[x];
    }
}

/* transforms (frames, patches, height, half); kept (patches, all_frames, rows, columns), from frame `first` on.
   Blocks: x over patches of frames. */
KERNEL keep_lowest(
    const complex64* transforms, complex64* kept,
    i32 patches, i32 height, i32 half, i32 all_frames, i32 first, i32 rows, i32 columns
) {
    const complex64* from = transforms + (size_t)BLOCK_X * height * half;
    i32 patch = BLOCK_X % patches, frame = first + BLOCK_X / patches;
    complex64* to = kept + ((size_t)patch * all_frames + frame) * rows * columns;
    EACH_THREAD {
        for (i32 i = thread; i < rows * columns; i += THREADS) {
            i32 y = i / columns;
            i32 source = 2 * y < rows ? y : height - rows + y;
            to[i] = from[(size_t)source * half + i % columns];
        }
    }
}
