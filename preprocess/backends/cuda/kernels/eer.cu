/* Electron events of Falcon cameras (EER 3.0): raw frame by raw frame, straight into counts.

   A raw frame is a run of codes, least significant bit first: empty pixels up to the next electron (`skip` bits; all
   ones: that many and no electron yet, and nothing follows), then its place inside the pixel (`across` bits, `down`
   bits). A code's place depends on how many codes before it were short, and its pixel on all codes before it. So that
   many threads can share one raw frame, it is cut into pieces of equal length, and each piece is first walked from
   every bit where a code could begin (eer_walk_pieces); where codes really begin follows from piece to piece
   (eer_chain_pieces); then each piece's electrons are counted (eer_count_electrons). What it costs: each code is read
   as many times as it has bits, and once more; none of the readers waits for another.

   Counts are whole numbers, added by atomics: sums do not depend on their order. */

#include "portable.h"

#ifdef __CUDACC__
#define ADD_AT(place, value) atomicAdd(place, value)
#else
#define ADD_AT(place, value) (*(place) += (value)) /* threads take turns */
#endif

#define PIECE_RUNS_ON 0
#define PIECE_ENDS 1
#define PIECE_CORRUPT 2

/* Bits of a code; how images are made of events. */
struct EventLayout {
    int skip, across, down;
    int upsampling;   /* 1 or 2 pixels of the image for each pixel of the camera, along each axis */
    i64 width;        /* of the image */
    i64 pixel_count;  /* of the camera */
};

/* The 24 bits from `bit` on that lie inside the raw frame; 17 of them are good at least. Zeros stand in for others. */
CORE u32 eer_bits(const u8* events, i64 count, i64 bit) {
    i64 byte = bit >> 3;
    u32 bits = byte < count ? events[byte] : 0;
    if (byte + 1 < count) bits |= (u32)events[byte + 1] << 8;
    if (byte + 2 < count) bits |= (u32)events[byte + 2] << 16;
    return bits >> (bit & 7);
}

/* Where the last code may begin (exclusive): lengths are rounded up to even, as the codes' writers do. */
CORE i64 eer_last_bit(i64 count, int code_bits) {
    return 8 * (count + (count & 1)) - code_bits;
}

/* Walk from `bit` to `stop`; return the pixels passed, and move `bit` behind the last code. */
CORE u32 eer_walk(const u8* events, i64 count, i64* bit, i64 stop, int skip_bits, int code_bits) {
    u32 longest = (1u << skip_bits) - 1, passed = 0;
    while (*bit < stop) {
        u32 skip = eer_bits(events, count, *bit) & longest;
        passed += skip == longest ? skip : skip + 1;
        *bit += skip == longest ? skip_bits : code_bits;
    }
    return passed;
}

/* The pixel of the image that an electron belongs to. The first of the bits inside a pixel is turned over: they count
   from the pixel's middle, and this is how imagecodecs (whose results these are, bit by bit) makes places of them. */
CORE i64 eer_place(const EventLayout* layout, i64 pixel, u32 code) {
    if (layout->upsampling == 1) return pixel;
    i64 camera_width = layout->width / 2;
    u32 across = (code >> layout->skip & ((1u << layout->across) - 1)) ^ (u32)layout->across;
    u32 down = (code >> (layout->skip + layout->across) & ((1u << layout->down) - 1)) ^ (u32)layout->down;
    i64 x = (i64)(across >> (layout->across - 1)) + pixel % camera_width * 2;
    i64 y = (i64)(down >> (layout->down - 1)) + pixel / camera_width * 2;
    return y * layout->width + x;
}

/* Count a piece's electrons from a known bit and pixel on; return how it ended. `words` holds counters of 8 or 16 bits,
   which never overflow: a raw frame has at most one electron in a pixel. */
