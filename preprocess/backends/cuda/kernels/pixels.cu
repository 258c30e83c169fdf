/* Single pixels that get other values. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif

/* In frame t, defect i is copied from sources[i, (starts[i] + t * steps[i]) % counts[i]], which is no defect itself.
   frames (frames, size); sources (count, most). Blocks: x over defects, y over frames. */
KERNEL replace_pixels(
    FRAME* frames, const i32* targets, const i32* sources, const i32* counts, const i32* starts, const i32* steps,
    i32 count, i32 most, i32 size
) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i >= count) continue;
        FRAME* frame = frames + (size_t)BLOCK_Y * size;
        frame[targets[i]] = frame[sources[(size_t)i * most + (starts[i] + BLOCK_Y * steps[i]) % counts[i]]];
    }
}

/* Blocks: x over pixels of the list. */
KERNEL set_pixels(float* image, const i32* pixels, const float* values, i32 count) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i < count) image[pixels[i]] = values[i];
    }
}
