/* What decoders of strips have in common. */
#ifndef STRIPS_H
#define STRIPS_H

/* What becomes of a strip. */
#define STRIP_WHOLE 0
#define STRIP_CORRUPT 1
#define STRIP_WAITING 2 /* to be decoded by one thread */

/* Where a strip lies in the block of compressed bytes, and where its bytes go. */
struct Strip {
    i64 begin, count, place, size;
};

/* Copy bytes forward from `distance` before; the two may overlap. Where they cannot within four bytes, four loads wait
   for memory together. */
CORE void copy_from_before(u8* to, i64 distance, i64 length) {
    i64 i = 0;
    if (distance >= 4) {
        for (; i + 4 <= length; i += 4) {
            const u8* from = to + i - distance;
            u8 a = from[0], b = from[1], c = from[2], d = from[3];
            to[i] = a, to[i + 1] = b, to[i + 2] = c, to[i + 3] = d;
        }
    }
    for (; i < length; i++) to[i] = to[i - distance];
}

#endif