CORE u8 eer_count(
    const u8* events, i64 count, i64 bit, i64 stop, i64 pixel, const EventLayout* layout, u32* words, int counter_bytes
) {
    u32 longest = (1u << layout->skip) - 1;
    int code_bits = layout->skip + layout->across + layout->down;
    i64 image_size = layout->pixel_count * layout->upsampling * layout->upsampling;
    while (bit < stop) {
        u32 code = eer_bits(events, count, bit);
        u32 skip = code & longest;
        pixel += skip;
        if (pixel >= layout->pixel_count) return pixel == layout->pixel_count ? PIECE_ENDS : PIECE_CORRUPT;
        if (skip == longest) {
            bit += layout->skip;
            continue;
        }
        i64 place = eer_place(layout, pixel, code);
        if (place >= image_size) return PIECE_CORRUPT;
        i64 byte = place * counter_bytes;
        ADD_AT(words + (byte >> 2), 1u << (8 * (byte & 3)));
        pixel++;
        bit += code_bits;
    }
    return PIECE_RUNS_ON;
}

/* Raw frame r lies in `block` from begins[r], counts[r] bytes long, in `pieces` pieces of `piece_bits`; its codes have
   the bits layouts[3 r] (skip), layouts[3 r + 1] (across), layouts[3 r + 2] (down). One thread for each raw frame,
   piece and first bit; results lie in that order, `phases` (most bits of a code) for each piece. */
KERNEL eer_walk_pieces(
    const u8* block, const i64* begins, const i64* counts, const i32* layouts, i32 raw_frames, i32 pieces,
    i32 piece_bits, i32 phases, u8* next_phases, u32* passed
) {
    EACH_THREAD {
        i64 index = (i64)BLOCK_X * THREADS + thread;
        if (index >= (i64)raw_frames * pieces * phases) continue;
        i64 raw = index / ((i64)pieces * phases), piece = index / phases % pieces;
        int skip_bits = layouts[3 * raw], code_bits = skip_bits + layouts[3 * raw + 1] + layouts[3 * raw + 2];
        i64 bit = piece * piece_bits + index % phases, boundary = (piece + 1) * piece_bits;
        i64 last_bit = eer_last_bit(counts[raw], code_bits), stop = boundary < last_bit ? boundary : last_bit;
        passed[index] = eer_walk(block + begins[raw], counts[raw], &bit, stop, skip_bits, code_bits);
        next_phases[index] = (u8)(bit > boundary ? bit - boundary : 0);
    }
}

/* One thread a raw frame: at which bit and pixel its pieces begin. */
KERNEL eer_chain_pieces(
    i32 raw_frames, i32 pieces, i32 piece_bits, i32 phases, const u8* next_phases, const u32* passed, i64* bits,
    i64* pixels
) {
    EACH_THREAD {
        i64 raw = (i64)BLOCK_X * THREADS + thread;
        if (raw >= raw_frames) continue;
        i64 pixel = 0;
        int phase = 0;
        for (i64 piece = raw * pieces; piece < (raw + 1) * pieces; piece++) {
            bits[piece] = (piece - raw * pieces) * piece_bits + phase;
            pixels[piece] = pixel;
            pixel += passed[piece * phases + phase];
            phase = next_phases[piece * phases + phase];
        }
    }
}

/* One thread for each raw frame and piece: its electrons, counted in the image images[r] of `words`, where each image
   takes `image_words`; and how the piece ended. */
KERNEL eer_count_electrons(
    const u8* block, const i64* begins, const i64* counts, const i32* layouts, const i32* images, i32 raw_frames,
    i32 pieces, i32 piece_bits, const i64* bits, const i64* pixels, i32 upsampling, i64 width, i64 pixel_count,
    i64 image_words, i32 counter_bytes, u32* words, u8* endings
) {
    EACH_THREAD {
        i64 index = (i64)BLOCK_X * THREADS + thread;
        if (index >= (i64)raw_frames * pieces) continue;
        i64 raw = index / pieces, boundary = (index % pieces + 1) * piece_bits;
        const i32* of_code = layouts + 3 * raw;
        EventLayout layout = {of_code[0], of_code[1], of_code[2], upsampling, width, pixel_count};
        i64 last_bit = eer_last_bit(counts[raw], of_code[0] + of_code[1] + of_code[2]);
        endings[index] = eer_count(
            block + begins[raw], counts[raw], bits[index], boundary < last_bit ? boundary : last_bit, pixels[index],
            &layout, words + image_words * images[raw], counter_bytes
        );
    }
}
