/* zlib's streams (RFC 1950) of deflate (RFC 1951), one thread a strip: stored, fixed and dynamic blocks, Adler-32.

   A strip is refused wherever zlib's `uncompress` refuses it: a header that is none, a set of code lengths that is
   over-subscribed or incomplete, a code that stands for nothing, a distance to before the first byte, more or fewer
   bytes than wanted, data that end too early, a checksum that differs. What follows the checksum is ignored.

   Codes are canonical: those of one length follow each other, so that a length's first code, its number of codes and
   the symbols in order are the whole table (0.7 kB a thread), at a few steps for each code. */

#include "portable.h"
#include "strips.h"

#ifdef __CUDACC__
#define CALLED static __device__ __noinline__ /* large, and used in several places */
#else
#define CALLED static
#endif

#define DEFLATE_MOST_BITS 15
#define DEFLATE_LITERALS 288
#define DEFLATE_DISTANCES 32
#define DEFLATE_END_OF_BLOCK 256

/* What has been read and written of a strip; `failed` once anything is wrong. */
struct Inflation {
    const u8* in;
    i64 in_size, read;
    u8* out;
    i64 out_size, written;
    u64 bits; /* read and not yet used, the next one lowest */
    int bit_count;
    int failed;
};

/* A code: how many codes there are of each length, and their symbols in the order of the codes. */
struct HuffmanCode {
    u16 counts[DEFLATE_MOST_BITS + 1];
    u16 symbols[DEFLATE_LITERALS];
};

/* Have at least `wanted` bits at hand, 32 at most; zeros stand in for what is missing. */
CORE void inflate_load(Inflation* z, int wanted) {
    while (z->bit_count < wanted && z->read < z->in_size) {
        z->bits |= (u64)z->in[z->read++] << z->bit_count;
        z->bit_count += 8;
    }
}

CORE void inflate_drop(Inflation* z, int count) {
    if (count > z->bit_count) {
        z->failed = 1;
        return;
    }
    z->bits >>= count;
    z->bit_count -= count;
}

/* The next `count` bits, 16 at most, as a number. */
CALLED int inflate_number(Inflation* z, int count) {
    inflate_load(z, count);
    int value = (int)(z->bits & ((1u << count) - 1));
    inflate_drop(z, count);
    return z->failed ? 0 : value;
}

