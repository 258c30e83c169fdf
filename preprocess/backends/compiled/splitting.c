/* Tells what is fixed to the camera from what moves: split_spectra of cpu/split_kernels.py. Complex numbers are pairs of
   real and imaginary part. */
#include "common.h"
#include "elementary.h"
#include "kernels.h"

enum { FIGURES = 12 };                             /* of each ring */
enum { NOISE, FIXED, MOVING, OUTSTANDING, TAKEN }; /* powers of each ring, as in `PartPowers` */

typedef struct {
  double real, imaginary;
} Complex;

/* A row's sums over frames: values, values undone once and twice, phase factors; powers of frames and of changes. */
typedef struct {
  double *plain, *once, *twice, *factors; /* real parts, then imaginary parts, `half` numbers apart */
  double *power, *change;
} RowSums;

INLINE double power_of(Complex value) { return value.real * value.real + value.imaginary * value.imaginary; }

/* f a - g b, and f a - conj(g) b. gcc 12 contracts a sum of two products beside a difference of two, whatever
   -ffp-contract says; there is no such pair in this order. */
INLINE Complex less(double f, Complex a, Complex g, Complex b) {
  return (Complex){f * a.real - g.real * b.real + g.imaginary * b.imaginary,
                   f * a.imaginary - g.real * b.imaginary - g.imaginary * b.real};
}

INLINE Complex less_conjugate(double f, Complex a, Complex g, Complex b) {
  return less(f, a, (Complex){g.real, -g.imaginary}, b);
}

/* Add frame t to a row's sums. */
INLINE void add_frame(const float *restrict spectrum, const float *restrict fixed, double level, float a, float b,
                      const float *restrict phases, long half, long size, RowSums sums) {
  double *restrict plain = sums.plain, *restrict once = sums.once, *restrict twice = sums.twice;
  double *restrict factors = sums.factors, *restrict power = sums.power;
  for (long x = 0; x < size; x++) {
    double cosine = a * phases[2 * x] - b * phases[2 * x + 1], sine = a * phases[2 * x + 1] + b * phases[2 * x];
    double real = spectrum[2 * x] + level * fixed[2 * x], imaginary = spectrum[2 * x + 1] + level * fixed[2 * x + 1];
    double r = level * real, i = level * imaginary;
    plain[x] += r, plain[half + x] += i;
    double once_r = r * cosine - i * sine, once_i = r * sine + i * cosine;
    once[x] += once_r, once[half + x] += once_i;
    twice[x] += once_r * cosine - once_i * sine, twice[half + x] += once_r * sine + once_i * cosine;
    factors[x] += level * level * cosine, factors[half + x] += level * level * sine;
    power[x] += real * real + imaginary * imaginary;
  }
}

/* Add the power of what changed from one frame to the next. */
INLINE void add_change(const float *restrict spectrum, double level, const float *restrict before, double level_before,
                       long size, double *restrict change) {
  for (long x = 0; x < size; x++) {
    double real = spectrum[2 * x] / level - before[2 * x] / level_before;
    double imaginary = spectrum[2 * x + 1] / level - before[2 * x + 1] / level_before;
    change[x] += real * real + imaginary * imaginary;
  }
}

/* Add one component's figures but for its likelihood to those of its ring. */
INLINE void add_figures(Complex a, Complex b, Complex c, Complex g, double n, double power, double change, double twice,
                        double *figures, long ring_count) {
  double apart = n * n - power_of(g);
  apart = 0 > apart ? 0 : apart;
  double found[] = {1, power, change, power_of(a), power_of(b), power_of(less_conjugate(n, a, g, b)),
                    power_of(less(n, b, g, a)), power_of(g), apart, apart * apart, power_of(less(n, c, g, b))};
  for (int figure = 0; figure < FIGURES - 1; figure++) figures[figure * ring_count] += twice * found[figure];
}

/* A component's fixed part, and by how much both parts make it more probable than noise does. */
INLINE Complex most_probable(Complex a, Complex b, Complex g, double n, double noise, double of_fixed, double of_moving,
                             double *likelihood) {
  double least = 1e-9 * noise;
  double fixed_ridge = noise / (least > of_fixed ? least : of_fixed);
  double moving_ridge = noise / (least > of_moving ? least : of_moving);
  double determinant = (n + fixed_ridge) * (n + moving_ridge) - power_of(g);
  Complex still = less_conjugate(n + moving_ridge, a, g, b), moving = less(n + fixed_ridge, b, g, a);
  still.real /= determinant, still.imaginary /= determinant, moving.real /= determinant, moving.imaginary /= determinant;
  double fit = a.real * still.real + a.imaginary * still.imaginary + b.real * moving.real + b.imaginary * moving.imaginary;
  *likelihood = fit / noise - logarithm_f64(determinant / (fixed_ridge * moving_ridge));
  return still;
}

