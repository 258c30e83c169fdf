/* Rows of an image that is seen with a gain: shared by images.c and pixels.c. */
#ifndef CRYOFERRY_IMAGE_ROWS_H
#define CRYOFERRY_IMAGE_ROWS_H

#include "common.h"

enum { ROW_LANES = 32 }; /* lanes of a row's sums, as in row_statistics.py */

/* Values of row y: the raw sum times the gain, if there is one. */
INLINE void values_of_row(const float *restrict raw, const float *restrict gain, long width, long y, float *restrict line) {
  raw += y * width;
  if (gain)
    for (long x = 0; x < width; x++) line[x] = raw[x] * gain[y * width + x];
  else memcpy(line, raw, sizeof(float) * width);
}

#endif
