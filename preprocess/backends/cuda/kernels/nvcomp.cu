/* What stands around nvCOMP: strips go where it wants them, and what it made of them is compared with their checksums.

   A strip is zlib's stream: two bytes of header, deflate, and Adler-32 at its end. */

#include "portable.h"
#include "strips.h"

#define ZLIB_HEADER 2
#define ZLIB_CHECKSUM 4
#define ADLER_MODULUS 65521

/* A block a strip: copy its deflate to where nvCOMP reads it. */
KERNEL align_strips(const u8* block, const Strip* strips, const i64* begins, u8* aligned) {
    EACH_THREAD {
        const Strip* strip = strips + BLOCK_X;
        const u8* from = block + strip->begin + ZLIB_HEADER;
        for (i64 i = thread; i < strip->count - ZLIB_HEADER - ZLIB_CHECKSUM; i += THREADS)
            aligned[begins[BLOCK_X] + i] = from[i];
    }
}

/* A block a strip: each thread's part of the two sums of Adler-32. */
KERNEL sum_strips(const Strip* strips, const u8* images, u64* sums) {
    EACH_THREAD {
        const Strip* strip = strips + BLOCK_X;
        const u8* bytes = images + strip->place;
        u64 low = 0, high = 0;
        for (i64 i = thread; i < strip->size; i += THREADS) {
            low += bytes[i];
            high += (u64)((strip->size - i) % ADLER_MODULUS) * bytes[i];
        }
        u64* mine = sums + ((i64)BLOCK_X * THREADS + thread) * 2;
        mine[0] = low % ADLER_MODULUS;
        mine[1] = high % ADLER_MODULUS;
    }
}

/* A thread a strip: what became of it. `parts`: how many threads summed it. */
KERNEL judge_strips(const u8* block, const Strip* strips, i32 strip_count, i32 parts, const u64* sums,
                    const i64* written, const i32* statuses, u8* outcomes) {
    EACH_THREAD {
        i64 s = (i64)BLOCK_X * THREADS + thread;
        if (s >= strip_count) continue;
        const Strip* strip = strips + s;
        const u8 *head = block + strip->begin, *tail = head + strip->count - ZLIB_CHECKSUM;
        int header = head[0] << 8 | head[1];
        u64 low = 1, high = (u64)strip->size;
        for (int part = 0; part < parts; part++) {
            low += sums[(s * parts + part) * 2];
            high += sums[(s * parts + part) * 2 + 1];
        }
        u32 found = (u32)(high % ADLER_MODULUS) << 16 | (u32)(low % ADLER_MODULUS), wanted = 0;
        for (int i = 0; i < ZLIB_CHECKSUM; i++) wanted = wanted << 8 | tail[i];
        int is_zlib = header % 31 == 0 && (header >> 8 & 15) == 8 && header >> 12 <= 7 && !(header & 32);
        int is_whole = is_zlib && statuses[s] == 0 && written[s] == strip->size && found == wanted;
        outcomes[s] = is_whole ? STRIP_WHOLE : STRIP_CORRUPT;
    }
}
