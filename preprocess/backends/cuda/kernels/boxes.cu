/* Means of boxes of an image, added up as Pillow and the CPU do: two by two pixels in single precision, these sums in
   double; smaller boxes at the ends pixel by pixel. */
#include "portable.h"

CORE double sum_of_box(const float* image, i32 width, i32 top, i32 bottom, i32 left, i32 right) {
    double total = 0.0;
    i32 y = top;
    for (; y < bottom - 1; y += 2) {
        const float *line = image + (size_t)y * width, *next = line + width;
        i32 x = left;
        for (; x < right - 1; x += 2) total += (double)(line[x] + line[x + 1] + next[x] + next[x + 1]);
        if (x < right) total += (double)(line[x] + next[x]);
    }
    if (y < bottom) {
        const float* line = image + (size_t)y * width;
        i32 x = left;
        for (; x < right - 1; x += 2) total += (double)(line[x] + line[x + 1]);
        if (x < right) total += (double)line[x];
    }
    return total;
}

/* image (height, width); means (rows, columns). Blocks: x over columns, y over rows of the means. */
KERNEL reduce_boxes(
    const float* image, float* means, i32 height, i32 width, i32 factor_y, i32 factor_x, i32 columns
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        if (x >= columns) continue;
        i32 top = BLOCK_Y * factor_y, bottom = smaller(top + factor_y, height);
        i32 left = x * factor_x, right = smaller(left + factor_x, width);
        i32 area = (bottom - top) * (right - left);
        double total = 0.0;
        if (area == factor_y * factor_x) {
            total = sum_of_box(image, width, top, bottom, left, right);
        } else {
            for (i32 y = top; y < bottom; y++)
                for (i32 i = left; i < right; i++) total += (double)image[(size_t)y * width + i];
        }
        means[(size_t)BLOCK_Y * columns + x] = (float)(total * (1.0 / area));
    }
}
