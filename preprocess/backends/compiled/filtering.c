/* Filters transforms radially: add_filtered of cpu/frame_kernels.py. transform and total are complex, (rows, half). */
#include "common.h"
#include "kernels.h"

enum { AT_ONCE = 512 }; /* factors that are found before they are used, so that both loops are vectors */

CLONES void add_filtered(const float *restrict transform, long transform_half, long height, long width,
                         const float *restrict factors, long factor_count, double last_frequency, float *restrict total,
                         long rows, long half, long start, long stop) {
  float scale = (float)((factor_count - 1) / last_frequency), step = (float)(1.0 / width), found[AT_ONCE];
  int last = (int)factor_count - 2;
  for (long y = start; y < stop; y++) {
    long source = 2 * y < rows ? y : height - rows + y;
    float ky = (float)((2 * source < height ? source : source - height) / (double)height), ky_squared = ky * ky;
    for (long left = 0; left < half; left += AT_ONCE) {
      int columns = (int)at_most(AT_ONCE, half - left), first = (int)left;
      const float *restrict from = transform + (source * transform_half + left) * 2;
      float *restrict to = total + (y * half + left) * 2;
      for (int x = 0; x < columns; x++) {
        float kx = (float)(first + x) * step, place = sqrtf(ky_squared + kx * kx) * scale;
        int whole = (int)place, below = whole < last ? whole : last;
        float part = place - (float)below;
        found[x] = factors[below] * (1 - part) + factors[below + 1] * part;
      }
      for (int x = 0; x < columns; x++) to[2 * x] += from[2 * x] * found[x], to[2 * x + 1] += from[2 * x + 1] * found[x];
    }
  }
}