/* The next symbol of a code; fails where the bits stand for none. */
CALLED int inflate_symbol(Inflation* z, const HuffmanCode* huffman) {
    int code = 0, first = 0, index = 0;
    inflate_load(z, DEFLATE_MOST_BITS);
    for (int length = 1; length <= DEFLATE_MOST_BITS; length++) {
        code |= (int)(z->bits >> (length - 1)) & 1;
        int count = huffman->counts[length];
        if (code - first < count) {
            inflate_drop(z, length);
            return huffman->symbols[index + code - first];
        }
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    z->failed = 1;
    return 0;
}

/* Make a code from its symbols' lengths; return how many codes more would complete it, negative if there are too many.
   The unit is that of the longest length, 15 bits. */
CALLED int huffman_from_lengths(HuffmanCode* huffman, const u8* lengths, int symbol_count) {
    u16 places[DEFLATE_MOST_BITS + 1];
    int left = 1 << DEFLATE_MOST_BITS;
    for (int length = 0; length <= DEFLATE_MOST_BITS; length++) huffman->counts[length] = 0;
    for (int s = 0; s < symbol_count; s++) huffman->counts[lengths[s]]++;
    huffman->counts[0] = 0;
    places[1] = 0;
    for (int length = 1; length <= DEFLATE_MOST_BITS; length++) {
        left -= huffman->counts[length] << (DEFLATE_MOST_BITS - length);
        if (length < DEFLATE_MOST_BITS) places[length + 1] = (u16)(places[length] + huffman->counts[length]);
    }
    for (int s = 0; s < symbol_count; s++) {
        if (lengths[s]) huffman->symbols[places[lengths[s]]++] = (u16)s;
    }
    return left;
}

/* Whether zlib takes a code of literals or distances: complete, or of nothing but one code of one bit, or empty. */
CORE int huffman_is_taken(const HuffmanCode* huffman, int left) {
    if (left == 0 || left == 1 << DEFLATE_MOST_BITS) return 1;
    return left == 1 << (DEFLATE_MOST_BITS - 1) && huffman->counts[1] == 1;
}

/* Copy a stored block. */
CORE void inflate_stored(Inflation* z) {
    inflate_drop(z, z->bit_count & 7);
    int size = inflate_number(z, 16), complement = inflate_number(z, 16);
    if (z->failed || size != (complement ^ 0xFFFF) || size > z->out_size - z->written) {
        z->failed = 1;
        return;
    }
    for (; size && z->bit_count; size--) z->out[z->written++] = (u8)inflate_number(z, 8);
    if (size > z->in_size - z->read) {
        z->failed = 1;
        return;
    }
    for (int i = 0; i < size; i++) z->out[z->written++] = z->in[z->read++];
}

/* The base of a length's or distance's symbol, and its extra bits: groups of `group` symbols have one bit more each. */
CORE int inflate_extended(Inflation* z, int symbol, int group, int* extra) {
    if (symbol < 2 * group) {
        *extra = 0;
        return symbol;
    }
    *extra = symbol / group - 1;
    return ((symbol % group + group) << *extra) + inflate_number(z, *extra);
}

/* Decode a block's symbols to its end. */
CORE void inflate_block(Inflation* z, const HuffmanCode* literals, const HuffmanCode* distances) {
    while (!z->failed) {
        int symbol = inflate_symbol(z, literals), extra;
        if (z->failed || symbol == DEFLATE_END_OF_BLOCK) return;
        if (symbol < DEFLATE_END_OF_BLOCK) {
            if (z->written == z->out_size) z->failed = 1;
            else z->out[z->written++] = (u8)symbol;
            continue;
        }
        int length = 258;
        if (symbol < 285) length = 3 + inflate_extended(z, symbol - 257, 4, &extra);
        int distance_symbol = z->failed ? 0 : inflate_symbol(z, distances);
        if (z->failed || symbol > 285 || distance_symbol > 29) {
            z->failed = 1;
            return;
        }
        i64 distance = 1 + inflate_extended(z, distance_symbol, 2, &extra);
        if (z->failed || distance > z->written || length > z->out_size - z->written) {
            z->failed = 1;
            return;
        }
        copy_from_before(z->out + z->written, distance, length);
        z->written += length;
    }
}

/* Codes of a fixed block (RFC 1951, 3.2.6). */
CORE void inflate_fixed_codes(HuffmanCode* literals, HuffmanCode* distances) {
    u8 lengths[DEFLATE_LITERALS];
    for (int s = 0; s < DEFLATE_LITERALS; s++) lengths[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
    huffman_from_lengths(literals, lengths, DEFLATE_LITERALS);
    for (int s = 0; s < DEFLATE_DISTANCES; s++) lengths[s] = 5;
    huffman_from_lengths(distances, lengths, DEFLATE_DISTANCES);
}

/* Read the lengths of literals' and distances' codes, which are coded themselves. */
CORE void inflate_lengths(Inflation* z, const HuffmanCode* of_lengths, u8* lengths, int count) {
    for (int done = 0; done < count && !z->failed;) {
        int symbol = inflate_symbol(z, of_lengths);
        if (symbol < 16) {
            lengths[done++] = (u8)symbol;
            continue;
        }
        int repeats = symbol == 16 ? 3 + inflate_number(z, 2) : symbol == 17 ? 3 + inflate_number(z, 3) : 0;
        if (symbol == 18) repeats = 11 + inflate_number(z, 7);
        if ((symbol == 16 && done == 0) || repeats > count - done) {
            z->failed = 1;
            return;
        }
        u8 length = symbol == 16 ? lengths[done - 1] : 0;
        for (; repeats; repeats--) lengths[done++] = length;
    }
}

/* Codes of a dynamic block (RFC 1951, 3.2.7). */
CORE void inflate_dynamic_codes(Inflation* z, HuffmanCode* literals, HuffmanCode* distances) {
    /* The order in which lengths of lengths are sent, five bits each, the first one lowest. */
    const u64 early = 16ull | 17ull << 5 | 18ull << 10 | 0ull << 15 | 8ull << 20 | 7ull << 25 | 9ull << 30 | 6ull << 35 |
                      10ull << 40 | 5ull << 45;
    const u64 late = 11ull | 4ull << 5 | 12ull << 10 | 3ull << 15 | 13ull << 20 | 2ull << 25 | 14ull << 30 |
                     1ull << 35 | 15ull << 40;
    u8 lengths[DEFLATE_LITERALS + DEFLATE_DISTANCES];
    int literal_count = 257 + inflate_number(z, 5), distance_count = 1 + inflate_number(z, 5);
    int sent = 4 + inflate_number(z, 4);
    if (literal_count > 286 || distance_count > 30) z->failed = 1;
    for (int s = 0; s < 19; s++) lengths[s] = 0;
    for (int s = 0; s < sent && !z->failed; s++) {
        int place = (int)(s < 10 ? early >> 5 * s : late >> 5 * (s - 10)) & 31;
        lengths[place] = (u8)inflate_number(z, 3);
    }
    if (z->failed || huffman_from_lengths(literals, lengths, 19) != 0) {
        z->failed = 1;
        return;
    }
    inflate_lengths(z, literals, lengths, literal_count + distance_count);
    if (z->failed || lengths[DEFLATE_END_OF_BLOCK] == 0) {
        z->failed = 1;
        return;
    }
    int left = huffman_from_lengths(literals, lengths, literal_count);
    if (!huffman_is_taken(literals, left)) z->failed = 1;
    left = huffman_from_lengths(distances, lengths + literal_count, distance_count);
    if (!huffman_is_taken(distances, left)) z->failed = 1;
}

/* The checksum of RFC 1950. Sums stay below 2^32 for 5552 bytes between divisions. */
CORE u32 adler_32(const u8* bytes, i64 size) {
    u32 low = 1, high = 0;
    for (i64 i = 0; i < size;) {
        i64 stop = size - i > 5552 ? i + 5552 : size;
        for (; i < stop; i++) {
            low += bytes[i];
            high += low;
        }
        low %= 65521;
        high %= 65521;
    }
    return high << 16 | low;
}

/* Decode a strip; return what becomes of it. */
CORE u8 inflate_strip(const u8* in, i64 in_size, u8* out, i64 out_size) {
    Inflation z = {in, in_size, 0, out, out_size, 0, 0, 0, 0};
    HuffmanCode literals, distances;
    int header = inflate_number(&z, 8) << 8;
    header |= inflate_number(&z, 8);
    /* Deflate with a window of at most 32 kB, no preset dictionary. */
    if (z.failed || header % 31 || (header >> 8 & 15) != 8 || header >> 12 > 7 || header & 32) return STRIP_CORRUPT;
    for (int last = 0; !last && !z.failed;) {
        last = inflate_number(&z, 1);
        int kind = inflate_number(&z, 2);
        if (z.failed || kind == 3) return STRIP_CORRUPT;
        if (kind == 0) {
            inflate_stored(&z);
            continue;
        }
        if (kind == 1)
            inflate_fixed_codes(&literals, &distances);
        else
            inflate_dynamic_codes(&z, &literals, &distances);
        inflate_block(&z, &literals, &distances);
    }
    inflate_drop(&z, z.bit_count & 7);
    u32 checksum = 0;
    for (int i = 0; i < 4; i++) checksum = checksum << 8 | (u32)inflate_number(&z, 8);
    if (z.failed || z.written != out_size) return STRIP_CORRUPT;
    return adler_32(out, out_size) == checksum ? STRIP_WHOLE : STRIP_CORRUPT;
}

/* One thread a strip. */
KERNEL inflate_strips(const u8* block, const Strip* strips, i32 strip_count, u8* images, u8* outcomes) {
    EACH_THREAD {
        i64 s = (i64)BLOCK_X * THREADS + thread;
        if (s >= strip_count) continue;
        const Strip* strip = strips + s;
        outcomes[s] = inflate_strip(block + strip->begin, strip->count, images + strip->place, strip->size);
    }
}
