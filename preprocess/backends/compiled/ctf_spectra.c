/* Loops of CTF estimation over spectra: kernels of preprocess/ctf/kernels.py. */
#include "common.h"
#include "elementary.h"
#include "kernels.h"

enum {
  DEFOCI_AT_ONCE = 4,
  COLUMNS_AT_ONCE = 8,
  SAMPLES_AT_ONCE = 256,
};

typedef double V8 __attribute__((vector_size(64), aligned(8), may_alias));

CLONES void sum_bins(const float *powers, long pixels, const int32_t *bins, double *sums, long bin_count, long start,
                     long stop) {
  for (long spectrum = start; spectrum < stop; spectrum++) {
    const float *power = powers + spectrum * pixels;
    double *sum = sums + spectrum * bin_count;
    for (long pixel = 0; pixel < pixels; pixel++)
      if (bins[pixel] >= 0) sum[bins[pixel]] += power[pixel];
  }
}

/* What model.window_transfer returns. */
INLINE double window_transfer(double turn) {
  double x = fabs(turn) * (1 / (2 * M_PI)), cosine, sine;
  x = x < 1 ? x : 1;
  cosine_and_sine_f64(M_PI * x, &cosine, &sine);
  return (1 - x) * cosine + sine * (1 / M_PI);
}

/* -T cos 2 chi of a defocus at all frequencies. */
INLINE void write_template(double defocus, const double *restrict squared, const double *restrict aberration,
                           long count, double phase, double wavelength, double frequency_step,
                           double *restrict written) {
  double slope = M_PI * wavelength * defocus;
  for (long i = 0; i < count; i++) {
    double k = sqrt(squared[i]), cosine, sine;
    double turn = 2 * frequency_step * (2 * slope * k - 4 * aberration[i] / k);
    cosine_and_sine_f64(2 * ((slope * squared[i] - aberration[i]) + phase), &cosine, &sine);
    written[i] = -cosine * window_transfer(turn);
  }
}

/* Sums of each of four templates times a column, in the order of the frequencies. */
INLINE void multiply_columns(const double *templates, long count, const double *columns, long width, long of_product,
                             double *products) {
  long j = 0;
  for (; j + COLUMNS_AT_ONCE <= width; j += COLUMNS_AT_ONCE) {
    V8 a = {0}, b = {0}, c = {0}, d = {0};
    for (long i = 0; i < count; i++) {
      V8 values = *(const V8 *)(columns + i * width + j);
      a += templates[i] * values, b += templates[count + i] * values;
      c += templates[2 * count + i] * values, d += templates[3 * count + i] * values;
    }
    *(V8 *)(products + j) = a, *(V8 *)(products + of_product + j) = b;
    *(V8 *)(products + 2 * of_product + j) = c, *(V8 *)(products + 3 * of_product + j) = d;
  }
  for (; j < width; j++) {
    double sums[DEFOCI_AT_ONCE] = {0};
    for (long i = 0; i < count; i++)
      for (int n = 0; n < DEFOCI_AT_ONCE; n++) sums[n] += templates[n * count + i] * columns[i * width + j];
    for (int n = 0; n < DEFOCI_AT_ONCE; n++) products[n * of_product + j] = sums[n];
  }
}

CLONES void correlate_templates(const double *defoci, const double *squared, const double *aberration, long count,
                                double phase, double wavelength, double frequency_step, const double *columns,
                                long width, const double *squares, long extra, double *products, double *room,
                                long start, long stop) {
  double *templates = room, *found = room + DEFOCI_AT_ONCE * count;
  long of_product = width + extra;
  for (long first = start; first < stop; first += DEFOCI_AT_ONCE) {
    long here = at_most(DEFOCI_AT_ONCE, stop - first);
    for (long n = 0; n < DEFOCI_AT_ONCE; n++) /* the last ones are done several times */
      write_template(defoci[first + at_most(n, here - 1)], squared, aberration, count, phase, wavelength,
                     frequency_step, templates + n * count);
    multiply_columns(templates, count, columns, width, of_product, found);
    for (long i = 0; i < DEFOCI_AT_ONCE * count; i++) templates[i] *= templates[i];
    multiply_columns(templates, count, squares, extra, of_product, found + width);
    memcpy(products + first * of_product, found, sizeof(double) * here * of_product);
  }
}

CLONES void search_astigmatism(const double *restrict scores, long count, long sectors, double first, double step,
                               double cost, const double *grid, long places, const double *cos2, const double *sin2,
                               double *best, int64_t *chosen, double *restrict room, long start, long stop) {
  double *restrict sizes = room, *restrict along = room + places;
  for (long place = 0; place < places; place++) {
    double a = grid[2 * place], b = grid[2 * place + 1];
    sizes[place] = sqrt(a * a + b * b);
    for (long sector = 0; sector < sectors; sector++)
      along[place * sectors + sector] = a * cos2[sector] + b * sin2[sector];
  }
  for (long index = start; index < stop; index++) {
    double mean = first + index * step, steps = mean / step;
    best[index] = -1e9, chosen[index] = 0;
    for (long place = 0; place < places; place++) {
      if (sizes[place] * mean > 0.12 * mean + 800) continue;
      double total = 0;
      long inside = 0;
      for (long sector = 0; sector < sectors; sector++) {
        double at = index + steps * along[place * sectors + sector];
        if (!(at >= 0 && at < count - 1)) continue;
        long below = (long)at;
        double share = at - below;
        total += scores[below * sectors + sector] * (1 - share) + scores[(below + 1) * sectors + sector] * share;
        inside++;
      }
      if (inside < 0.7 * sectors) continue;
      double score = total * sectors / inside - cost * sizes[place];
      if (score > best[index]) best[index] = score, chosen[index] = place;
    }
  }
}

