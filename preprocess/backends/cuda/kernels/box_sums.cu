/* How many pixels boxes of frames have, the sums of their values and of their squares, every step-th row. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif

/* frames (count, height, width); row_ends, column_ends (boxes + 1); sums (count, 3, boxes * boxes). Blocks: x over
   boxes, y over frames. */
KERNEL box_sums(
    const FRAME* frames, const i32* row_ends, const i32* column_ends, double* sums, i32 height, i32 width, i32 boxes,
    i32 step
) {
    SHARED double totals[THREADS], squares[THREADS];
    const FRAME* frame = frames + (size_t)BLOCK_Y * height * width;
    i32 top = row_ends[BLOCK_X / boxes], bottom = row_ends[BLOCK_X / boxes + 1];
    i32 left = column_ends[BLOCK_X % boxes], columns = column_ends[BLOCK_X % boxes + 1] - left;
    i32 pixels = (bottom - top + step - 1) / step * columns;
    EACH_THREAD {
        double total = 0.0, square = 0.0;
        for (i32 i = thread; i < pixels; i += THREADS) {
            double value = (double)frame[(size_t)(top + i / columns * step) * width + left + i % columns];
            total += value;
            square += value * value;
        }
        totals[thread] = total;
        squares[thread] = square;
    }
    ADD_UP(totals);
    ADD_UP(squares);
    EACH_THREAD {
        if (thread) continue;
        double* of_frame = sums + (size_t)BLOCK_Y * 3 * boxes * boxes + BLOCK_X;
        of_frame[0] = (double)pixels;
        of_frame[boxes * boxes] = totals[0];
        of_frame[2 * boxes * boxes] = squares[0];
    }
}
