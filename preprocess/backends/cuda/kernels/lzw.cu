/* TIFF's LZW (TIFF 6.0, section 13), most significant bit first, widths changed one code early.

   Many strips: one thread each (lzw_decode_strips). Few long ones have no such parallelism, but an encoder begins a new
   table, with a Clear code, whenever the table is full. From one Clear to the next the widths of codes depend on their
   number alone, so that the next Clear is found without decoding: where the longest stretch so far says it should be,
   or else by walking from code to code (lzw_find_stretches). A place that holds a Clear by chance is told by the codes
   behind it, or else when the stretch is read; the strip is then one thread's. Then each stretch is a thread's, twice: for its length
   (lzw_measure_stretches), and, when the lengths before it are added up (lzw_place_stretches), for its bytes
   (lzw_decode_stretches). What it costs: each code is read twice instead of once, and a few more for each stretch;
   three times, the first time by one thread a strip, where stretches end before their table is full.

   A code's string is a piece of what was decoded before, so a table needs the place where each code's output begins and
   nothing else: code 258 + j stands for the output of the stretch's code j and one byte more. Tables are interleaved
   (thread t's entry k lies at k * threads + t): threads that write the same entry at a time write side by side. */

#include "portable.h"
#include "strips.h"

#define LZW_CLEAR 256
#define LZW_END 257
#define LZW_FIRST_FREE 258
#define LZW_LOOKED_AT 32 /* codes behind what may be a Clear: chance passes it about once in 2^40 times */
#define LZW_LAST_ENTRY 3838 /* the code of a stretch that fills the table's last place, 4095 */

/* How the decoding of a stretch ended. */
#define LZW_AT_CLEAR 0
#define LZW_FULL 1    /* all the bytes that were wanted are there */
#define LZW_LIMIT 2   /* all the codes that were wanted are read */
#define LZW_NO_MORE 3 /* an End code, the end of the data, or a code that is not in the table */

/* What is known of a stretch. */
#define STRETCH_WHOLE 0
#define STRETCH_BROKEN 1
#define STRETCH_MISTAKEN 2 /* a Clear lies inside: what was taken for the next one was none */

/* What lies between two Clears: its first bit, its number of codes, the bytes they make, and where these go, from the
   strip's own place. */
struct Stretch {
    i64 bit, codes, length, place, state;
};

/* A strip's bits, and the place of the next code. */
struct LzwInput {
    const u8* block;
    i64 bit, end_bit;
};

/* Bits of the stretch's code `index`, from 0 after a Clear. */
CORE int lzw_width(i64 index) {
    if (index < 254) return 9;
    if (index < 766) return 10;
    return index < 1790 ? 11 : 12;
}

/* Bits of all codes before the stretch's code `index`. */
CORE i64 lzw_bits_before(i64 index) {
    if (index <= 254) return 9 * index;
    if (index <= 766) return 9 * 254 + 10 * (index - 254);
    if (index <= 1790) return 9 * 254 + 10 * 512 + 11 * (index - 766);
    return 9 * 254 + 10 * 512 + 11 * 1024 + 12 * (index - 1790);
}

/* The code of `width` bits at a place that must lie, with those bits, inside the strip. */
CORE int lzw_code_at(const u8* block, i64 bit, i64 end_bit, int width) {
    i64 byte = bit >> 3;
    u32 bits = (u32)block[byte] << 16 | (u32)block[byte + 1] << 8; /* 9 bits or more always touch two bytes */
    if (byte + 2 < end_bit >> 3) bits |= block[byte + 2];
    return (int)(bits >> (24 - (int)(bit & 7) - width)) & ((1 << width) - 1);
}

/* Decode from behind a Clear to the next one, or to `most_codes` codes or `most_bytes` bytes. `out` may be null: then
   bytes are counted only. Moves the input's place behind what was read, and tells the bytes made. */
