/* Loops of the Whittle likelihood: kernels of preprocess/ctf/likelihood_kernels.py.

   Work goes by batches of 128 samples: first what each sample needs by itself, with samples side by side in vectors, then
   the sums. */
#include "common.h"
#include "elementary.h"
#include "kernels.h"

/* As in preprocess/ctf/model.py and likelihood_kernels.py. */
enum {
  BACKGROUND = 4,
  BACKGROUND_INTERVALS = 9,
  BACKGROUND_RING = BACKGROUND + BACKGROUND_INTERVALS + 3,
  ENVELOPE = BACKGROUND_RING + 1,
  ENVELOPE_INTERVALS = 6,
  ENVELOPE_RING = ENVELOPE + ENVELOPE_INTERVALS + 3,
  PARAMETERS = ENVELOPE_RING + 1,
  BASIS = 10,
  VALUES = 14, /* parameters that a sample depends on */
  RUN = 512,   /* samples that are added up in float32 before they go into float64 */
  PAIRS = BACKGROUND_INTERVALS * ENVELOPE_INTERVALS,
  BATCH = 128,
};
#define WATER_RING (1 / 3.70)
#define WATER_RING_WIDTH 0.018
#define LEAST_POWER 0.15
#define HIGHEST_RATIO 20.f

/* What is known of the microscope, in the order of `terms`. */
typedef struct {
  double wavelength, aberration, contrast_phase, frequency_step;
} Terms;

/* T cos 2 chi and T sin 2 chi. */
INLINE void oscillation(float k, float defocus, float of_defocus, float aberration, float phase, float frequency_step,
                        float *cosine, float *sine) {
  float square = k * k, slope = of_defocus * defocus, c, s, around_c, around_s;
  cosine_and_sine_f32(2 * (slope * square - aberration * square * square + phase), &c, &s);
  float turn = fabsf(frequency_step * k * (slope - 2 * aberration * square)) * (float)(1 / (2 * M_PI));
  turn = turn < 1 ? turn : 1;
  cosine_and_sine_f32((float)M_PI * turn, &around_c, &around_s);
  float left = (1 - turn) * around_c + around_s * (float)(1 / M_PI);
  *cosine = c * left, *sine = s * left;
}

/* The same for the samples of a batch at their defoci. */
INLINE void write_oscillations(const float *restrict frequency, const float *restrict defoci, long here, Terms terms,
                               double phase, float *restrict cosines, float *restrict sines) {
  float of_defocus = (float)(M_PI * terms.wavelength), aberration = (float)terms.aberration;
  float step = (float)(4 * terms.frequency_step), constant = (float)(phase + terms.contrast_phase);
  for (long i = 0; i < here; i++)
    oscillation(frequency[i], defoci[i], of_defocus, aberration, constant, step, cosines + i, sines + i);
}

/* N and E of the samples of a batch. */
INLINE void write_curves(const float *basis, const int32_t *places, const double *linear, long here,
                         double *restrict backgrounds, double *restrict envelopes) {
  double ring_n = linear[BACKGROUND_RING], ring_e = linear[ENVELOPE_RING];
  for (long i = 0; i < here; i++) {
    const float *b = basis + BASIS * i;
    const double *n = linear + places[2 * i], *e = linear + places[2 * i + 1];
    backgrounds[i] = b[8] * ring_n + ((b[0] * n[0] + b[1] * n[1]) + (b[2] * n[2] + b[3] * n[3]));
    envelopes[i] = b[9] * ring_e + ((b[4] * e[0] + b[5] * e[1]) + (b[6] * e[2] + b[7] * e[3]));
  }
}

/* Write the four cubic B-splines on [0, intervals] that are not zero at x; return the number of the first. */
INLINE int write_spline(double x, int intervals, float *basis) {
  int interval = (int)x < intervals - 1 ? (int)x : intervals - 1;
  double u = x - interval, v = 1 - u;
  basis[0] = (float)(v * v * v / 6);
  basis[1] = (float)((3 * u * u * u - 6 * u * u + 4) / 6);
  basis[2] = (float)((-3 * u * u * u + 3 * u * u + 3 * u + 1) / 6);
  basis[3] = (float)(u * u * u / 6);
  return interval;
}

CLONES void write_bases(const float *frequency, double lowest, double highest, float *basis, int32_t *places, long start,
                        long stop) {
  for (long i = start; i < stop; i++) {
    double x = (frequency[i] - lowest) / (highest - lowest);
    x = x > 0 ? x : 0, x = x < 1 ? x : 1;
    places[2 * i] = BACKGROUND + write_spline(x * BACKGROUND_INTERVALS, BACKGROUND_INTERVALS, basis + BASIS * i);
    places[2 * i + 1] = ENVELOPE + write_spline(x * ENVELOPE_INTERVALS, ENVELOPE_INTERVALS, basis + BASIS * i + 4);
    double distance = (frequency[i] - WATER_RING) / WATER_RING_WIDTH;
    basis[BASIS * i + 8] = basis[BASIS * i + 9] = (float)exponential_f64(-0.5 * distance * distance);
  }
}

