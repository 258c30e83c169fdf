/* A stand-in for nvCOMP 6 on the host: the functions that cryoferry calls, with the structures and the meanings of
   their arguments as `nvcomp/deflate.h` gives them. It inflates by whoever `stand_in_inflates_by` names, and is stricter
   than nvCOMP: what is undefined there is an error here. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 10, CANNOT_DECOMPRESS = 12, MISALIGNED = 17 };

typedef struct { uint32_t version, cudart_version; } Properties;
typedef struct { size_t input, output, temp; } Alignments;
typedef struct { int backend, sort_before_hw_decompress; char reserved[56]; } Options;
typedef int64_t (*Inflate)(const void* in, size_t in_bytes, void* out, size_t room);

static Inflate inflate_one;
static uint32_t version = 6000;
static size_t calls;
enum { TEMPORARY_BYTES = 64 };

void stand_in_inflates_by(Inflate inflate) { inflate_one = inflate; }
void stand_in_is_version(uint32_t number) { version = number; }
size_t stand_in_calls(void) { return calls; }

int nvcompGetProperties(Properties* properties) {
    properties->version = version;
    properties->cudart_version = 12090;
    return SUCCESS;
}

static int are_usable(Options options) {
    for (size_t i = 0; i < sizeof options.reserved; i++) {
        if (options.reserved[i]) return 0;
    }
    return options.backend >= 0 && options.backend <= 2;
}

int nvcompBatchedDeflateDecompressGetRequiredAlignments(Options options, Alignments* needs) {
    if (!are_usable(options)) return INVALID_VALUE;
    needs->input = 4;
    needs->output = 1;
    needs->temp = 1;
    return SUCCESS;
}

int nvcompBatchedDeflateDecompressGetTempSize(size_t count, size_t most, Options options, size_t* bytes, size_t total,
                                              void* stream) {
    (void)stream;
    if (!are_usable(options) || !count || most > total) return INVALID_VALUE;
    *bytes = TEMPORARY_BYTES;
    return SUCCESS;
}

int nvcompBatchedDeflateDecompressAsync(const void* const* in, const size_t* in_bytes, const size_t* room,
                                        size_t* written, size_t count, void* temporary, size_t temporary_bytes,
                                        void* const* out, Options options, int* statuses, void* stream) {
    (void)stream;
    calls++;
    if (!are_usable(options) || !temporary || temporary_bytes < TEMPORARY_BYTES) return INVALID_VALUE;
    memset(temporary, 0x5A, temporary_bytes);
    for (size_t i = 0; i < count; i++) {
        if ((uintptr_t)in[i] % 4) return MISALIGNED;
        if (!in_bytes[i] || in_bytes[i] > UINT32_MAX || room[i] > UINT32_MAX) return INVALID_VALUE;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t bytes = inflate_one(in[i], in_bytes[i], out[i], room[i]);
        statuses[i] = bytes < 0 ? CANNOT_DECOMPRESS : SUCCESS;
        written[i] = bytes < 0 ? 0 : (size_t)bytes;
    }
    return SUCCESS;
}
