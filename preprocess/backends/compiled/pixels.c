/* Pixels of a sum of frames that may be defects: kernels of cpu/pixel_kernels.py, to the same bits. */
#include "common.h"
#include "image_rows.h"
#include "kernels.h"

CLONES void list_between(const float *raw, const float *gain, const uint8_t *good, long width, float lowest,
                         float highest, const int64_t *rows, int64_t *firsts, int64_t *found, float *line, long start,
                         long stop) {
  for (long index = start; index < stop; index++) {
    long y = rows[index], count = 0;
    const uint8_t *believed = good + y * width;
    values_of_row(raw, gain, width, y, line);
    if (!found) {
      for (long x = 0; x < width; x++) count += (believed[x] != 0) & (lowest <= line[x]) & (line[x] <= highest);
      firsts[index] = count;
      continue;
    }
    int64_t *next = found + firsts[index];
    for (long x = 0; x < width; x++)
      if (believed[x] && lowest <= line[x] && line[x] <= highest) *next++ = y * width + x;
  }
}

/* Room of a line of averages with `reach` mirrored columns at both ends, whole lanes of which are read. */
INLINE long padded(long width, long reach) { return width + 2 * reach + LANES; }

/* Averages of values and of weights, each padded, and a line of means. */
long surroundings_room(long width, long reach) { return 2 * padded(width, reach) + width / 2 + 1; }

/* Averages, rounded to single precision, of good values and of how many are good, over the rows around y. Row r of the
   values, 0 where they are not good, is the ring's r modulo 2 reach + 1. */
INLINE void average_rows(const float *ring, const uint8_t *good, long height, long width, long reach, long y,
                         double *restrict values, double *restrict weights) {
  long size = 2 * reach + 1;
  for (long x = 0; x < width; x++) values[x] = weights[x] = 0;
  for (long j = -reach; j <= reach; j++) {
    long row = mirrored(y + j, height);
    const float *line = ring + row % size * width;
    const uint8_t *believed = good + row * width;
    for (long x = 0; x < width; x++) values[x] += line[x], weights[x] += believed[x];
  }
  for (long x = 0; x < width; x++) values[x] = (float)(values[x] / size), weights[x] = (float)(weights[x] / size);
}

/* Continue a padded line beyond both ends, mirrored; what only fills a lane is zero. */
INLINE void pad_line(double *line, long width, long reach) {
  for (long x = 0; x < reach; x++) {
    line[reach - 1 - x] = line[reach + mirrored(-1 - x, width)];
    line[reach + width + x] = line[reach + mirrored(width + x, width)];
  }
  for (long x = width + 2 * reach; x < padded(width, reach); x++) line[x] = 0;
}

/* Means of good values over boxes: averages of those of rows, over the columns around each. */
INLINE void average_columns(const double *values, const double *weights, long width, long reach, float *means) {
  long size = 2 * reach + 1;
  for (long left = 0; left < width; left += LANES) {
    double value[LANES] = {0}, weight[LANES] = {0};
    for (long i = 0; i < size; i++)
      for (int lane = 0; lane < LANES; lane++)
        value[lane] += values[left + i + lane], weight[lane] += weights[left + i + lane];
    for (long x = left; x < at_most(left + LANES, width); x++) {
      float share = (float)(weight[x - left] / size);
      means[x] = (float)(value[x - left] / size) / (1e-6f > share ? 1e-6f : share);
    }
  }
}

/* The sum of (value - mean)² / mean of the good pixels where both are greater than zero, and how many. */
INLINE double noise_of_line(const float *line, const uint8_t *good, const float *means, long width, long *count) {
  double lanes[ROW_LANES] = {0}, total = 0;
  for (long x = 0; x < width; x++) {
    if (!(good[x] && line[x] > 0 && means[x] > 0)) continue;
    float difference = line[x] - means[x];
    lanes[x % ROW_LANES] += (double)(difference * difference / means[x]);
    ++*count;
  }
  for (int lane = 0; lane < ROW_LANES; lane++) total += lanes[lane];
  return total;
}