/* Sums over samples with the same splines: products of two of their values, and values times residuals. */
typedef struct {
  V16 products[VALUES], residuals;
} Sums;

INLINE int place_of(int value, int n, int e) {
  if (value < 4) return value;
  if (value < 8) return n + value - 4;
  if (value == 8) return BACKGROUND_RING;
  return value < 13 ? e + value - 9 : ENVELOPE_RING;
}

/* Add sums to the normal equations, and empty them. n, e: where the splines' coefficients belong. */
INLINE void add_block(Sums *sums, int n, int e, double *equations, double *right) {
  for (int j = 0; j < VALUES; j++) {
    int row = place_of(j, n, e);
    right[row] += sums->residuals[j];
    for (int m = j; m < VALUES; m++) equations[row * PARAMETERS + place_of(m, n, e)] += sums->products[j][m];
  }
  memset(sums, 0, sizeof *sums);
}

/* What the samples of a batch give to the sums. */
typedef struct {
  float defoci[BATCH], cosines[BATCH], sines[BATCH];
  double backgrounds[BATCH], envelopes[BATCH];
  float slopes[BATCH], inverses[BATCH], against[BATCH], weighted[BATCH], costs[BATCH];
  double energies[BATCH];
  float of[BATCH][LANES], scaled[BATCH][LANES];
} Batch;

/* The samples, from the first of a batch on. */
typedef struct {
  const float *frequency, *cos2, *sin2, *value, *weight, *basis;
  const int32_t *places;
} Samples;

INLINE Samples from(Samples s, long first) {
  return (Samples){s.frequency + first, s.cos2 + first, s.sin2 + first, s.value + first, s.weight + first,
                   s.basis + BASIS * first, s.places + 2 * first};
}

/* Model, residual, log-likelihood and energy of each sample, and the factors of its derivatives. */
INLINE void write_residuals(Samples s, long here, float clip, Batch *b) {
  for (long i = 0; i < here; i++) {
    float model = (float)(b->backgrounds[i] - b->envelopes[i] * b->cosines[i]), w = s.weight[i];
    model = model > (float)LEAST_POWER ? model : (float)LEAST_POWER;
    float inverse = 1 / model, ratio = s.value[i] * inverse, most = 1 + clip / sqrtf(w);
    float against = -b->cosines[i] * inverse;
    b->slopes[i] = 2 * (float)b->envelopes[i] * b->sines[i] * inverse;
    b->inverses[i] = inverse, b->against[i] = against;
    b->weighted[i] = w * ((ratio < most ? ratio : most) - 1);
    b->costs[i] = w * (logarithm_f32(model) + (ratio < HIGHEST_RATIO ? ratio : HIGHEST_RATIO));
    double of_ring = b->envelopes[i] * against;
    b->energies[i] = w * (of_ring * of_ring);
  }
}

/* Derivatives of each sample's model, over the model, and these times its weight. */
INLINE void write_derivatives(Samples s, long here, float of_defocus, long free, Batch *b) {
  for (long i = 0; i < here; i++) {
    const float *basis = s.basis + BASIS * i;
    float *of = b->of[i], inverse = b->inverses[i], against = b->against[i], k = s.frequency[i];
    float slope = free > 0 ? b->slopes[i] : 0, mean = slope * of_defocus * k * k;
    of[0] = mean, of[1] = mean * s.cos2[i], of[2] = mean * s.sin2[i], of[3] = free > 1 ? slope : 0;
    for (int j = 0; j < 4; j++) of[4 + j] = basis[j] * inverse, of[9 + j] = basis[4 + j] * against;
    of[8] = basis[8] * inverse, of[13] = basis[9] * against, of[14] = of[15] = 0;
  }
  for (long i = 0; i < here; i++)
    for (int lane = 0; lane < LANES; lane++) b->scaled[i][lane] = b->of[i][lane] * s.weight[i];
}

/* Add samples first to last, of the same splines, to their sums. */
INLINE void add_samples(const Batch *b, long first, long last, Sums *sums) {
  V16 rows[VALUES], side = sums->residuals;
#pragma GCC unroll 14
  for (int j = 0; j < VALUES; j++) rows[j] = sums->products[j];
  for (long i = first; i < last; i++) {
    V16 of = *(const V16 *)b->of[i];
    side += of * b->weighted[i];
#pragma GCC unroll 14
    for (int j = 0; j < VALUES; j++) rows[j] += of * b->scaled[i][j];
  }
#pragma GCC unroll 14
  for (int j = 0; j < VALUES; j++) sums->products[j] = rows[j];
  sums->residuals = side;
}

