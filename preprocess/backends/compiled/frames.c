/* Sums over frames and boxes of their pixels, for each number type: raw_sum, box_sums, bin_frame of
   cpu/frame_kernels.py, and replace_pixels of cpu/pixel_kernels.py. */
#include "common.h"
#include "half.h"
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

/* Add up lanes, always in this order. */
INLINE double sum_of(const double *lanes) {
  double total = 0;
  for (int lane = 0; lane < LANES; lane++) total += lanes[lane];
  return total;
}

#define FRAMES(NAME, PIXEL, VALUE)                                                                                       \
  CLONES void raw_sum_##NAME(const PIXEL *restrict frames, long count, long height, long width, float *restrict total,   \
                             long start, long stop) {                                                                    \
    double sums[COLUMNS];                                                                                                \
    for (long y = start; y < stop; y++)                                                                                  \
      for (long left = 0; left < width; left += COLUMNS) {                                                               \
        long columns = at_most(COLUMNS, width - left);                                                                   \
        memset(sums, 0, sizeof sums);                                                                                    \
        for (long t = 0; t < count; t++) {                                                                               \
          const PIXEL *restrict line = frames + (t * height + y) * width + left;                                         \
          for (long x = 0; x < columns; x++) sums[x] += VALUE(line[x]);                                                  \
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
          for (long x = 0; x < wide; x++) columns[x] += VALUE(line[x]) * sensitivity[x];                                 \
        } else                                                                                                           \
          for (long x = 0; x < wide; x++) columns[x] += VALUE(line[x]);                                                  \
      }                                                                                                                  \
      float *restrict sums = binned + y * width;                                                                         \
      if (factor == 1) sum_neighbours(columns, 1, width, sums);                                                          \
      else if (factor == 2) sum_neighbours(columns, 2, width, sums);                                                     \
      else if (factor == 4) sum_neighbours(columns, 4, width, sums);                                                     \
      else sum_neighbours(columns, factor, width, sums);                                                                 \
    }                                                                                                                    \
  }                                                                                                                      \
  CLONES void box_sums_##NAME(const PIXEL *frames, long height, long width, const int64_t *row_ends,                     \
                              const int64_t *column_ends, long boxes, long step, double *sums, long start, long stop) {  \
    long box_count = boxes * boxes;                                                                                      \
    for (long t = start; t < stop; t++)                                                                                  \
      for (long box = 0; box < box_count; box++) {                                                                       \
        long left = column_ends[box % boxes], columns = column_ends[box % boxes + 1] - left, pixels = 0;                 \
        double totals[LANES] = {0}, squares[LANES] = {0};                                                                \
        for (long y = row_ends[box / boxes]; y < row_ends[box / boxes + 1]; y += step) {                                 \
          const PIXEL *restrict line = frames + (t * height + y) * width + left;                                         \
          long x = 0;                                                                                                    \
          for (; x + LANES <= columns; x += LANES)                                                                       \
            for (int lane = 0; lane < LANES; lane++) {                                                                   \
              double value = VALUE(line[x + lane]);                                                                      \
              totals[lane] += value, squares[lane] += value * value;                                                     \
            }                                                                                                            \
          for (int lane = 0; x + lane < columns; lane++) {                                                               \
            double value = VALUE(line[x + lane]);                                                                        \
            totals[lane] += value, squares[lane] += value * value;                                                       \
          }                                                                                                              \
          pixels += columns;                                                                                             \
        }                                                                                                                \
        double *of_box = sums + t * 3 * box_count + box;                                                                 \
        of_box[0] += pixels, of_box[box_count] += sum_of(totals), of_box[2 * box_count] += sum_of(squares);              \
      }                                                                                                                  \
  }                                                                                                                      \
  void replace_pixels_##NAME(PIXEL *frames, long pixels, const int64_t *targets, long target_count,                      \
                             const int64_t *sources, long most, const int64_t *counts, const int64_t *starts,            \
                             const int64_t *steps, long start, long stop) {                                              \
    for (long t = start; t < stop; t++) {                                                                                \
      PIXEL *frame = frames + t * pixels;                                                                                \
      for (long i = 0; i < target_count; i++)                                                                            \
        frame[targets[i]] = frame[sources[i * most + (starts[i] + t * steps[i]) % counts[i]]];                           \
    }                                                                                                                    \
  }

FRAMES(u8, uint8_t, (float))
FRAMES(i8, int8_t, (float))
FRAMES(u16, uint16_t, (float))
FRAMES(i16, int16_t, (float))
FRAMES(f16, uint16_t, half_value)
FRAMES(f32, float, (float))
