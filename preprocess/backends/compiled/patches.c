/* Measures the transforms of patches: measure_patches of cpu/frame_kernels.py. */
#include "common.h"
#include "elementary.h"
#include "kernels.h"

INLINE long padded(long size) { return (size + LANES - 1) / LANES * LANES; }

/* Scratch of one thread: phases of rows and columns, aligned spectra of a row, and sums over frames. */
long patches_room(long count, long height, long half) { return count * (4 * padded(half) + 2 * height) + 7 * padded(half) + LANES; }

/* Cosines and sines of 2 pi turns k for k = 0, 1, …: each from the one before. */
INLINE void write_phases(double turns, long count, float *restrict cosines, float *restrict sines) {
  double step_real, step_imaginary, real = 1, imaginary = 0;
  cosine_and_sine_f64(2 * M_PI * turns, &step_real, &step_imaginary);
  for (long k = 0; k < count; k++) {
    cosines[k] = (float)real, sines[k] = (float)imaginary;
    double next = real * step_real - imaginary * step_imaginary;
    imaginary = real * step_imaginary + imaginary * step_real;
    real = next;
  }
}

/* 16 numbers from x on, zero from `size` on. */
INLINE V16 load(const float *line, long x, long size) {
  if (x + LANES <= size) return *(const V16 *)(line + x);
  V16 part = {0};
  memcpy(&part, line + x, sizeof(float) * (size - x));
  return part;
}

INLINE double sum_of(V16 lanes) {
  double total = 0;
  for (int lane = 0; lane < LANES; lane++) total += lanes[lane];
  return total;
}

/* Undo one frame's displacement in a row of a spectrum; add it to sums: real and imaginary part, power. */
INLINE void align_row(const float *real, const float *imaginary, float a, float b, const float *cosines,
                      const float *sines, long size, float *to_real, float *to_imaginary, float *sums,
                      long wide) {
  for (long x = 0; x < size; x += LANES) {
    V16 c = *(const V16 *)(cosines + x), s = *(const V16 *)(sines + x);
    V16 cosine = a * c - b * s, sine = a * s + b * c;
    V16 u = load(real, x, size), v = load(imaginary, x, size);
    V16 r = u * cosine - v * sine, i = u * sine + v * cosine;
    *(V16 *)(to_real + x) = r, *(V16 *)(to_imaginary + x) = i;
    *(V16 *)(sums + x) += r;
    *(V16 *)(sums + wide + x) += i;
    *(V16 *)(sums + 2 * wide + x) += r * r + i * i;
  }
}

CLONES void measure_patches(const float *planes, long height, long count, const int64_t *kept, long patch_floats,
                            long half, const int64_t *wanted, long wanted_count, const double *shifts, const int16_t *rings, const int64_t *extents,
                            const float *weights, long width, double *powers, long ring_count, double *gradient,
                            double *hessian, float *room, long start, long stop) {
  long wide = padded(half), most = 0;
  float *aligned = on_cache_line(room), *sums = aligned + count * 2 * wide, *weighted = sums + 3 * wide;
  float *of_columns = weighted + 4 * wide, *of_rows = of_columns + count * 2 * wide;
  for (long y = 0; y < height; y++) most = at_least(most, extents[y]);
  memset(of_columns, 0, sizeof(float) * count * 2 * wide);
  for (long m = start; m < stop; m++) {
    for (long t = 0; t < count; t++) {
      const double *shift = shifts + (t * wanted_count + m) * 2;
      write_phases(shift[1] / width, most, of_columns + t * 2 * wide, of_columns + (t * 2 + 1) * wide);
      write_phases(shift[0] / height, height / 2 + 1, of_rows + t * 2 * height, of_rows + (t * 2 + 1) * height);
    }
    const float *plane = planes + wanted[m] * patch_floats;
    for (long y = 0; y < height; plane += 2 * count * kept[y], y++) {
      long size = extents[y], f = 2 * y < height ? y : y - height, row = f < 0 ? -f : f;
      if (size == 0) continue;
      memset(sums, 0, sizeof(float) * 3 * wide);
      for (long t = 0; t < count; t++) {
        const float *phases = of_rows + t * 2 * height + row, *columns = of_columns + t * 2 * wide;
        float sine = phases[height], *to = aligned + t * 2 * wide;
        align_row(plane + t * 2 * kept[y], plane + (t * 2 + 1) * kept[y], phases[0], f < 0 ? -sine : sine, columns,
                  columns + wide, size, to, to + wide, sums, wide);
      }
      const int16_t *ring = rings + y * half;
      double *of_sum = powers + m * 2 * ring_count, *of_frames = of_sum + ring_count;
      double ky = 2 * M_PI * (f / (double)height), plain = 0, by_x = 0, by_x_squared = 0;
      memset(weighted, 0, sizeof(float) * 4 * wide);
      for (long x = 0; x < size; x++) {
        double twice = x ? 2 : 1, kx = 2 * M_PI * x / width;
        double power = sums[x] * sums[x] + sums[wide + x] * sums[wide + x], of_all = sums[2 * wide + x];
        double weight = weights[ring[x]] * twice, even = weight * (power - of_all);
        of_sum[ring[x]] += twice * power, of_frames[ring[x]] += twice * of_all;
        plain += even, by_x += kx * even, by_x_squared += kx * kx * even;
        float real = (float)(weight * sums[x]), imaginary = (float)(weight * sums[wide + x]);
        weighted[x] = real, weighted[wide + x] = imaginary;
        weighted[2 * wide + x] = (float)(kx * real), weighted[3 * wide + x] = (float)(kx * imaginary);
      }
      hessian[m * 3] -= ky * ky * plain, hessian[m * 3 + 1] -= by_x_squared, hessian[m * 3 + 2] -= ky * by_x;
      for (long t = 0; t < count; t++) {
        const float *r = aligned + t * 2 * wide, *i = r + wide;
        V16 odd = {0}, odd_x = {0};
        for (long x = 0; x < size; x += LANES) {
          const float *w = weighted + x;
          odd += *(const V16 *)(i + x) * *(const V16 *)w - *(const V16 *)(r + x) * *(const V16 *)(w + wide);
          odd_x += *(const V16 *)(i + x) * *(const V16 *)(w + 2 * wide) - *(const V16 *)(r + x) * *(const V16 *)(w + 3 * wide);
        }
        double *slopes = gradient + (t * wanted_count + m) * 2;
        slopes[0] -= ky * sum_of(odd), slopes[1] -= sum_of(odd_x);
      }
    }
  }
}