/* Write a row's fixed part to `still`; add its figures. */
INLINE void split_row(RowSums sums, long half, long size, double n, const int16_t *rings, const double *powers,
                      long ring_count, long width, double *still, double *figures) {
  for (long x = 0; x < size; x++) {
    long ring = rings[x];
    const double *of_ring = powers + ring;
    double noise = of_ring[NOISE * ring_count], of_fixed = of_ring[FIXED * ring_count];
    double of_moving = of_ring[MOVING * ring_count], taken = of_ring[TAKEN * ring_count], likelihood;
    if (noise == 0) continue;
    Complex a = {sums.plain[x], sums.plain[half + x]}, b = {sums.once[x], sums.once[half + x]};
    Complex c = {sums.twice[x], sums.twice[half + x]}, g = {sums.factors[x], sums.factors[half + x]};
    double twice = x == 0 || 2 * x == width ? 1 : 2;
    if (power_of(a) > of_ring[OUTSTANDING * ring_count]) {
      of_fixed = power_of(a) / (n * n), taken = 1;
      if (2 * power_of(g) < n * n) of_moving = of_fixed;
    } else add_figures(a, b, c, g, n, sums.power[x], sums.change[x], twice, figures + ring, ring_count);
    Complex part = most_probable(a, b, g, n, noise, of_fixed, of_moving, &likelihood);
    still[2 * x] = taken * part.real, still[2 * x + 1] = taken * part.imaginary;
    figures[(FIGURES - 1) * ring_count + ring] += twice / 2 * likelihood;
  }
}

/* Take a new fixed part off a row of all frames in place of the old one. */
INLINE void take_off_row(float *spectra, long count, long apart, float *restrict fixed, const double *levels,
                         double *restrict still, long size) {
  for (long i = 0; i < 2 * size; i++) {
    float now = (float)still[i];
    still[i] = (float)(fixed[i] - still[i]), fixed[i] = now;
  }
  for (long t = 0; t < count; t++) {
    float level = (float)levels[t], *restrict spectrum = spectra + t * apart;
    for (long i = 0; i < 2 * size; i++) spectrum[i] += level * (float)still[i];
  }
}

CLONES void split_spectra(float *spectra, long count, long height, long half, float *fixed, const float *rows,
                          const float *columns, const double *levels, const int16_t *rings, const int64_t *looked_at,
                          const double *powers, long ring_count, long width, int take_off, double *by_row, double *room,
                          long start, long stop) {
  RowSums sums = {room, room + 2 * half, room + 4 * half, room + 6 * half, room + 8 * half, room + 9 * half};
  double *still = room + 10 * half, n = 0;
  long end = ring_count, first_late = (count - 1) / 2;
  for (long t = 0; t < count; t++) n += levels[t] * levels[t];
  while (end > 0 && powers[end - 1] == 0) end--;
  for (long index = start; index < stop; index++) {
    long y = looked_at[index], size = 0;
    const int16_t *of_row = rings + y * half;
    float *fixed_row = fixed + 2 * y * half;
    while (size < half && of_row[size] < end) size++;
    if (size == 0) continue;
    memset(room, 0, sizeof(double) * 10 * half);
    for (long t = 0; t < count; t++) {
      const float *phase = rows + 2 * (t * height + y), *spectrum = spectra + 2 * (t * height + y) * half;
      add_frame(spectrum, fixed_row, levels[t], phase[0], phase[1], columns + 2 * t * half, half, size, sums);
      if (t > first_late) add_change(spectrum, levels[t], spectrum - 2 * height * half, levels[t - 1], size, sums.change);
    }
    for (long x = 0; x < size; x++) sums.change[x] /= 2 * (count - 1 - first_late);
    for (long i = 0; i < 2 * size; i++) still[i] = fixed_row[i];
    split_row(sums, half, size, n, of_row, powers, ring_count, width, still, by_row + index * FIGURES * ring_count);
    if (take_off) take_off_row(spectra + 2 * y * half, count, 2 * height * half, fixed_row, levels, still, size);
  }
}
