/* Runs the decoders' kernels over damaged strips, each in memory of just its size, for sanitizers to watch.
   fuzz_decoders CORPUS SEED ROUNDS; the corpus is a row of records: kind, size, size decoded (32 bits each), the strip. */
#define THREADS 1
#include "portable.h"
#include "strips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

namespace lzw {
#include "lzw.cu"
}
namespace inflate {
#include "inflate.cu"
}
namespace eer {
#include "eer.cu"
}

typedef std::vector<u8> Bytes;

/* Memory of exactly one size, filled with rubbish: a sanitizer sees each step beyond it. */
template <typename T> struct Exactly {
    T* at;
    size_t count;
    explicit Exactly(size_t n) : at((T*)malloc(n * sizeof(T) + (n == 0))), count(n) { memset((void*)at, 0xA5, n * sizeof(T)); }
    ~Exactly() { free(at); }
    Exactly(const Exactly&) = delete;
};

static u64 random_state;

static u32 random_below(u32 limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state >> 32) % limit;
}

static void fail(const char* what) {
    fprintf(stderr, "%s\n", what);
    abort();
}

static Bytes damaged(const Bytes& strip) {
    Bytes made = strip;
    u32 kind = random_below(8), size = (u32)made.size();
    if (kind == 0) {
        made.resize(1 + random_below(200));
        for (u8& byte : made) byte = (u8)random_below(256);
    } else if (kind < 4) {
        for (u32 i = 1 + random_below(4); i; i--) made[random_below(size)] ^= (u8)(1 << random_below(8));
    } else if (kind < 6) {
        u8 value = (u8)(random_below(2) ? 255 * random_below(2) : random_below(256));
        for (u32 at = random_below(size), end = at + random_below(60); at < end && at < size; at++) made[at] = value;
    }
    if (random_below(3) == 0) made.resize(1 + random_below((u32)made.size()));
    return made;
}

static void run_lzw(const Bytes& strip, u32 size) {
    Exactly<u8> block(strip.size()), whole(size), pieces(size);
    memcpy(block.at, strip.data(), strip.size());
    memset(whole.at, 0, size);
    memset(pieces.at, 0, size);
    size_t most = strip.size() * 8 / 9 + 1;
    Exactly<u32> starts(most < 3839 ? most : 3839);
    Strip place = {0, (i64)strip.size(), 0, (i64)size};
    u8 outcome = STRIP_WAITING, by_stretches = STRIP_WAITING;
    lzw::lzw_decode_strips(block.at, &place, 1, whole.at, starts.at, 1, (i64)strip.size(), &outcome);
    i64 first_slots[2] = {0, (i64)(1 + random_below(60))};
    Exactly<lzw::Stretch> stretches(first_slots[1]);
    i32 found;
    lzw::lzw_find_stretches(block.at, &place, 1, first_slots, stretches.at, &found);
    if (found > first_slots[1]) fail("more stretches than slots");
    lzw::lzw_measure_stretches(block.at, &place, 1, first_slots, &found, stretches.at, starts.at, 1);
    lzw::lzw_place_stretches(&place, 1, first_slots, &found, stretches.at, &by_stretches);
    lzw::lzw_decode_stretches(
        block.at, &place, 1, first_slots, &found, stretches.at, pieces.at, starts.at, 1, &by_stretches
    );
    if (by_stretches != STRIP_WAITING && by_stretches != outcome) fail("stretches have another outcome");
    if (by_stretches == STRIP_WHOLE && memcmp(whole.at, pieces.at, size)) fail("stretches have other bytes");
}

static void run_inflate(const Bytes& strip, u32 size) {
    Exactly<u8> block(strip.size()), image(size);
    memcpy(block.at, strip.data(), strip.size());
    Strip place = {0, (i64)strip.size(), 0, (i64)size};
    u8 outcome;
    inflate::inflate_strips(block.at, &place, 1, image.at, &outcome);
}

static void run_eer(const Bytes& strip, u32 pixels) {
    static const int layouts[][3] = {{7, 2, 2}, {8, 2, 2}, {4, 4, 4}, {14, 1, 1}, {7, 1, 1}};
    const int* layout = layouts[random_below(5)];
    i64 upsampling = 1 + random_below(2), counter_bytes = 1 + random_below(2), width = 8 * upsampling;
    i64 words = (pixels * upsampling * upsampling * counter_bytes + 3) / 4;
    i32 piece_bits = 16 + (i32)random_below(300), pieces = (i32)((8 * (strip.size() + 1)) / piece_bits) + 1;
    i32 phases = layout[0] + layout[1] + layout[2];
    Exactly<u8> block(strip.size()), next_phases(pieces * phases), endings(pieces);
    Exactly<u32> passed(pieces * phases), images(words);
    Exactly<i64> bits(pieces), places(pieces);
    memcpy(block.at, strip.data(), strip.size());
    memset(images.at, 0, 4 * words);
    eer::RawFrame raw = {0, (i64)strip.size(), layout[0], layout[1], layout[2], 0};
    for (host_block.x = 0; host_block.x < pieces * phases; host_block.x++)
        eer::eer_walk_pieces(block.at, &raw, 1, pieces, piece_bits, phases, next_phases.at, passed.at);
    host_block.x = 0;
    eer::eer_chain_pieces(1, pieces, piece_bits, phases, next_phases.at, passed.at, bits.at, places.at);
    for (host_block.x = 0; host_block.x < pieces; host_block.x++)
        eer::eer_count_electrons(
            block.at, &raw, 1, pieces, piece_bits, bits.at, places.at, (i32)upsampling, width, pixels, words,
            (i32)counter_bytes, images.at, endings.at
        );
    host_block.x = 0;
    u8 outcome;
    eer::eer_judge_raw_frames(1, pieces, endings.at, &outcome);
    if (outcome > 1) fail("an outcome that is none");
}

int main(int count, char** words) {
    if (count != 4) return 2;
    FILE* file = fopen(words[1], "rb");
    random_state = strtoull(words[2], 0, 10) * 0x9E3779B97F4A7C15ull + 1;
    u32 head[3], rounds = (u32)atoi(words[3]), done = 0;
    while (file && fread(head, 4, 3, file) == 3) {
        Bytes strip(head[1]);
        if (fread(strip.data(), 1, head[1], file) != head[1]) return 2;
        for (u32 round = 0; round <= rounds; round++, done++) {
            Bytes made = round ? damaged(strip) : strip;
            if (head[0] == 0) run_lzw(made, head[2]);
            if (head[0] == 1) run_inflate(made, head[2]);
            if (head[0] == 2) run_eer(made, head[2]);
        }
    }
    printf("%u strips\n", done);
    return 0;
}
