/* Sine, cosine, exponential and logarithm. The C library's differ in the last bit from processor to processor, and are
   not vectorised. Polynomials are interpolated at Chebyshev's nodes; tests/preprocess/backends/compiled/test_elementary.py
   holds the error bounds that are stated here. */
#ifndef CRYOFERRY_ELEMENTARY_H
#define CRYOFERRY_ELEMENTARY_H

#include "common.h"

/* A number between 1 and 2 times this has its integer in its last bits: adding it rounds to an integer. */
#define ROUND_F32 0x1.8p23f
#define ROUND_F64 0x1.8p52

/* cos x and sin x to 1.5e-7, for |x| up to 12 000; to 2e-6 up to 100 000. */
INLINE void cosine_and_sine_f32(float x, float *cosine, float *sine) {
  float turns = x * 0x1.45f306p-1f + ROUND_F32;
  uint32_t quarter;
  memcpy(&quarter, &turns, sizeof quarter);
  turns -= ROUND_F32;
  float r = ((x - turns * 0x1.92p+0f) - turns * 0x1.fb4p-12f) - turns * 0x1.4442d2p-24f, z = r * r;
  float s = r + r * z * (-0.166666646611149f + z * (0.008332748037528802f + z * -0.0001958784052382315f));
  float c = 1 - 0.5f * z + z * z * (0.04166666465830048f + z * (-0.001388830280232084f + z * 2.4547891622336995e-05f));
  float first = quarter & 1 ? s : c, second = quarter & 1 ? c : s;
  *cosine = (quarter + 1) & 2 ? -first : first;
  *sine = quarter & 2 ? -second : second;
}

/* cos x and sin x to 3e-16, for |x| up to 1e6. */
INLINE void cosine_and_sine_f64(double x, double *cosine, double *sine) {
  double turns = x * 0x1.45f306dc9c883p-1 + ROUND_F64;
  uint64_t quarter;
  memcpy(&quarter, &turns, sizeof quarter);
  turns -= ROUND_F64;
  double r = ((x - turns * 0x1.921fb544p+0) - turns * 0x1.0b4611a6p-34) - turns * 0x1.3198a2e037073p-69, z = r * r;
  double s = 2.7557316100683120e-06 + z * (-2.5051131455447428e-08 + z * 1.591810123167728e-10);
  s = -0.16666666666666666 + z * (0.008333333333330946 + z * (-0.0001984126983675497 + z * s));
  double c = -2.7557317270560385e-07 + z * (2.087614602470193e-09 + z * -1.1382614869434128e-11);
  c = 0.041666666666666664 + z * (-0.0013888888888887395 + z * (2.4801587298763433e-05 + z * c));
  s = r + r * z * s, c = 1 - 0.5 * z + z * z * c;
  double first = quarter & 1 ? s : c, second = quarter & 1 ? c : s;
  *cosine = (quarter + 1) & 2 ? -first : first;
  *sine = quarter & 2 ? -second : second;
}

/* The exponential of x up to 0, to 4e-16 of it; 0 below -700. */
INLINE double exponential_f64(double x) {
  double clamped = x > -700 ? x : -700, power = clamped * 0x1.71547652b82fep+0 + ROUND_F64;
  uint64_t exponent;
  memcpy(&exponent, &power, sizeof exponent);
  power -= ROUND_F64;
  double r = (clamped - power * 0x1.62e42fefp-1) - power * 0x1.473de6af278edp-34, factor;
  double p = 2.7557240604663896e-06 + r * (2.763279054211718e-07 + r * 2.511015364692893e-08);
  p = 0.0013888888952696516 + r * (0.00019841269890340666 + r * (2.4801485074105115e-05 + r * p));
  p = 0.1666666666666668 + r * (0.04166666666648666 + r * (0.00833333333331949 + r * p));
  p = 1 + r * (1 + r * (0.5000000000000019 + r * p));
  exponent = (exponent + 1023) << 52;
  memcpy(&factor, &exponent, sizeof factor);
  return x > -700 ? p * factor : 0;
}

/* The logarithm of a normal number above zero, to 1.3e-7 of the larger of it and 1. */
INLINE float logarithm_f32(float x) {
  uint32_t bits, mantissa;
  memcpy(&bits, &x, sizeof bits);
  int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23; /* the mantissa is between the roots of 1/2 and of 2 */
  mantissa = bits - ((uint32_t)exponent << 23);
  float m;
  memcpy(&m, &mantissa, sizeof m);
  float s = (m - 1) / (m + 1), z = s * s;
  float small = 2 * s + s * z * (0.6666668515145278f + z * (0.39988734820244165f + z * 0.2958202356203656f));
  return exponent * 0.693147182464599609375f + small;
}

/* The logarithm of any number, to 3e-16 of the larger of it and 1. */
INLINE double logarithm_f64(double x) {
  if (!(x > 0 && x < INFINITY)) return x == 0 ? -INFINITY : x > 0 ? x : NAN;
  int exponent;
  double m = frexp(x, &exponent); /* exact everywhere */
  if (m < 0x1.6a09e667f3bcdp-1) m *= 2, exponent--;
  double s = (m - 1) / (m + 1), z = s * s, series = 0;
  for (int n = 23; n > 0; n -= 2) series = series * z + 1.0 / n;
  return exponent * 0x1.62e42fefa39efp-1 + 2 * s * series;
}

#endif