/* Add a batch to the sums of its splines; sums of RUN samples go into the equations. */
INLINE void add_batch(const Batch *b, const int32_t *places, long here, Sums *sums, int *counts, double *equations,
                      double *right) {
  for (long first = 0; first < here;) {
    int n = places[2 * first], e = places[2 * first + 1];
    int pair = (n - BACKGROUND) * ENVELOPE_INTERVALS + e - ENVELOPE;
    long last = first + 1;
    while (last < here && places[2 * last] == n && places[2 * last + 1] == e) last++;
    if (counts[pair] == 0) memset(sums + pair, 0, sizeof *sums);
    last = at_most(last, first + RUN - counts[pair]);
    add_samples(b, first, last, sums + pair);
    counts[pair] += (int)(last - first), first = last;
    if (counts[pair] == RUN) add_block(sums + pair, n, e, equations, right), counts[pair] = 0;
  }
}

INLINE void add_rest(Sums *sums, const int *counts, double *equations, double *right) {
  for (int pair = 0; pair < PAIRS; pair++)
    if (counts[pair] > 0)
      add_block(sums + pair, BACKGROUND + pair / ENVELOPE_INTERVALS, ENVELOPE + pair % ENVELOPE_INTERVALS, equations,
                right);
}

/* Add up the costs and energies of a batch in 16 lanes. */
INLINE void add_figures(Batch *b, long here, double *costs, double *energies) {
  for (long i = here; i % LANES; i++) b->costs[i] = 0, b->energies[i] = 0;
  for (long i = 0; i < here; i += LANES)
    for (int lane = 0; lane < LANES; lane++)
      costs[lane] += b->costs[i + lane], energies[lane] += b->energies[i + lane];
}

CLONES void add_normal_equations(const float *frequency, const float *cos2, const float *sin2, const float *value,
                                 const float *weight, const float *basis, const int32_t *places, long count,
                                 double wavelength, double aberration, double contrast_phase, double frequency_step,
                                 const double *parameters, const double *linear, long free, double clip,
                                 double *equations, double *right, double *figures, long parts, long start, long stop) {
  Samples samples = {frequency, cos2, sin2, value, weight, basis, places};
  Terms terms = {wavelength, aberration, contrast_phase, frequency_step};
  float mean = (float)parameters[0], of_cos = (float)parameters[1], of_sin = (float)parameters[2];
  float of_defocus = (float)(M_PI * wavelength * 1e3);
  Sums sums[PAIRS];
  Batch b;
  for (long part = start; part < stop; part++) {
    double costs[LANES] = {0}, energies[LANES] = {0};
    double *equation = equations + part * PARAMETERS * PARAMETERS, *side = right + part * PARAMETERS;
    int counts[PAIRS] = {0};
    long last = (part + 1) * count / parts;
    for (long first = part * count / parts; first < last; first += BATCH) {
      Samples s = from(samples, first);
      long here = at_most(BATCH, last - first);
      for (long i = 0; i < here; i++) b.defoci[i] = mean + of_cos * s.cos2[i] + of_sin * s.sin2[i];
      write_oscillations(s.frequency, b.defoci, here, terms, parameters[3], b.cosines, b.sines);
      write_curves(s.basis, s.places, linear, here, b.backgrounds, b.envelopes);
      write_residuals(s, here, (float)clip, &b);
      write_derivatives(s, here, of_defocus, free, &b);
      add_batch(&b, s.places, here, sums, counts, equation, side);
      add_figures(&b, here, costs, energies);
    }
    add_rest(sums, counts, equation, side);
    figures[2 * part] = figures[2 * part + 1] = 0;
    for (int lane = 0; lane < LANES; lane++)
      figures[2 * part] -= costs[lane], figures[2 * part + 1] += energies[lane];
  }
}

enum { OF_BLOCK = 3, BLOCK_SUMS = 9 };

/* Sums of a block's samples in 16 lanes: three for the right side, then the upper triangle of the equations. */
typedef double BlockSums[BLOCK_SUMS][LANES];

/* Derivatives of each sample's model, over the model, times its weight's root, and its residual times that. */
typedef struct {
  float defoci[BATCH], cosines[BATCH], sines[BATCH];
  double backgrounds[BATCH], envelopes[BATCH];
  double of[OF_BLOCK][BATCH], weights[BATCH], residuals[BATCH];
} BlockBatch;

