/* The spectra of an image's tiles: kernels of cpu/tile_kernels.py. Complex numbers are pairs of real and imaginary part. */
#include "common.h"
#include "kernels.h"

/* Means of boxes of `factor` by `factor` pixels. */
INLINE void bin_line(const float *restrict image, long image_width, long factor, long side, float *restrict line) {
  float scale = (float)(1.0 / (factor * factor));
  memset(line, 0, sizeof(float) * side);
  for (long dy = 0; dy < factor; dy++)
    for (long x = 0; x < side; x++)
      for (long dx = 0; dx < factor; dx++) line[x] += image[dy * image_width + x * factor + dx];
  for (long x = 0; x < side; x++) line[x] *= scale;
}

INLINE float clipped(float value, float reach) {
  value = -reach > value ? -reach : value;
  return reach < value ? reach : value;
}

/* A line less `level`, clipped, times the window. Writes its sum and that of its squares; returns whether all its values
   are finite numbers. */
INLINE int cut_line(const float *restrict line, float level, float reach, const float *restrict window, long side,
                    float *restrict row, double *total, double *square) {
  float totals[LANES] = {0}, squares[LANES] = {0}, doubts[LANES] = {0}, doubt = 0;
  for (long left = 0; left < side; left += LANES) {
    int lanes = (int)at_most(LANES, side - left);
    for (int lane = 0; lane < lanes; lane++) {
      float value = line[left + lane] - level;
      doubts[lane] += value * 0;
      value = clipped(value, reach);
      totals[lane] += value, squares[lane] += value * value;
      row[left + lane] = value * window[left + lane];
    }
  }
  *total = *square = 0;
  for (int lane = 0; lane < LANES; lane++) *total += totals[lane], *square += squares[lane], doubt += doubts[lane];
  return doubt == 0;
}

/* The same where values are not finite: they become the mean of the others. Returns how many they are. */
INLINE long cut_spoilt_line(const float *line, float level, float reach, const float *window, long side, float *row,
                            double *total, double *square) {
  long bad = 0;
  *total = *square = 0;
  for (long x = 0; x < side; x++) {
    float value = line[x] - level;
    if (fabsf(value) < INFINITY) {
      value = clipped(value, reach);
      *total += value, *square += value * value;
    } else bad++;
    row[x] = value;
  }
  float mean = bad < side ? (float)(*total / (side - bad)) : 0;
  for (long x = 0; x < side; x++) row[x] = (fabsf(row[x]) < INFINITY ? row[x] : mean) * window[x];
  return bad;
}

CLONES void cut_rows(const float *image, long image_width, long first, long left, long bin_factor, float level,
                     float reach, const float *window, long side, float *rows, long row_count, double *statistics,
                     long stride, float *binned) {
  for (long index = 0; index < row_count; index++) {
    const float *line = image + (first + index) * bin_factor * image_width + left * bin_factor;
    float *row = rows + index * side;
    double *of_row = statistics + first + index;
    if (bin_factor > 1) {
      bin_line(line, image_width, bin_factor, side, binned);
      line = binned;
    }
    of_row[2 * stride] = 0;
    if (!cut_line(line, level, reach, window, side, row, of_row, of_row + stride))
      of_row[2 * stride] = cut_spoilt_line(line, level, reach, window, side, row, of_row, of_row + stride);
  }
}

void keep_columns(const float *transforms, long row_count, long half, long first, float *columns, long kept,
                  long height) {
  for (long x = 0; x < kept; x++)
    for (long y = 0; y < row_count; y++)
      memcpy(columns + 2 * (x * height + first + y), transforms + 2 * (y * half + x), 2 * sizeof(float));
}

CLONES void cut_columns(const float *restrict columns, long height, long top, const float *restrict window,
                        double factor, float *restrict cut, long count, long side) {
  float times = (float)factor;
  for (long x = 0; x < count; x++) {
    const float *restrict from = columns + 2 * (x * height + top);
    float *restrict to = cut + 2 * x * side;
    for (long y = 0; y < side; y++) {
      float by = window[y] * times;
      to[2 * y] = from[2 * y] * by, to[2 * y + 1] = from[2 * y + 1] * by;
    }
  }
}

/* Add the powers of some complex numbers to others. */
INLINE void add_powers(const float *restrict values, long count, float *restrict powers) {
  for (long y = 0; y < count; y++) powers[y] += values[2 * y] * values[2 * y] + values[2 * y + 1] * values[2 * y + 1];
}

CLONES void add_column_powers(const float *transforms, long side, float *powers, long count, long places) {
  long radius = places / 2;
  for (long x = 0; x < count; x++) {
    const float *column = transforms + 2 * x * side;
    add_powers(column + 2 * (side - radius), radius, powers + x * places);
    add_powers(column, radius + 1, powers + x * places + radius);
  }
}
