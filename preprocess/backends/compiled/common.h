/* What all kernels share: 16 numbers side by side, and code for several kinds of x86 processors in one library.

   Results must be the same bits on every kind of processor. Sums of many numbers are therefore taken in 16 lanes, always
   as many, and products and sums are never contracted to one operation (-ffp-contract=off, see build_kernels.py). */
#ifndef CRYOFERRY_COMMON_H
#define CRYOFERRY_COMMON_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The code for the processor is chosen when the library is loaded, which needs GNU's compiler and C library. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && !defined(ONE_PROCESSOR)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

/* 16 numbers at any address; may_alias: arrays of plain numbers are read and written through it. */
typedef float V16 __attribute__((vector_size(64), aligned(4), may_alias));

INLINE long at_most(long a, long b) { return a < b ? a : b; }
INLINE long at_least(long a, long b) { return a > b ? a : b; }

/* The row (or column) that lies at an index when the frame is mirrored at its edges. */
INLINE long mirrored(long index, long size) {
  index %= 2 * size;
  if (index < 0) index += 2 * size;
  return index < size ? index : 2 * size - 1 - index;
}

/* The first address at or after p that begins a line of the cache. */
INLINE float *on_cache_line(float *p) { return (float *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

#endif
