/* Pixels of a sum that stand out from others 4 px away, and what lies around pixels of a list. */
#include "portable.h"
#include "neighbours.h"

#define APART 4

union Bits {
    float value;
    u32 bits;
};

CORE float infinity(void) {
    union Bits number;
    number.bits = 0x7f800000u;
    return number.value;
}

CORE float not_a_number(void) {
    union Bits number;
    number.bits = 0x7fc00000u;
    return number.value;
}

CORE float value_at(const float* raw, const float* gain, i32 has_gain, size_t place) {
    return has_gain ? product(raw[place], gain[place]) : raw[place];
}

/* The value, infinite where it is not believed; mirrored beyond the edges. */
CORE float believed(
    const float* raw, const float* gain, i32 has_gain, const u8* good, i32 height, i32 width, i32 y, i32 x
) {
    size_t place = (size_t)mirrored(y, height) * width + mirrored(x, width);
    return good[place] ? value_at(raw, gain, has_gain, place) : infinity();
}

CORE float lower(float one, float other) { return one < other ? one : other; }

/* unmarked (height, width): 0 for pixels that stand out, else 1. Blocks: x over columns, y over rows. */
KERNEL mark_peaks(
    const float* raw, const float* gain, i32 has_gain, const u8* good, u8* unmarked, i32 height, i32 width, float slope,
    float floor
) {
#define AT(dy, dx) believed(raw, gain, has_gain, good, height, width, y + (dy), x + (dx))
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread, y = BLOCK_Y;
        if (x >= width) continue;
        float here = AT(0, 0), most = infinity();
        float across = lower(AT(0, -APART), AT(0, APART)), along = lower(AT(-APART, 0), AT(APART, 0));
        float falling = lower(AT(-APART, -APART), AT(APART, APART)), rising = lower(AT(-APART, APART), AT(APART, -APART));
        float around = product((across + along) + (falling + rising), 0.25f);
        float above = here - around - product(9.0f, slope);
        float variance = product(slope, around > 0.0f ? around : 0.0f) + floor;
        i32 stands_out = above > 0.0f && product(above, above) > product(25.0f, variance) && here < most;
        unmarked[(size_t)y * width + x] = !stands_out;
    }
#undef AT
}

/* found (count, side * side). Blocks: x over pixels of the list, y over places of a window. */
KERNEL cut_windows(
    const float* raw, const float* gain, i32 has_gain, const u8* good, const i32* pixels, float* found, i32 height,
    i32 width, i32 count, i32 reach
) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread, side = 2 * reach + 1;
        if (i >= count) continue;
        i32 y = pixels[i] / width + BLOCK_Y / side - reach, x = pixels[i] % width + BLOCK_Y % side - reach;
        i32 inside = 0 <= y && y < height && 0 <= x && x < width;
        size_t place = inside ? (size_t)y * width + x : 0;
        found[(size_t)i * side * side + BLOCK_Y] =
            inside && good[place] ? value_at(raw, gain, has_gain, place) : not_a_number();
    }
}