CORE int lzw_stretch(LzwInput* input, i64 most_codes, u8* out, i64 most_bytes, u32* starts, i64 step, i64* made) {
    i64 written = 0;
    for (i64 index = 0; written < most_bytes; index++) {
        *made = written;
        if (index == most_codes) return LZW_LIMIT;
        int width = lzw_width(index);
        if (input->bit + width > input->end_bit) return LZW_NO_MORE;
        int code = lzw_code_at(input->block, input->bit, input->end_bit, width);
        input->bit += width;
        if (code == LZW_CLEAR) return LZW_AT_CLEAR;
        if (code == LZW_END || code - LZW_FIRST_FREE >= index) return LZW_NO_MORE;
        if (index <= LZW_LAST_ENTRY) starts[index * step] = (u32)written;
        if (code < LZW_CLEAR) {
            if (out) out[written] = (u8)code;
            written++;
            continue;
        }
        i64 entry = code - LZW_FIRST_FREE, from = starts[entry * step];
        i64 length = (i64)starts[(entry + 1) * step] - from + 1;
        if (length > most_bytes - written) length = most_bytes - written;
        if (out) copy_from_before(out + written, written - from, length);
        written += length;
    }
    *made = written;
    return LZW_FULL;
}

/* Decode a strip; return what becomes of it. It may hold more bytes than wanted, and must not hold fewer. */
CORE u8 lzw_strip(const u8* block, const Strip* strip, u8* images, u32* starts, i64 step) {
    LzwInput input = {block, 8 * strip->begin, 8 * (strip->begin + strip->count)};
    u8* out = images + strip->place;
    for (i64 written = 0; written < strip->size;) {
        i64 made = 0;
        int ending = lzw_stretch(&input, input.end_bit, out + written, strip->size - written, starts, step, &made);
        if (ending == LZW_NO_MORE) return STRIP_CORRUPT;
        written += made;
    }
    return STRIP_WHOLE;
}

/* Whether what begins at a bit can be a stretch: each code stands for a byte, or for what its table holds by then. */
CORE int lzw_may_begin(const u8* block, i64 bit, i64 end_bit) {
    for (int index = 0; index < LZW_LOOKED_AT && bit + 9 <= end_bit; index++, bit += 9) {
        int code = lzw_code_at(block, bit, end_bit, 9);
        if (code == LZW_CLEAR || code == LZW_END) return 1;
        if (code - LZW_FIRST_FREE >= index) return 0;
    }
    return 1;
}

/* Find where a strip's stretches begin and how many codes each has; return how many there are, or -1 if more than
   `most`. The last one ends at an End code or with the data. */
CORE i32 lzw_find(const u8* block, const Strip* strip, Stretch* stretches, i32 most) {
    i64 bit = 8 * strip->begin, end_bit = 8 * (strip->begin + strip->count), longest = 0;
    for (i32 found = 0; found < most; found++) {
        i64 index = longest, at = bit + lzw_bits_before(longest);
        int width = lzw_width(longest), code = 0;
        if (longest && at + width <= end_bit) code = lzw_code_at(block, at, end_bit, width);
        if (code != LZW_CLEAR || !lzw_may_begin(block, at + width, end_bit)) {
            at = bit;
            for (index = 0; at + lzw_width(index) <= end_bit; at += lzw_width(index++)) {
                code = lzw_code_at(block, at, end_bit, lzw_width(index));
                if (code == LZW_CLEAR || code == LZW_END) break;
            }
        }
        stretches[found].bit = bit;
        stretches[found].codes = index;
        if (at + lzw_width(index) > end_bit || code != LZW_CLEAR) return found + 1;
        bit = at + lzw_width(index);
        if (index > longest) longest = index;
    }
    return -1;
}

/* Find how many bytes a stretch makes. */
CORE void lzw_measure(const u8* block, const Strip* strip, Stretch* stretch, u32* starts, i64 step) {
    LzwInput input = {block, stretch->bit, 8 * (strip->begin + strip->count)};
    int ending = lzw_stretch(&input, stretch->codes, 0, strip->size, starts, step, &stretch->length);
    stretch->state = STRETCH_WHOLE;
    if (ending == LZW_AT_CLEAR) stretch->state = STRETCH_MISTAKEN;
    if (ending == LZW_NO_MORE) stretch->state = STRETCH_BROKEN;
}

/* Lay a strip's stretches one behind the other; return what becomes of the strip. Stretches that are not wanted any
   more are put behind its end. */
CORE u8 lzw_lay(const Strip* strip, Stretch* stretches, i32 count) {
    i64 total = 0, state = STRETCH_WHOLE;
    if (count < 0) return STRIP_WAITING;
    for (i32 i = 0; i < count; i++) {
        int wanted = total < strip->size && state == STRETCH_WHOLE;
        stretches[i].place = wanted ? total : strip->size;
        if (!wanted) continue;
        total += stretches[i].length;
        if (total < strip->size) state = stretches[i].state;
    }
    if (state == STRETCH_MISTAKEN) return STRIP_WAITING;
    return total < strip->size ? STRIP_CORRUPT : STRIP_WHOLE;
}

