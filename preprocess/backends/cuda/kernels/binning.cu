/* Frames binned in boxes with the gain reference applied, their means removed, their edges softened. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif

/* The sum of one box, its columns first. */
CORE float box_sum(
    const FRAME* frame, const float* gain, i32 has_gain, i32 width, i32 factor, i32 y, i32 x
) {
    float box = 0.0f;
    for (i32 i = 0; i < factor; i++) {
        float column = 0.0f;
        for (i32 j = 0; j < factor; j++) {
            size_t place = (size_t)(y * factor + j) * width + x * factor + i;
            float pixel = (float)frame[place];
            column += has_gain ? pixel * gain[place] : pixel;
        }
        box += column;
    }
    return box;
}

/* frames (count, height, width); gain (height, width); binned (count, rows, columns); parts (count, strips): the sums
   of strips of `strip_rows` rows. Blocks: x over frames, y over strips, so that blocks at work at the same time share the
   gain's rows in the cache. */
KERNEL bin_frames(
    const FRAME* frames, const float* gain, i32 has_gain, float* binned, double* parts,
    i32 height, i32 width, i32 factor, i32 rows, i32 columns, i32 strips, i32 strip_rows
) {
    SHARED double sums[THREADS];
    const FRAME* frame = frames + (size_t)BLOCK_X * height * width;
    i32 top = BLOCK_Y * strip_rows;
    i32 size = (smaller(top + strip_rows, rows) - top) * columns;
    float* strip = binned + ((size_t)BLOCK_X * rows + top) * columns;
    EACH_THREAD {
        double sum = 0.0;
        for (i32 i = thread; i < size; i += THREADS) {
            float box = box_sum(frame, gain, has_gain, width, factor, top + i / columns, i % columns);
            strip[i] = box;
            sum += box;
        }
        sums[thread] = sum;
    }
    ADD_UP(sums);
    EACH_THREAD {
        if (thread == 0) parts[(size_t)BLOCK_X * strips + BLOCK_Y] = sums[0];
    }
}

/* parts (count, strips); means (count). Blocks: x over frames. */
KERNEL find_means(const double* parts, float* means, i32 strips, i32 size) {
    SHARED double sums[THREADS];
    EACH_THREAD {
        double sum = 0.0;
        for (i32 i = thread; i < strips; i += THREADS) sum += parts[(size_t)BLOCK_X * strips + i];
        sums[thread] = sum;
    }
    ADD_UP(sums);
    EACH_THREAD {
        if (thread == 0) means[BLOCK_X] = (float)(sums[0] / size);
    }
}

/* binned (count, rows, columns), in place; means (count); along_y (rows), along_x (columns): what the edges are
   softened by. Blocks: x over rows, y over frames. */
KERNEL taper_frames(
    float* binned, const float* means, const float* along_y, const float* along_x, i32 rows, i32 columns
) {
    float* line = binned + ((size_t)BLOCK_Y * rows + BLOCK_X) * columns;
    EACH_THREAD {
        for (i32 x = thread; x < columns; x += THREADS)
            line[x] = (line[x] - means[BLOCK_Y]) * (along_y[BLOCK_X] * along_x[x]);
    }
}
