/* The plain sum of a movie's frames, which of its pixels are valid, and lists of pixels.

   A pixel's value is that of the raw sum times its gain. Sums are exact for integers; comparisons give the very pixels
   that the CPU finds. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif
#ifndef TOTAL
#define TOTAL double /* holds the exact sum of integers; double of floats alone: most GPUs add them 64 times as slowly */
#endif

CORE float value_at(const float* raw, const float* gain, i32 has_gain, size_t place) {
    return has_gain ? raw[place] * gain[place] : raw[place];
}

/* frames (count, size); raw (size). Blocks: x over pixels. */
KERNEL sum_frames(const FRAME* frames, float* raw, i32 count, i32 size) {
    EACH_THREAD {
        size_t place = (size_t)BLOCK_X * THREADS + thread;
        if (place >= (size_t)size) continue;
        TOTAL sum = 0;
        for (i32 t = 0; t < count; t++) sum += (TOTAL)frames[(size_t)t * size + place];
        raw[place] = (float)sum;
    }
}

/* Believe in all pixels of a gain greater than zero, in all without a gain. Blocks: x over pixels. */
KERNEL believe_in_gain(const float* gain, i32 has_gain, u8* good, i32 size) {
    EACH_THREAD {
        size_t place = (size_t)BLOCK_X * THREADS + thread;
        if (place >= (size_t)size) continue;
        good[place] = !has_gain || gain[place] > 0.0f;
    }
}

/* Blocks: x over pixels of the list. */
KERNEL exclude_pixels(u8* good, const i32* pixels, i32 count) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i < count) good[pixels[i]] = 0;
    }
}

CORE i32 is_wanted(float value, u8 good, i32 believed, float lowest, float highest) {
    return believed ? good && lowest <= value && value <= highest : !good;
}

/* List the flat indices of pixels of some rows, from left to right: the believed ones whose value lies between limits,
   or those that are not believed. Each row's begin at firsts[row's number]; with `counting`, how many there are is
   written there instead. A thread a row. Blocks: x over rows of the list. */
KERNEL list_pixels(
    const float* raw, const float* gain, i32 has_gain, const u8* good, const i32* rows, i32* firsts, i32* found,
    i32 row_count, i32 width, i32 believed, i32 counting, float lowest, float highest
) {
    EACH_THREAD {
        i32 index = BLOCK_X * THREADS + thread;
        if (index >= row_count) continue;
        size_t row = (size_t)rows[index] * width;
        i32 count = 0;
        for (i32 x = 0; x < width; x++) {
            if (!is_wanted(value_at(raw, gain, has_gain, row + x), good[row + x], believed, lowest, highest)) continue;
            if (!counting) found[firsts[index] + count] = (i32)(row + x);
            count++;
        }
        if (counting) firsts[index] = count;
    }
}
