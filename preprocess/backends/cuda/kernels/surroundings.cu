/* Each pixel of a raw sum compared with the mean of the believed ones around it, in the CPU's order of rounding: rows
   are averaged first, then columns, each average rounded to float; the weights of believed pixels likewise. */
#include "portable.h"
#include "neighbours.h"

#define LANES 32
#define ROWS_A_BLOCK (THREADS / LANES)
#define LEAST_WEIGHT 1e-6f

/* averages (2, height, width): of believed values, and how many of them are believed. Blocks: x over columns, y over
   rows. */
KERNEL average_rows(
    const float* raw, const float* gain, i32 has_gain, const u8* good, float* averages, i32 height, i32 width, i32 reach
) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread, y = BLOCK_Y;
        if (x >= width) continue;
        double value = 0.0, weight = 0.0;
        for (i32 j = -reach; j <= reach; j++) {
            size_t place = (size_t)mirrored(y + j, height) * width + x;
            if (!good[place]) continue;
            value += (double)(has_gain ? product(raw[place], gain[place]) : raw[place]);
            weight += 1.0;
        }
        size_t place = (size_t)y * width + x;
        averages[place] = (float)(value / (2 * reach + 1));
        averages[(size_t)height * width + place] = (float)(weight / (2 * reach + 1));
    }
}

/* means (height, width). Blocks: x over columns, y over rows. */
KERNEL average_columns(const float* averages, float* means, i32 height, i32 width, i32 reach) {
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread, y = BLOCK_Y;
        if (x >= width) continue;
        const float* values = averages + (size_t)y * width;
        const float* weights = averages + (size_t)(height + y) * width;
        double value = 0.0, weight = 0.0;
        for (i32 i = -reach; i <= reach; i++) {
            i32 column = mirrored(x + i, width);
            value += (double)values[column];
            weight += (double)weights[column];
        }
        float part = (float)(weight / (2 * reach + 1));
        means[(size_t)y * width + x] = (float)(value / (2 * reach + 1)) / (part > LEAST_WEIGHT ? part : LEAST_WEIGHT);
    }
}

/* noise (2, height): each row's sum of (value - mean)^2 / mean over the believed pixels where both are greater than
   zero, and how many they are, in lanes as statistics are. Blocks: x over groups of 8 rows. */
KERNEL find_noise(
    const float* raw, const float* gain, i32 has_gain, const u8* good, const float* means, double* noise, i32 height,
    i32 width
) {
    SHARED double lanes[THREADS];
    SHARED i32 counts[THREADS];
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        double sum = 0.0;
        i32 count = 0;
        for (i32 x = thread % LANES; y < height && x < width; x += LANES) {
            size_t place = (size_t)y * width + x;
            float value = has_gain ? product(raw[place], gain[place]) : raw[place], mean = means[place];
            if (!good[place] || !(value > 0.0f) || !(mean > 0.0f)) continue;
            float difference = value - mean;
            sum += (double)(product(difference, difference) / mean);
            count++;
        }
        lanes[thread] = sum;
        counts[thread] = count;
    }
    BARRIER;
    EACH_THREAD {
        i32 y = BLOCK_X * ROWS_A_BLOCK + thread / LANES;
        if (thread % LANES || y >= height) continue;
        double sum = 0.0;
        i32 count = 0;
        for (int lane = 0; lane < LANES; lane++) {
            sum += lanes[thread + lane];
            count += counts[thread + lane];
        }
        noise[y] = sum;
        noise[height + y] = count;
    }
}

/* Blocks: x over pixels of the list. */
KERNEL look_up(const float* means, const i32* pixels, float* around, i32 count) {
    EACH_THREAD {
        i32 i = BLOCK_X * THREADS + thread;
        if (i < count) around[i] = means[pixels[i]];
    }
}
