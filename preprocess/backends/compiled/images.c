/* Statistics, sums and thumbnails of whole images: kernels of cpu/image_kernels.py, to the same bits. */
#include "common.h"
#include "image_rows.h"
#include "kernels.h"

enum { COUNT, TOTAL, SQUARES, LOWEST, HIGHEST, EVERY, STATISTICS }; /* as in row_statistics.py */

CLONES void believe_in_gain(const float *restrict gain, long width, uint8_t *restrict good, long start, long stop) {
  for (long i = start * width; i < stop * width; i++) good[i] = gain[i] > 0;
}

INLINE void add_lanes(const double *totals, const double *squares, double *of_line) {
  of_line[TOTAL] = of_line[SQUARES] = 0;
  for (int lane = 0; lane < ROW_LANES; lane++) of_line[TOTAL] += totals[lane], of_line[SQUARES] += squares[lane];
}

INLINE void statistics_of_line(const float *restrict line, long width, double *of_line) {
  double totals[ROW_LANES] = {0}, squares[ROW_LANES] = {0};
  float lows[ROW_LANES], highs[ROW_LANES], lowest = INFINITY, highest = -INFINITY;
  for (int lane = 0; lane < ROW_LANES; lane++) lows[lane] = INFINITY, highs[lane] = -INFINITY;
  for (long left = 0; left < width; left += ROW_LANES) {
    int lanes = (int)at_most(ROW_LANES, width - left);
    for (int lane = 0; lane < lanes; lane++) {
      float value = line[left + lane];
      double wide = value;
      totals[lane] += wide, squares[lane] += wide * wide;
      lows[lane] = value < lows[lane] ? value : lows[lane];
      highs[lane] = value > highs[lane] ? value : highs[lane];
    }
  }
  for (int lane = 0; lane < ROW_LANES; lane++) {
    lowest = lows[lane] < lowest ? lows[lane] : lowest;
    highest = highs[lane] > highest ? highs[lane] : highest;
  }
  add_lanes(totals, squares, of_line);
  of_line[COUNT] = width, of_line[LOWEST] = lowest, of_line[HIGHEST] = highest, of_line[EVERY] = of_line[TOTAL];
}

/* Replace the statistics of a line by those of its good values; the sum of all values stays. */
INLINE void statistics_of_good(const float *line, const uint8_t *good, long width, double *of_line) {
  double totals[ROW_LANES] = {0}, squares[ROW_LANES] = {0};
  float lowest = INFINITY, highest = -INFINITY;
  long count = 0;
  for (long x = 0; x < width; x++) {
    if (!good[x]) continue;
    double wide = line[x];
    totals[x % ROW_LANES] += wide, squares[x % ROW_LANES] += wide * wide;
    lowest = line[x] < lowest ? line[x] : lowest, highest = line[x] > highest ? line[x] : highest;
    count++;
  }
  add_lanes(totals, squares, of_line);
  of_line[COUNT] = count, of_line[LOWEST] = lowest, of_line[HIGHEST] = highest;
}

CLONES void sum_statistics(const float *raw, const float *gain, const uint8_t *good, long height, long width,
                           const int64_t *rows, double *statistics, float *line, long start, long stop) {
  for (long index = start; index < stop; index++) {
    long y = rows[index], count = 0;
    double of_line[STATISTICS];
    values_of_row(raw, gain, width, y, line);
    statistics_of_line(line, width, of_line);
    for (long x = 0; x < width; x++) count += good[y * width + x];
    if (count < width) statistics_of_good(line, good + y * width, width, of_line);
    for (int kind = 0; kind < STATISTICS; kind++) statistics[kind * height + y] = of_line[kind];
  }
}

CLONES void image_statistics(const float *image, long width, double *statistics, long stride, long start, long stop) {
  for (long y = start; y < stop; y++) {
    double of_line[STATISTICS];
    statistics_of_line(image + y * width, width, of_line);
    for (int kind = 0; kind < STATISTICS; kind++) statistics[kind * stride + y] = of_line[kind];
  }
}

CLONES void add_image(const float *restrict image, float factor, float *restrict total, long width, int is_first,
                      long start, long stop) {
  for (long i = start * width; i < stop * width; i++) {
    float value = image[i] * factor;
    total[i] = is_first ? value : total[i] + value;
  }
}

/* The sum of a box: two by two pixels are added in single precision, these sums in double. */
INLINE double sum_of_box(const float *image, long width, long height, long columns) {
  double total = 0;
  long y = 0, x;
  for (; y + 1 < height; y += 2) {
    const float *upper = image + y * width, *lower = upper + width;
    for (x = 0; x + 1 < columns; x += 2) total += ((upper[x] + upper[x + 1]) + lower[x]) + lower[x + 1];
    if (x < columns) total += upper[x] + lower[x];
  }
  if (y < height) {
    const float *last = image + y * width;
    for (x = 0; x + 1 < columns; x += 2) total += last[x] + last[x + 1];
    if (x < columns) total += last[x];
  }
  return total;
}

/* Means of boxes, added up as Pillow does; smaller ones at the ends pixel by pixel in double precision. */
CLONES void reduce_boxes(const float *image, long height, long width, long factor_y, long factor_x, float *means,
                         long columns, long start, long stop) {
  for (long y = start; y < stop; y++)
    for (long x = 0; x < columns; x++) {
      long top = y * factor_y, left = x * factor_x;
      long rows = at_most(factor_y, height - top), wide = at_most(factor_x, width - left);
      const float *box = image + top * width + left;
      double total = 0;
      if (rows == factor_y && wide == factor_x) total = sum_of_box(box, width, rows, wide);
      else
        for (long j = 0; j < rows; j++)
          for (long i = 0; i < wide; i++) total += box[j * width + i];
      means[y * columns + x] = (float)(total * (1.0 / (rows * wide)));
    }
}
