/* Statistics, defects and sums of whole images: kernels of cpu/image_kernels.py, to the same bits. */
#include "common.h"
#include "kernels.h"

enum { COUNT, TOTAL, SQUARES, LOWEST, HIGHEST, EVERY, STATISTICS }; /* as in row_statistics.py */
enum { ROW_LANES = 32 };                                           /* lanes of a row's sums, as in row_statistics.py */

CLONES void believe_in_gain(const float *restrict gain, long width, uint8_t *restrict good, long start, long stop) {
  for (long i = start * width; i < stop * width; i++) good[i] = gain[i] > 0;
}

/* Values of a row: the raw sum times the gain. */
INLINE void values_of_line(const float *restrict raw, const float *restrict gain, long width, float *restrict line) {
  if (gain)
    for (long x = 0; x < width; x++) line[x] = raw[x] * gain[x];
  else memcpy(line, raw, sizeof(float) * width);
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
    values_of_line(raw + y * width, gain ? gain + y * width : gain, width, line);
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
