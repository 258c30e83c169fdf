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

/* Where a raw frame lies in the block, the bits of its codes' parts, and the image that it is added to. */
struct RawFrame {
    i64 begin, count, skip, across, down, image;
};

/* How images are made of electrons: 1 or 2 pixels for each of the camera's pixels along each axis, the images' width,
   the camera's pixels, and counters of 1 or 2 bytes. */
struct Images {
    i64 upsampling, width, pixel_count, counter_bytes;
    u32* words;
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
CORE i64 eer_last_bit(const RawFrame* raw) {
    return 8 * (raw->count + (raw->count & 1)) - (raw->skip + raw->across + raw->down);
}

/* Walk from `bit` to `stop`; return the pixels passed, and move `bit` behind the last code. */
CORE u32 eer_walk(const u8* block, const RawFrame* raw, i64* bit, i64 stop) {
    u32 longest = (1u << raw->skip) - 1, passed = 0;
    i64 code_bits = raw->skip + raw->across + raw->down;
    while (*bit < stop) {
        u32 skip = eer_bits(block + raw->begin, raw->count, *bit) & longest;
        passed += skip == longest ? skip : skip + 1;
        *bit += skip == longest ? raw->skip : code_bits;
    }
    return passed;
}

/* The pixel of the image that an electron belongs to. The first of the bits inside a pixel is turned over: they count
   from the pixel's middle, and this is how imagecodecs (whose results these are, bit by bit) makes places of them. */
CORE i64 eer_place(const RawFrame* raw, const Images* images, i64 pixel, u32 code) {
    if (images->upsampling == 1) return pixel;
    i64 camera_width = images->width / 2;
    u32 across = (code >> raw->skip & ((1u << raw->across) - 1)) ^ (u32)raw->across;
    u32 down = (code >> (raw->skip + raw->across) & ((1u << raw->down) - 1)) ^ (u32)raw->down;
    i64 x = (i64)(across >> (raw->across - 1)) + pixel % camera_width * 2;
    i64 y = (i64)(down >> (raw->down - 1)) + pixel / camera_width * 2;
    return y * images->width + x;
}

/* Count a piece's electrons from a known bit and pixel on; return how it ended. Counters never overflow: a raw frame
   has at most one electron in a pixel. */
CORE u8 eer_count(const u8* block, const RawFrame* raw, i64 bit, i64 stop, i64 pixel, const Images* images) {
    u32 longest = (1u << raw->skip) - 1;
    i64 code_bits = raw->skip + raw->across + raw->down;
    while (bit < stop) {
        u32 code = eer_bits(block + raw->begin, raw->count, bit), skip = code & longest;
        pixel += skip;
        if (pixel >= images->pixel_count) return pixel == images->pixel_count ? PIECE_ENDS : PIECE_CORRUPT;
        if (skip == longest) {
            bit += raw->skip;
            continue;
        }
        i64 byte = eer_place(raw, images, pixel, code) * images->counter_bytes;
        ADD_AT(images->words + (byte >> 2), 1u << (8 * (byte & 3)));
        pixel++;
        bit += code_bits;
    }
    return PIECE_RUNS_ON;
}

/* One thread for each raw frame, piece (there are `pieces` of `piece_bits` in each) and first bit; results lie in that
   order, `phases` (most bits of a code) for each piece. */
KERNEL eer_walk_pieces(
    const u8* block, const RawFrame* raw_frames, i32 raw_count, i32 pieces, i32 piece_bits, i32 phases,
    u8* next_phases, u32* passed
) {
    EACH_THREAD {
        i64 index = (i64)BLOCK_X * THREADS + thread;
        if (index >= (i64)raw_count * pieces * phases) continue;
        const RawFrame* raw = raw_frames + index / ((i64)pieces * phases);
        i64 piece = index / phases % pieces, bit = piece * piece_bits + index % phases;
        i64 boundary = (piece + 1) * piece_bits, last_bit = eer_last_bit(raw);
        passed[index] = eer_walk(block, raw, &bit, boundary < last_bit ? boundary : last_bit);
        next_phases[index] = (u8)(bit > boundary ? bit - boundary : 0);
    }
}

/* One thread a raw frame: at which bit and pixel its pieces begin. */
KERNEL eer_chain_pieces(
    i32 raw_count, i32 pieces, i32 piece_bits, i32 phases, const u8* next_phases, const u32* passed, i64* bits,
    i64* pixels
) {
    EACH_THREAD {
        i64 raw = (i64)BLOCK_X * THREADS + thread;
        if (raw >= raw_count) continue;
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

/* One thread for each raw frame and piece: its electrons, counted in the raw frame's image, of which each takes
   `image_words` of `words`; and how the piece ended. Images are `width` pixels wide, the camera has `pixel_count`. */
KERNEL eer_count_electrons(
    const u8* block, const RawFrame* raw_frames, i32 raw_count, i32 pieces, i32 piece_bits, const i64* bits,
    const i64* pixels, i32 upsampling, i64 width, i64 pixel_count, i64 image_words, i32 counter_bytes, u32* words,
    u8* endings
) {
    EACH_THREAD {
        i64 index = (i64)BLOCK_X * THREADS + thread;
        if (index >= (i64)raw_count * pieces) continue;
        const RawFrame* raw = raw_frames + index / pieces;
        i64 boundary = (index % pieces + 1) * piece_bits, last_bit = eer_last_bit(raw);
        Images images = {upsampling, width, pixel_count, counter_bytes, words + image_words * raw->image};
        i64 stop = boundary < last_bit ? boundary : last_bit;
        endings[index] = eer_count(block, raw, bits[index], stop, pixels[index], &images);
    }
}

/* One thread a raw frame: 1 if it is corrupt, else 0. The first piece that does not run on decides: those behind it
   begin where no electron can be. */
KERNEL eer_judge_raw_frames(i32 raw_count, i32 pieces, const u8* endings, u8* outcomes) {
    EACH_THREAD {
        i64 raw = (i64)BLOCK_X * THREADS + thread;
        if (raw >= raw_count) continue;
        i32 piece = 0;
        while (piece < pieces - 1 && endings[raw * pieces + piece] == PIECE_RUNS_ON) piece++;
        outcomes[raw] = endings[raw * pieces + piece] == PIECE_CORRUPT;
    }
}