/* Decode a stretch into its place. */
CORE void lzw_decode(const u8* block, const Strip* strip, const Stretch* stretch, u8* images, u32* starts, i64 step) {
    LzwInput input = {block, stretch->bit, 8 * (strip->begin + strip->count)};
    u8* out = images + strip->place + stretch->place;
    i64 made = 0;
    lzw_stretch(&input, stretch->codes, out, strip->size - stretch->place, starts, step, &made);
}

/* The strip that a slot for a stretch belongs to: strip s has slots first_slots[s] to first_slots[s + 1]. */
CORE i32 lzw_strip_of(const i64* first_slots, i32 strip_count, i64 slot) {
    i32 low = 0, high = strip_count - 1;
    while (low < high) {
        i32 middle = (low + high + 1) / 2;
        if (first_slots[middle] <= slot)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Decode the strips whose outcome is STRIP_WAITING, and of these the ones of `most_bytes` compressed bytes at most.
   `starts` has room for the tables of all threads. */
KERNEL lzw_decode_strips(
    const u8* block, const Strip* strips, i32 strip_count, u8* images, u32* starts, i32 thread_count,
    i64 most_bytes, u8* outcomes
) {
    EACH_THREAD {
        i64 number = (i64)BLOCK_X * THREADS + thread;
        for (i64 s = number; s < strip_count; s += thread_count) {
            if (outcomes[s] != STRIP_WAITING || strips[s].count > most_bytes) continue;
            outcomes[s] = lzw_strip(block, strips + s, images, starts + number, thread_count);
        }
    }
}

/* One thread a strip; stretch_counts[s] becomes -1 where the slots do not suffice. */
KERNEL lzw_find_stretches(
    const u8* block, const Strip* strips, i32 strip_count, const i64* first_slots, Stretch* stretches,
    i32* stretch_counts
) {
    EACH_THREAD {
        i64 s = (i64)BLOCK_X * THREADS + thread;
        if (s >= strip_count) continue;
        i64 slot = first_slots[s];
        stretch_counts[s] = lzw_find(block, strips + s, stretches + slot, (i32)(first_slots[s + 1] - slot));
    }
}

/* The slots in turns among all threads. */
KERNEL lzw_measure_stretches(
    const u8* block, const Strip* strips, i32 strip_count, const i64* first_slots, const i32* stretch_counts,
    Stretch* stretches, u32* starts, i32 thread_count
) {
    EACH_THREAD {
        i64 number = (i64)BLOCK_X * THREADS + thread;
        for (i64 slot = number; slot < first_slots[strip_count]; slot += thread_count) {
            i32 s = lzw_strip_of(first_slots, strip_count, slot);
            if (slot - first_slots[s] >= stretch_counts[s]) continue;
            lzw_measure(block, strips + s, stretches + slot, starts + number, thread_count);
        }
    }
}

/* One thread a strip: where each of its stretches goes, and the strip's outcome. */
KERNEL lzw_place_stretches(
    const Strip* strips, i32 strip_count, const i64* first_slots, const i32* stretch_counts, Stretch* stretches,
    u8* outcomes
) {
    EACH_THREAD {
        i64 s = (i64)BLOCK_X * THREADS + thread;
        if (s < strip_count) outcomes[s] = lzw_lay(strips + s, stretches + first_slots[s], stretch_counts[s]);
    }
}

/* The slots in turns among all threads: the bytes of strips whose outcome is STRIP_WHOLE. */
KERNEL lzw_decode_stretches(
    const u8* block, const Strip* strips, i32 strip_count, const i64* first_slots, const i32* stretch_counts,
    const Stretch* stretches, u8* images, u32* starts, i32 thread_count, const u8* outcomes
) {
    EACH_THREAD {
        i64 number = (i64)BLOCK_X * THREADS + thread;
        for (i64 slot = number; slot < first_slots[strip_count]; slot += thread_count) {
            i32 s = lzw_strip_of(first_slots, strip_count, slot);
            if (outcomes[s] != STRIP_WHOLE || slot - first_slots[s] >= stretch_counts[s]) continue;
            if (stretches[slot].place >= strips[s].size) continue;
            lzw_decode(block, strips + s, stretches + slot, images, starts + number, thread_count);
        }
    }
}
