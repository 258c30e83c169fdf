/* Half-precision numbers (IEEE 754 binary16), as integers, to float32: exact, and the same code for every processor. */
#ifndef CRYOFERRY_HALF_H
#define CRYOFERRY_HALF_H

#include "common.h"

typedef uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint32_t Bits __attribute__((vector_size(64)));

enum { SIGN = 0x8000, NO_SIGN = 0x7fff, SPECIAL = 0x7c00, INFINITE = 0x7f800000 };
#define EXPONENTS 0x1p112f /* those of float32 begin so much lower */

/* Infinity and NaN have the largest exponent, which scaling does not make the largest one of float32. */
INLINE float half_value(uint16_t half) {
  union {
    uint32_t bits;
    float value;
  } number = {(uint32_t)(half & NO_SIGN) << 13};
  number.value *= EXPONENTS;
  number.bits |= (uint32_t)(half & SIGN) << 16 | ((half & SPECIAL) == SPECIAL ? INFINITE : 0);
  return number.value;
}

INLINE V16 half_values(const uint16_t *halves) {
  Bits half = __builtin_convertvector(*(const Halves *)halves, Bits);
  V16 value = (V16)((half & NO_SIGN) << 13) * EXPONENTS;
  Bits special = (Bits)((half & SPECIAL) == SPECIAL);
  return (V16)((Bits)value | (half & SIGN) << 16 | (special & INFINITE));
}

#endif
