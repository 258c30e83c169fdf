/* Sums over the transforms of whole frames, and what frames and patches need before they are transformed: kernels of
   cpu/frame_kernels.py. Complex numbers are pairs of real and imaginary part. */
#include "common.h"
#include "kernels.h"

CLONES void taper_frame(float *restrict image, long width, double mean, const float *rows, const float *restrict columns,
                        long start, long stop) {
  float level = (float)mean;
  for (long y = start; y < stop; y++) {
    float *restrict line = image + y * width, row = rows[y];
    for (long x = 0; x < width; x++) line[x] = (line[x] - level) * (row * columns[x]);
  }
}

/* Sums are those of `half` columns: their real and imaginary parts and powers. */
CLONES void sum_spectra(const float *restrict spectra, long count, long height, long half, const float *rows,
                        const float *restrict columns, const int16_t *rings, long width, float *restrict total,
                        double *by_row, long ring_count, float *restrict sums, long start, long stop) {
  float *restrict sum_real = sums, *restrict sum_imaginary = sums + half, *restrict power = sums + 2 * half;
  for (long y = start; y < stop; y++) {
    memset(sums, 0, sizeof(float) * 3 * half);
    for (long t = 0; t < count; t++) {
      float a = rows[2 * (t * height + y)], b = rows[2 * (t * height + y) + 1];
      const float *restrict spectrum = spectra + 2 * (t * height + y) * half, *restrict phases = columns + 2 * t * half;
      for (long x = 0; x < half; x++) {
        float cosine = a * phases[2 * x] - b * phases[2 * x + 1], sine = a * phases[2 * x + 1] + b * phases[2 * x];
        float r = spectrum[2 * x], i = spectrum[2 * x + 1];
        sum_real[x] += r * cosine - i * sine;
        sum_imaginary[x] += r * sine + i * cosine;
        power[x] += r * r + i * i;
      }
    }
    double *of_sum = by_row + y * ring_count, *of_frames = by_row + (height + y) * ring_count;
    for (long x = 0; x < half; x++) {
      long ring = rings[y * half + x];
      double twice = x == 0 || 2 * x == width ? 1 : 2;
      total[2 * (y * half + x)] = sum_real[x], total[2 * (y * half + x) + 1] = sum_imaginary[x];
      of_sum[ring] += twice * (sum_real[x] * sum_real[x] + sum_imaginary[x] * sum_imaginary[x]);
      of_frames[ring] += twice * power[x];
    }
  }
}

/* Add up 16 lanes, always in this order. */
INLINE void add_lanes(const float *parts, double *sums) {
  for (int lane = 0; lane < LANES; lane++) *sums += parts[lane];
}

CLONES void derivatives(const float *restrict spectra, long count, long height, long half, const float *restrict total,
                        const float *rows, const float *restrict columns, const int16_t *rings,
                        const float *ring_weights, long width, double *by_row, float *restrict room, long start,
                        long stop) {
  float *restrict weight = room, *restrict frequency = room + half + LANES;
  float *restrict odds = frequency + half + LANES, *restrict evens = odds + half + LANES;
  for (long x = 0; x < half; x++) frequency[x] = (float)(2 * M_PI * x / width);
  for (long y = start; y < stop; y++) {
    double ky = 2 * M_PI * ((2 * y < height ? y : y - height) / (double)height);
    long last = 0;
    for (long x = 0; x < half; x++) {
      weight[x] = ring_weights[rings[y * half + x]] * (x == 0 || 2 * x == width ? 1.f : 2.f);
      if (weight[x] > 0) last = x + 1;
    }
    const float *restrict reference = total + 2 * y * half;
    for (long t = 0; t < count; t++) {
      float a = rows[2 * (t * height + y)], b = rows[2 * (t * height + y) + 1];
      const float *restrict spectrum = spectra + 2 * (t * height + y) * half, *restrict phases = columns + 2 * t * half;
      float lanes[5][LANES] = {{0}};
      for (long x = 0; x < last; x++) {
        float cosine = a * phases[2 * x] - b * phases[2 * x + 1], sine = a * phases[2 * x + 1] + b * phases[2 * x];
        float r = spectrum[2 * x] * cosine - spectrum[2 * x + 1] * sine;
        float i = spectrum[2 * x] * sine + spectrum[2 * x + 1] * cosine;
        float other_r = reference[2 * x] - r, other_i = reference[2 * x + 1] - i;
        odds[x] = weight[x] * (i * other_r - r * other_i);
        evens[x] = weight[x] * (r * other_r + i * other_i);
      }
      for (long x = last; x < (last + LANES - 1) / LANES * LANES; x++) odds[x] = 0, evens[x] = 0, frequency[x] = x < half ? frequency[x] : 0;
      for (long x = 0; x < last; x += LANES) {
        V16 odd = *(V16 *)(odds + x), even = *(V16 *)(evens + x), kx = *(V16 *)(frequency + x);
        *(V16 *)lanes[0] += odd, *(V16 *)lanes[1] += kx * odd, *(V16 *)lanes[2] += even;
        *(V16 *)lanes[3] += kx * (kx * even), *(V16 *)lanes[4] += kx * even;
      }
      double sums[5] = {0}, *found = by_row + (y * count + t) * 5;
      for (int part = 0; part < 5; part++) add_lanes(lanes[part], sums + part);
      found[0] = -ky * sums[0], found[1] = -sums[1];
      found[2] = -ky * ky * sums[2], found[3] = -sums[3], found[4] = -ky * sums[4];
    }
  }
}

CLONES void cut_patches(const float *restrict binned, long image_width, const int64_t *tops, const int64_t *lefts,
                        const float *rows, const float *restrict columns, float *restrict patches, long height,
                        long width, long start, long stop) {
  for (long n = start; n < stop; n++) {
    const float *window = binned + tops[n] * image_width + lefts[n];
    double sum = 0;
    for (long y = 0; y < height; y++) {
      const float *source = window + y * image_width;
      V16 of_row = {0};
      float lanes[LANES], rest = 0;
      long x = 0;
      for (; x + LANES <= width; x += LANES) of_row += *(const V16 *)(source + x);
      for (; x < width; x++) rest += source[x];
      memcpy(lanes, &of_row, sizeof lanes);
      add_lanes(lanes, &sum);
      sum += rest;
    }
    float level = (float)(sum / (height * width));
    for (long y = 0; y < height; y++) {
      const float *restrict source = window + y * image_width;
      float *restrict line = patches + (n * height + y) * width, row = rows[y];
      for (long x = 0; x < width; x++) line[x] = (source[x] - level) * (row * columns[x]);
    }
  }
}

CLONES void keep_lowest(const float *restrict transforms, long transform_rows, long transform_half, long t,
                        float *restrict planes, long patch_floats, const int64_t *kept, long rows, long count,
                        long start, long stop) {
  for (long n = start; n < stop; n++) {
    const float *restrict transform = transforms + 2 * n * transform_rows * transform_half;
    float *restrict plane = planes + n * patch_floats;
    for (long y = 0; y < rows; plane += 2 * count * kept[y], y++) {
      const float *restrict line = transform + 2 * (2 * y < rows ? y : y + transform_rows - rows) * transform_half;
      float *restrict real = plane + t * 2 * kept[y], *restrict imaginary = real + kept[y];
      for (long x = 0; x < kept[y]; x++) real[x] = line[2 * x], imaginary[x] = line[2 * x + 1];
    }
  }
}
