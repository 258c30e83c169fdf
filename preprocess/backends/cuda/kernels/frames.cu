/* From a decoder's bytes to frames in their own number type: byte order, predictor, Y flip, half floats, packed 4 bit;
   and sums of groups of frames. */

#include "portable.h"

#define STORED_U8 0
#define STORED_I8 1
#define STORED_U16 2
#define STORED_I16 3
#define STORED_F16 4 /* held as float */
#define STORED_F32 5
#define STORED_U4 6 /* two values a byte, the low half first; held as u8 */

#define SUM_U16 0
#define SUM_I16 1
#define SUM_F32 2

/* The number of a half float (IEEE 754), exactly; all are floats. */
CORE float float_of_half(u32 half) {
    union {
        u32 bits;
        float value;
    } number;
    u32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) {
        /* Infinity; or no number, which conversion makes a quiet one. */
        number.bits = sign | 0x7F800000u | fraction << 13 | (fraction ? 0x400000u : 0);
    } else if (exponent) {
        number.bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        number.value = (float)fraction * (1.0f / 16777216.0f); /* 2^-24 */
        number.bits |= sign;
    }
    return number.value;
}

/* The stored bits of pixel x of a row, in this machine's byte order. */
CORE u32 frames_raw(const u8* row, i64 x, int stored, int swap) {
    switch (stored) {
    case STORED_U8:
    case STORED_I8: return row[x];
    case STORED_U4: return row[x >> 1] >> (x & 1 ? 4 : 0) & 15;
    case STORED_F32: {
        const u8* b = row + 4 * x;
        return swap ? (u32)b[0] << 24 | (u32)b[1] << 16 | (u32)b[2] << 8 | b[3]
                    : (u32)b[3] << 24 | (u32)b[2] << 16 | (u32)b[1] << 8 | b[0];
    }
    default: {
        const u8* b = row + 2 * x;
        return swap ? (u32)b[0] << 8 | b[1] : (u32)b[1] << 8 | b[0];
    }
    }
}

/* Put a pixel's bits into its place of the frames as they are held. */
CORE void frames_hold(void* frames, i64 place, u32 raw, int stored) {
    switch (stored) {
    case STORED_U16:
    case STORED_I16: ((u16*)frames)[place] = (u16)raw; break;
    case STORED_F16: ((float*)frames)[place] = float_of_half(raw); break;
    case STORED_F32: ((u32*)frames)[place] = raw; break;
    default: ((u8*)frames)[place] = (u8)raw;
    }
}

/* What a decoder made: images of `image_bytes` each, in rows of `row_bytes`; and how numbers are stored there. */
struct Images {
    const u8* bytes;
    i64 image_bytes, row_bytes;
    int stored, swap, flip;
};

/* Where row y of a frame lies. */
CORE const u8* frames_row(const Images* images, i64 frame, i64 y, i64 height) {
    return images->bytes + frame * images->image_bytes + (images->flip ? height - 1 - y : y) * images->row_bytes;
}

/* One thread a pixel: images become frames (…, height, width) from `first` on. Blocks: x over columns, y over rows,
   z over images. */
KERNEL hold_frames(
    const u8* bytes, i64 image_bytes, i64 row_bytes, i32 stored, i32 swap, i32 flip, i64 height, i64 width, i64 first,
    void* frames
) {
    Images images = {bytes, image_bytes, row_bytes, stored, swap, flip};
    EACH_THREAD {
        i64 x = BLOCK_X * THREADS + thread;
        if (x >= width) continue;
        const u8* row = frames_row(&images, BLOCK_Z, BLOCK_Y, height);
        i64 place = ((first + BLOCK_Z) * height + BLOCK_Y) * width + x;
        frames_hold(frames, place, frames_raw(row, x, stored, swap), stored);
    }
}

/* One thread a row: the same where each pixel is stored as its difference from the one before (TIFF's
   predictor 2). Sums wrap around, as the differences did. Blocks: x over rows, y over images. */
KERNEL hold_differences(
    const u8* bytes, i64 image_bytes, i64 row_bytes, i32 stored, i32 swap, i32 flip, i64 height, i64 width, i64 first,
    void* frames
) {
    Images images = {bytes, image_bytes, row_bytes, stored, swap, flip};
    EACH_THREAD {
        i64 y = BLOCK_X * THREADS + thread;
        if (y >= height) continue;
        const u8* row = frames_row(&images, BLOCK_Y, y, height);
        i64 place = ((first + BLOCK_Y) * height + y) * width;
        u32 sum = 0;
        for (i64 x = 0; x < width; x++) {
            sum += frames_raw(row, x, stored, swap);
            frames_hold(frames, place + x, sum, stored);
        }
    }
}

/* A held pixel as a number that is added up: a whole one, or a float. */
CORE float frames_value(const void* frames, i64 place, int stored) {
    switch (stored) {
    case STORED_I8: return (float)((const i8*)frames)[place];
    case STORED_U16: return (float)((const u16*)frames)[place];
    case STORED_I16: return (float)((const i16*)frames)[place];
    case STORED_F16:
    case STORED_F32: return ((const float*)frames)[place];
    default: return (float)((const u8*)frames)[place];
    }
}

/* One thread a pixel: sums of consecutive frames, group g's being ends[g - 1] to ends[g] (not included), in
   their order. Sums of 8-bit frames are held in 16 bits where they fit: they are exact as floats too. */
KERNEL sum_groups(
    const void* frames, i64 pixel_count, i32 stored, const i64* ends, i32 group_count, i32 summed, void* sums
) {
    EACH_THREAD {
        i64 pixel = (i64)BLOCK_X * THREADS + thread;
        if (pixel >= pixel_count) continue;
        i64 frame = 0;
        for (i64 g = 0; g < group_count; g++) {
            float sum = frames_value(frames, frame * pixel_count + pixel, stored);
            for (frame++; frame < ends[g]; frame++) sum += frames_value(frames, frame * pixel_count + pixel, stored);
            i64 place = g * pixel_count + pixel;
            if (summed == SUM_U16)
                ((u16*)sums)[place] = (u16)sum;
            else if (summed == SUM_I16)
                ((i16*)sums)[place] = (i16)sum;
            else
                ((float*)sums)[place] = sum;
        }
    }
}