CLONES void rescale_spectra(const float *restrict powers, const float *factors, long count, float *restrict total,
                            long height, long width, long start, long stop) {
  long radius = height / 2;
  for (long row = start; row < stop; row++)
    for (long spectrum = 0; spectrum < count; spectrum++) {
      double factor = factors[spectrum], y = (row - radius) * factor + radius;
      y = y > 0 ? y : 0, y = y < height - 1 ? y : height - 1;
      long above = at_most((long)y, height - 2);
      double low = y - above;
      const float *restrict upper = powers + (spectrum * height + above) * width, *restrict lower = upper + width;
      for (long column = 0; column < width; column++) {
        double x = column * factor;
        x = x < width - 1 ? x : width - 1;
        long left = at_most((long)x, width - 2);
        double right = x - left;
        double value = (upper[left] * (1 - right) + upper[left + 1] * right) * (1 - low) +
                       (lower[left] * (1 - right) + lower[left + 1] * right) * low;
        total[row * width + column] = (float)(total[row * width + column] + value);
      }
    }
}

/* The ring that a sample belongs to, as a number with a fraction: where the mean defocus has the sample's phase. */
INLINE double equiphase_ring(double k, double defocus, double mean, double wavelength, double aberration,
                             double frequency_step) {
  double square = k * k, slope = M_PI * wavelength * defocus;
  double phase = (slope - aberration * square) * square, found = square;
  if (aberration <= 1e-9) found = phase / mean;
  else {
    double discriminant = mean * mean - 4 * aberration * phase;
    double root = sqrt(discriminant > 0 ? discriminant : 0);
    found = discriminant > 0 && 2 * aberration * square < slope ? (mean - root) / (2 * aberration) : square;
  }
  return sqrt(found > 0 ? found : 0) / frequency_step + 0.5;
}

CLONES void equiphase_sums(const float *restrict values, const float *restrict weights, const float *restrict rings,
                           const float *restrict cos2, const float *restrict sin2, long count,
                           const double *parameters, double wavelength, double aberration, double frequency_step,
                           double *sums, double *counts, long parts, long size, long start, long stop) {
  double mean = M_PI * wavelength * parameters[0], ring[SAMPLES_AT_ONCE];
  double along = parameters[0], of_cos = parameters[1], of_sin = parameters[2];
  for (long part = start; part < stop; part++) {
    long last = (part + 1) * count / parts;
    for (long first = part * count / parts; first < last; first += SAMPLES_AT_ONCE) {
      long here = at_most(SAMPLES_AT_ONCE, last - first);
      for (long n = 0; n < here; n++)
        ring[n] = equiphase_ring(rings[first + n] * frequency_step,
                                 along + of_cos * cos2[first + n] + of_sin * sin2[first + n], mean, wavelength,
                                 aberration, frequency_step);
      for (long n = 0; n < here; n++) {
        if (!(ring[n] < size)) continue;
        long at = part * size + (long)ring[n];
        sums[at] += weights[first + n] * values[first + n];
        counts[at] += weights[first + n];
      }
    }
  }
}

CLONES void add_block_curves(const double *restrict found, long count, long envelopes, long blocks,
                             const double *restrict norms, const double *tiles, const double *centres,
                             const double *slopes, double first, double step, double middle, double *gains,
                             double *restrict room, long start, long stop) {
  double *restrict products = room, *restrict squares = room + envelopes;
  for (long index = start; index < stop; index++) {
    for (long envelope = 0; envelope < envelopes; envelope++) products[envelope] = 0, squares[envelope] = 1e-9;
    for (long block = 0; block < blocks; block++) {
      double defocus = middle + slopes[2 * index] * centres[2 * block] + slopes[2 * index + 1] * centres[2 * block + 1];
      double at = (defocus - first) / step;
      at = at > 0 ? at : 0, at = at < count - 1.001 ? at : count - 1.001;
      long below = (long)at;
      double share = at - below;
      const double *curve = found + below * envelopes * blocks + block, *norm = norms + below * envelopes;
      for (long envelope = 0; envelope < envelopes; envelope++) {
        products[envelope] += curve[envelope * blocks] * (1 - share) + curve[(envelopes + envelope) * blocks] * share;
        squares[envelope] += tiles[block] * (norm[envelope] * (1 - share) + norm[envelopes + envelope] * share);
      }
    }
    double best = 0;
    for (long envelope = 0; envelope < envelopes; envelope++) {
      double product = products[envelope], gain = product * product / (2 * squares[envelope]);
      if (product > 0 && gain > best) best = gain;
    }
    gains[index] = best;
  }
}
