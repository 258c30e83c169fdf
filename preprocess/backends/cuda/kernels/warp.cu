/* Frames with their displacements undone, added to weighted sums. One thread a pixel of the sums. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif
#ifndef MOST_SUMS
#define MOST_SUMS 16 /* sums that one launch accumulates */
#endif
#ifndef POWERS
#define POWERS 6 /* powers of y, and of x, in the field */
#endif

CORE i32 mirrored(i32 index, i32 size) {
    i32 period = 2 * size;
    index %= period;
    if (index < 0) index += period;
    return index < size ? index : period - 1 - index;
}

CORE double displacement(const double* c, double y, double x) {
    double value = 0.0;
    for (int j = POWERS - 1; j >= 0; j--) {
        double in_x = 0.0;
        for (int i = POWERS - 1; i >= 0; i--) in_x = in_x * x + c[j * POWERS + i];
        value = value * y + in_x;
    }
    return value;
}

/* frames (count, height, width); gain (height, width); field_y, field_x (count, POWERS, POWERS), by power of y and of
   x; weights (count, sum_count); taps (steps, 6); sums (sum_count, height, width); piece: columns that share the
   displacement at their middle. Blocks: x over columns, y over rows. */
KERNEL warp_and_sum(
    const FRAME* frames, const float* gain, i32 has_gain, const double* field_y, const double* field_x,
    const float* weights, const float* taps, float* sums,
    i32 count, i32 height, i32 width, i32 sum_count, i32 steps, i32 piece
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        i32 y = BLOCK_Y;
        if (x >= width) continue;
        i32 block = x / piece * piece;
        i32 columns = smaller(piece, width - block);
        double at_y = (double)y / height - 0.5;
        double at_x = (block + 0.5 * columns) / width - 0.5;
        float total[MOST_SUMS];
        for (i32 r = 0; r < sum_count; r++) total[r] = 0.0f;
        for (i32 t = 0; t < count; t++) {
            double source_y = y + displacement(field_y + POWERS * POWERS * t, at_y, at_x);
            double shift_x = displacement(field_x + POWERS * POWERS * t, at_y, at_x);
            i32 iy = (i32)floor(source_y), ix = (i32)floor(shift_x);
            const float* w = taps + 6 * smaller((i32)((source_y - iy) * steps), steps - 1);
            const float* v = taps + 6 * smaller((i32)((shift_x - ix) * steps), steps - 1);
            i32 from_x[6];
            for (int i = 0; i < 6; i++) from_x[i] = mirrored(x + ix - 2 + i, width);
            float value = 0.0f;
            for (int j = 0; j < 6; j++) {
                size_t row = (size_t)mirrored(iy - 2 + j, height) * width;
                const FRAME* line = frames + (size_t)t * height * width + row;
                float along = 0.0f;
                for (int i = 0; i < 6; i++) {
                    float pixel = (float)line[from_x[i]];
                    if (has_gain) pixel *= gain[row + from_x[i]];
                    along += v[i] * pixel;
                }
                value += w[j] * along;
            }
            for (i32 r = 0; r < sum_count; r++) total[r] += weights[(size_t)t * sum_count + r] * value;
        }
        for (i32 r = 0; r < sum_count; r++) sums[((size_t)r * height + y) * width + x] = total[r];
    }
}