CLONES void surroundings(const float *raw, const float *gain, const uint8_t *good, long height, long width, long reach,
                         const int64_t *pixels, const int64_t *firsts, float *around, double *noise, float *ring,
                         double *room, long start, long stop) {
  long size = 2 * reach + 1, next_row = at_least(0, start - reach);
  double *values = room, *weights = values + padded(width, reach);
  float *means = (float *)(weights + padded(width, reach));
  for (long y = start; y < stop; y++) {
    for (; next_row < at_most(y + reach + 1, height); next_row++) {
      float *line = ring + next_row % size * width;
      values_of_row(raw, gain, width, next_row, line);
      for (long x = 0; x < width; x++) line[x] = good[next_row * width + x] ? line[x] : 0;
    }
    average_rows(ring, good, height, width, reach, y, values + reach, weights + reach);
    pad_line(values, width, reach), pad_line(weights, width, reach);
    average_columns(values, weights, width, reach, means);
    for (int64_t index = firsts[y]; index < firsts[y + 1]; index++) around[index] = means[pixels[index] - y * width];
    long count = 0;
    noise[y] = noise_of_line(ring + y % size * width, good + y * width, means, width, &count);
    noise[height + y] = count;
  }
}

/* Values of row y, infinite where they are not good, with 4 mirrored columns at both ends. */
INLINE void padded_row(const float *raw, const float *gain, const uint8_t *good, long width, long y, float *line) {
  float *inside = line + 4;
  values_of_row(raw, gain, width, y, inside);
  for (long x = 0; x < width; x++) inside[x] = good[y * width + x] ? inside[x] : INFINITY;
  for (long x = 0; x < 4; x++) {
    inside[-1 - x] = inside[mirrored(-1 - x, width)];
    inside[width + x] = inside[mirrored(width + x, width)];
  }
}

INLINE float lower(float a, float b) { return b < a ? b : a; }

/* Mark the pixels of a line that stand out from pixels 4 px away; return how many. Lines are padded. */
INLINE long mark_line(const float *restrict up, const float *restrict here, const float *restrict down, float slope,
                      float floor, uint8_t *restrict marks, long width) {
  float least = 9 * slope;
  long count = 0;
  for (long x = 0; x < width; x++) {
    float across = lower(here[x], here[x + 8]), along = lower(up[x + 4], down[x + 4]);
    float falling = lower(up[x], down[x + 8]), rising = lower(up[x + 8], down[x]);
    float around = ((across + along) + (falling + rising)) * 0.25f, above = here[x + 4] - around - least;
    float variance = slope * (0 > around ? 0 : around) + floor;
    int stands_out = (above > 0) & (above * above > 25 * variance) & (here[x + 4] < INFINITY);
    marks[x] = (uint8_t)stands_out, count += stands_out;
  }
  return count;
}

CLONES void mark_peaks(const float *raw, const float *gain, const uint8_t *good, long height, long width, double slope,
                       double floor, uint8_t *marks, int64_t *counts, float *ring, long start, long stop) {
  long next_row = at_least(0, start - 4), wide = width + 8;
  for (long y = start; y < stop; y++) {
    for (; next_row < at_most(y + 5, height); next_row++)
      padded_row(raw, gain, good, width, next_row, ring + next_row % 9 * wide);
    const float *up = ring + mirrored(y - 4, height) % 9 * wide, *down = ring + mirrored(y + 4, height) % 9 * wide;
    counts[y] = mark_line(up, ring + y % 9 * wide, down, (float)slope, (float)floor, marks + y * width, width);
  }
}

void cut_windows(const float *raw, const float *gain, const uint8_t *good, long height, long width,
                 const int64_t *pixels, long reach, float *found, long start, long stop) {
  long side = 2 * reach + 1;
  for (long index = start; index < stop; index++) {
    float *window = found + index * side * side;
    long top = pixels[index] / width - reach, left = pixels[index] % width - reach;
    for (long place = 0; place < side * side; place++) {
      long y = top + place / side, x = left + place % side, at = y * width + x;
      int is_there = y >= 0 && y < height && x >= 0 && x < width && good[at];
      window[place] = !is_there ? NAN : gain ? raw[at] * gain[at] : raw[at];
    }
  }
}
