/* Statistics of rows: count, sum, sum of squares, extremes of the values that count, and the sum of all.

   A row is summed in 32 lanes, a thread each: lane l has columns l, l + 32, …, from left to right; lanes are added from
   the first to the last. The CPU does the same, so that both come to the same bits: squares of a float are exact in
   double precision, and so a fused multiplication and addition changes nothing. */
#include "portable.h"

#define LANES 32
#define ROWS_A_BLOCK (THREADS / LANES)

struct Statistics {
    double total, squares, every;
    float lowest, highest;
    i32 count;
};

union Bits {
    float value;
    u32 bits;
};

CORE struct Statistics no_statistics(void) {
    union Bits infinity;
    infinity.bits = 0x7f800000u;
    struct Statistics none = {0.0, 0.0, 0.0, infinity.value, -infinity.value, 0};
    return none;
}

CORE void take_in(struct Statistics* statistics, float value, i32 counts) {
    double wide = (double)value;
    statistics->every += wide;
    if (!counts) return;
    statistics->total += wide;
    statistics->squares += wide * wide;
    statistics->lowest = value < statistics->lowest ? value : statistics->lowest;
    statistics->highest = value > statistics->highest ? value : statistics->highest;
    statistics->count++;
}

/* rows (6, height): each statistic of row y, its lanes added up. */
CORE void write_row(const struct Statistics* lanes, double* rows, i32 height, i32 y) {
    struct Statistics row = no_statistics();
    for (int lane = 0; lane < LANES; lane++) {
        row.count += lanes[lane].count;
        row.total += lanes[lane].total;
        row.squares += lanes[lane].squares;
        row.every += lanes[lane].every;
        row.lowest = lanes[lane].lowest < row.lowest ? lanes[lane].lowest : row.lowest;
        row.highest = lanes[lane].highest > row.highest ? lanes[lane].highest : row.highest;
    }
    double each[6] = {(double)row.count, row.total, row.squares, row.lowest, row.highest, row.every};
    for (int i = 0; i < 6; i++) rows[(size_t)i * height + y] = each[i];
}

/* The number in half precision that is nearest, the even one of two as near. */
CORE u16 to_half(float value) {
    union Bits given, rounded;
    given.value = value;
    u32 sign = given.bits >> 16 & 0x8000u, magnitude = given.bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (u16)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu)); /* not a number */
    if (magnitude >= 0x477ff000u) return (u16)(sign | 0x7c00u); /* 65520 and beyond: infinity */
    if (magnitude < 0x38800000u) { /* below 2^-14: whole multiples of 2^-24, which is what 0.5 is rounded to */
        given.bits = magnitude;
        rounded.value = given.value + 0.5f;
        return (u16)(sign | (rounded.bits - 0x3f000000u));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1u);
    return (u16)(sign | (magnitude - 0x38000000u) >> 13);
}

CORE float of_half(u16 half) {
    union Bits number;
    u32 sign = (u32)(half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0) {
        number.value = (float)fraction / 16777216.0f;
        number.bits |= sign;
    } else {
        number.bits = sign | ((exponent == 31 ? 255u : exponent + 112u) << 23) | fraction << 13;
    }
    return number.value;
}

/* Statistics of the believed pixels of a raw sum, its gain applied. Blocks: x over groups of 8 rows. */
KERNEL sum_statistics(
    const float* raw, const float* gain, i32 has_gain, const u8* good, double* rows, i32 height, i32 width
) {
    SHARED struct Statistics lanes[THREADS];
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        struct Statistics statistics = no_statistics();
        for (i32 x = thread % LANES; y < height && x < width; x += LANES) {
            size_t place = (size_t)y * width + x;
            take_in(&statistics, has_gain ? raw[place] * gain[place] : raw[place], good[place]);
        }
        lanes[thread] = statistics;
    }
    BARRIER;
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        if (thread % LANES == 0 && y < height) write_row(lanes + thread, rows, height, y);
    }
}

/* An image as half precision, its statistics as they are then, and before. Blocks: x over groups of 8 rows. */
KERNEL write_half(const float* image, u16* written, double* rows, double* before, i32 height, i32 width) {
    SHARED struct Statistics lanes[THREADS], lanes_before[THREADS];
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        struct Statistics statistics = no_statistics(), statistics_before = no_statistics();
        for (i32 x = thread % LANES; y < height && x < width; x += LANES) {
            size_t place = (size_t)y * width + x;
            u16 half = to_half(image[place]);
            written[place] = half;
            take_in(&statistics, of_half(half), 1);
            take_in(&statistics_before, image[place], 1);
        }
        lanes[thread] = statistics;
        lanes_before[thread] = statistics_before;
    }
    BARRIER;
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        if (thread % LANES || y >= height) continue;
        write_row(lanes + thread, rows, height, y);
        write_row(lanes_before + thread, before, height, y);
    }
}

/* Statistics of all of an image. Blocks: x over groups of 8 rows. */
KERNEL image_statistics(const float* image, double* rows, i32 height, i32 width) {
    SHARED struct Statistics lanes[THREADS];
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        struct Statistics statistics = no_statistics();
        for (i32 x = thread % LANES; y < height && x < width; x += LANES)
            take_in(&statistics, image[(size_t)y * width + x], 1);
        lanes[thread] = statistics;
    }
    BARRIER;
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        if (thread % LANES == 0 && y < height) write_row(lanes + thread, rows, height, y);
    }
}
