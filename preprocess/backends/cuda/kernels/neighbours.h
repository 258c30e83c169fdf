/* What kernels need that look at a pixel's neighbours, and come to the CPU's very bits. To be included after portable.h. */
#ifndef NEIGHBOURS_H
#define NEIGHBOURS_H

CORE i32 mirrored(i32 index, i32 size) {
    i32 period = 2 * size;
    index %= period;
    if (index < 0) index += period;
    return index < size ? index : period - 1 - index;
}

/* A product rounded to float, whatever it is added to or taken from afterwards. */
CORE float product(float one, float other) {
#ifdef __CUDACC__
    return __fmul_rn(one, other);
#else
    return one * other;
#endif
}

#endif
