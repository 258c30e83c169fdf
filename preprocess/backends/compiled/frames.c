/* Sums over frames and boxes of their pixels, for each number type: raw_sum, bin_frame of cpu/frame_kernels.py. */
#include "common.h"
#include "kernels.h"

enum { COLUMNS = 1024 }; /* so many sums stay in the cache over all frames */

/* Sums of `factor` neighbours. */
INLINE void sum_neighbours(const float *restrict columns, long factor, long width, float *restrict sums) {
  for (long x = 0; x < width; x++) {
    float box = 0;
    for (long i = 0; i < factor; i++) box += columns[x * factor + i];
    sums[x] = box;
  }
}

#define FRAMES(NAME, PIXEL)                                                                                              \
  CLONES void raw_sum_##NAME(const PIXEL *restrict frames, long count, long height, long width, float *restrict total,   \
                             long start, long stop) {                                                                    \
    double sums[COLUMNS];                                                                                                \
    for (long y = start; y < stop; y++)                                                                                  \
      for (long left = 0; left < width; left += COLUMNS) {                                                               \
        long columns = at_most(COLUMNS, width - left);                                                                   \
        memset(sums, 0, sizeof sums);                                                                                    \
        for (long t = 0; t < count; t++) {                                                                               \
          const PIXEL *restrict line = frames + (t * height + y) * width + left;                                         \
          for (long x = 0; x < columns; x++) sums[x] += line[x];                                                         \
        }                                                                                                                \
        for (long x = 0; x < columns; x++) total[y * width + left + x] = (float)sums[x];                                 \
      }                                                                                                                  \
  }                                                                                                                      \
  CLONES void bin_frame_##NAME(const PIXEL *restrict frame, long frame_width, const float *restrict gain, long factor,   \
                               float *restrict binned, long width, float *restrict columns, long start, long stop) {     \
    long wide = width * factor;                                                                                          \
    for (long y = start; y < stop; y++) {                                                                                \
      memset(columns, 0, sizeof(float) * wide);                                                                          \
      for (long j = 0; j < factor; j++) {                                                                                \
        long row = (y * factor + j) * frame_width;                                                                       \
        const PIXEL *restrict line = frame + row;                                                                        \
        if (gain) {                                                                                                      \
          const float *restrict sensitivity = gain + row;                                                                \
          for (long x = 0; x < wide; x++) columns[x] += (float)line[x] * sensitivity[x];                                 \
        } else                                                                                                           \
          for (long x = 0; x < wide; x++) columns[x] += (float)line[x];                                                  \
      }                                                                                                                  \
      float *restrict sums = binned + y * width;                                                                         \
      if (factor == 2) sum_neighbours(columns, 2, width, sums);                                                          \
      else if (factor == 4) sum_neighbours(columns, 4, width, sums);                                                     \
      else sum_neighbours(columns, factor, width, sums);                                                                 \
    }                                                                                                                    \
  }

FRAMES(u8, uint8_t)
FRAMES(i8, int8_t)
FRAMES(u16, uint16_t)
FRAMES(i16, int16_t)
FRAMES(f32, float)