INLINE void write_block_derivatives(const float *frequency, const float *values, const float *weights, long here,
                                    double tiles, const double *state, double of_defocus, BlockBatch *b) {
  for (long i = 0; i < here; i++) {
    double background = b->backgrounds[i], envelope = b->envelopes[i], k = frequency[i], weight = weights[i];
    double model = state[2] * background - state[1] * envelope * b->cosines[i], information = weight * tiles;
    model = model > LEAST_POWER ? model : LEAST_POWER;
    double limit = 6 / sqrt(information > 1 ? information : 1), inverse = 1 / model;
    double residual = (values[i] - model) * inverse;
    b->of[0][i] = 2 * state[1] * envelope * b->sines[i] * of_defocus * k * k * inverse;
    b->of[1][i] = -envelope * b->cosines[i] * inverse;
    b->of[2][i] = background * inverse;
    b->weights[i] = weight, b->residuals[i] = residual < limit ? residual : limit;
  }
  for (long i = here; i % LANES; i++) b->of[0][i] = b->of[1][i] = b->of[2][i] = b->weights[i] = b->residuals[i] = 0;
}

INLINE void add_block_batch(const BlockBatch *b, long here, BlockSums sums) {
  for (long i = 0; i < here; i += LANES)
    for (int lane = 0; lane < LANES; lane++) {
      double x = b->of[0][i + lane], y = b->of[1][i + lane], z = b->of[2][i + lane], w = b->weights[i + lane];
      double wx = w * x, wy = w * y, wz = w * z, residual = b->residuals[i + lane];
      sums[0][lane] += wx * residual, sums[1][lane] += wy * residual, sums[2][lane] += wz * residual;
      sums[3][lane] += wx * x, sums[4][lane] += wx * y, sums[5][lane] += wx * z;
      sums[6][lane] += wy * y, sums[7][lane] += wy * z, sums[8][lane] += wz * z;
    }
}

INLINE void write_block_equations(BlockSums sums, double *equations, double *right) {
  double totals[BLOCK_SUMS] = {0};
  for (int sum = 0; sum < BLOCK_SUMS; sum++)
    for (int lane = 0; lane < LANES; lane++) totals[sum] += sums[sum][lane];
  memcpy(right, totals, sizeof(double) * OF_BLOCK);
  const double *upper = totals + OF_BLOCK;
  equations[0] = upper[0], equations[1] = equations[3] = upper[1], equations[2] = equations[6] = upper[2];
  equations[4] = upper[3], equations[5] = equations[7] = upper[4], equations[8] = upper[5];
}

CLONES void add_block_equations(const float *frequency, const float *cos2, const float *sin2, const float *weight,
                                const float *basis, const int32_t *places, long count, const float *values,
                                double wavelength, double aberration, double contrast_phase, double frequency_step,
                                const double *parameters, const double *linear, const double *tiles,
                                const double *states, double *equations, double *right, long start, long stop) {
  Terms terms = {wavelength, aberration, contrast_phase, frequency_step};
  BlockBatch b;
  for (long block = start; block < stop; block++) {
    const double *state = states + 3 * block;
    BlockSums sums = {{0}};
    for (long first = 0; first < count; first += BATCH) {
      long here = at_most(BATCH, count - first);
      for (long i = 0; i < here; i++)
        b.defoci[i] = (float)(state[0] + parameters[1] * cos2[first + i] + parameters[2] * sin2[first + i]);
      write_oscillations(frequency + first, b.defoci, here, terms, parameters[3], b.cosines, b.sines);
      write_curves(basis + BASIS * first, places + 2 * first, linear, here, b.backgrounds, b.envelopes);
      write_block_derivatives(frequency + first, values + block * count + first, weight + first, here, tiles[block],
                              state, M_PI * wavelength * 1e3, &b);
      add_block_batch(&b, here, sums);
    }
    write_block_equations(sums, equations + 9 * block, right + OF_BLOCK * block);
  }
}

CLONES void draw_model(const float *frequency, const float *cos2, const float *sin2, const float *value,
                       const float *basis, const int32_t *places, double wavelength, double aberration,
                       double contrast_phase, double frequency_step, const double *parameters, const double *linear,
                       float *measured, float *fitted, long start, long stop) {
  Terms terms = {wavelength, aberration, contrast_phase, frequency_step};
  float defoci[BATCH], cosines[BATCH], sines[BATCH];
  double backgrounds[BATCH], envelopes[BATCH];
  for (long first = start; first < stop; first += BATCH) {
    long here = at_most(BATCH, stop - first);
    for (long i = 0; i < here; i++)
      defoci[i] = (float)(parameters[0] + parameters[1] * cos2[first + i] + parameters[2] * sin2[first + i]);
    write_oscillations(frequency + first, defoci, here, terms, parameters[3], cosines, sines);
    write_curves(basis + BASIS * first, places + 2 * first, linear, here, backgrounds, envelopes);
    for (long i = 0; i < here; i++) {
      double inverse = 1 / (backgrounds[i] > LEAST_POWER ? backgrounds[i] : LEAST_POWER);
      measured[first + i] = (float)(value[first + i] * inverse);
      fitted[first + i] = (float)(1 - envelopes[i] * cosines[i] * inverse);
    }
  }
}
