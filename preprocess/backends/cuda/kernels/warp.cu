/* Frames with their displacements undone, added to weighted sums, all sums in one pass over the frames.

   Interpolation is separable: six taps in y, then six in x, the same for a row of pixels that share a displacement.
   A block makes one tile of the sums. It brings the part of a frame that the tile needs into shared memory, so that
   each pixel is read, converted and multiplied by the gain once; where the displacement varies too much within the
   tile for that, pixels are read one by one, with the same arithmetic. */
#include "portable.h"

#ifndef FRAME
#define FRAME u8 /* number type of the frames */
#endif
#ifndef SUMS
#define SUMS 7 /* sums that are accumulated */
#endif
#ifndef POWERS
#define POWERS 6 /* powers of y, and of x, in the field */
#endif
#ifndef TILE_COLUMNS
#define TILE_COLUMNS 64
#define TILE_ROWS 16
#endif
#define TAPS 6
#define ROOM 3 /* rows and columns of a frame in shared memory beyond what one displacement for all the tile needs */
#define WITH_TAPS (TILE_COLUMNS + TAPS - 1)
#define HELD_ROWS (TILE_ROWS + TAPS - 1 + ROOM)
#define HELD_COLUMNS (WITH_TAPS + ROOM)
#define FRAMES_AT_ONCE (THREADS / TILE_ROWS) /* for which displacements are found together */
#define PIXELS (TILE_ROWS * TILE_COLUMNS / THREADS) /* of each thread */

struct Movie {
    const FRAME* frames;
    const float* gain;
    i32 has_gain, height, width;
};

/* Where a row of a tile comes from: the first of its six rows, the column that its first pixel's first tap takes. */
struct Source {
    i32 y, x;
    float in_y[TAPS], in_x[TAPS];
};

/* The rows and columns of a frame that a tile needs. */
struct Needed {
    i32 top, left, fits;
};

CORE i32 mirrored(i32 index, i32 size) {
    i32 period = 2 * size;
    index %= period;
    if (index < 0) index += period;
    return index < size ? index : period - 1 - index;
}

CORE double displacement(const double* c, double y, double x) {
    double value = 0.0;
    for (int j = POWERS - 1; j >= 0; j--) {
        double in_x = 0.0;
        for (int i = POWERS - 1; i >= 0; i--) in_x = in_x * x + c[j * POWERS + i];
        value = value * y + in_x;
    }
    return value;
}

CORE float pixel_at(const struct Movie* movie, i32 frame, i32 y, i32 x) {
    size_t place = (size_t)y * movie->width + x;
    float pixel = (float)movie->frames[(size_t)frame * movie->height * movie->width + place];
    return movie->has_gain ? pixel * movie->gain[place] : pixel;
}

/* The source of the pixels of row y whose first is x; `piece`: columns that share the displacement at their middle. */
CORE struct Source find_source(
    const struct Movie* movie, const double* of_y, const double* of_x, const float* taps, i32 steps, i32 piece,
    i32 y, i32 x
) {
    struct Source source;
    i32 start = x / piece * piece;
    i32 columns = smaller(piece, movie->width - start);
    double at_y = (double)y / movie->height - 0.5;
    double at_x = (start + 0.5 * columns) / movie->width - 0.5;
    double source_y = y + displacement(of_y, at_y, at_x);
    double shift_x = displacement(of_x, at_y, at_x);
    i32 iy = (i32)floor(source_y), ix = (i32)floor(shift_x);
    const float* in_y = taps + TAPS * smaller((i32)((source_y - iy) * steps), steps - 1);
    const float* in_x = taps + TAPS * smaller((i32)((shift_x - ix) * steps), steps - 1);
    UNROLL
    for (int i = 0; i < TAPS; i++) {
        source.in_y[i] = in_y[i];
        source.in_x[i] = in_x[i];
    }
    source.y = iy - 2;
    source.x = x + ix - 2;
    return source;
}

/* One pixel, `right` columns from the first of its row, read tap by tap. */
CORE float read_directly(const struct Movie* movie, i32 frame, const struct Source* source, i32 right) {
    float value = 0.0f;
    UNROLL
    for (int i = 0; i < TAPS; i++) {
        i32 x = mirrored(source->x + right + i, movie->width);
        float column = 0.0f;
        UNROLL
        for (int j = 0; j < TAPS; j++)
            column += source->in_y[j] * pixel_at(movie, frame, mirrored(source->y + j, movie->height), x);
        value += source->in_x[i] * column;
    }
    return value;
}

CORE struct Needed find_needed(const struct Source* sources) {
    i32 top = sources[0].y, bottom = top, left = sources[0].x, right = left;
    for (int y = 1; y < TILE_ROWS; y++) {
        top = smaller(top, sources[y].y);
        bottom = larger(bottom, sources[y].y);
        left = smaller(left, sources[y].x);
        right = larger(right, sources[y].x);
    }
    struct Needed needed = {top, left, bottom - top <= HELD_ROWS - TAPS && right - left <= ROOM};
    return needed;
}

/* A thread's part of bringing the pixels that a tile needs into `held`, mirrored beyond the frame's edges. */
CORE void hold(
    const struct Movie* movie, i32 frame, const struct Needed* needed, float (*held)[HELD_COLUMNS], i32 thread
) {
    i32 inside = needed->top >= 0 && needed->top + HELD_ROWS <= movie->height && needed->left >= 0 &&
                 needed->left + HELD_COLUMNS <= movie->width;
    for (i32 i = thread; i < HELD_ROWS * HELD_COLUMNS; i += THREADS) {
        i32 y = needed->top + i / HELD_COLUMNS, x = needed->left + i % HELD_COLUMNS;
        if (!inside) {
            y = mirrored(y, movie->height);
            x = mirrored(x, movie->width);
        }
        held[i / HELD_COLUMNS][i % HELD_COLUMNS] = pixel_at(movie, frame, y, x);
    }
}

CORE float interpolated_in_y(const struct Source* source, const float* first) {
    float value = 0.0f;
    UNROLL
    for (int j = 0; j < TAPS; j++) value += source->in_y[j] * first[j * HELD_COLUMNS];
    return value;
}

CORE float interpolated_in_x(const struct Source* source, const float* first) {
    float value = 0.0f;
    UNROLL
    for (int i = 0; i < TAPS; i++) value += source->in_x[i] * first[i];
    return value;
}

/* frames (count, height, width); gain (height, width); field_y, field_x (count, POWERS, POWERS), by power of y and of
   x; weights (count, SUMS); taps (steps, TAPS); sums: where each of the SUMS images (height, width) is. Pieces are as
   wide as a tile, or some tiles. Blocks: x and y over tiles. */
KERNEL warp_tiles(
    const FRAME* frames, const float* gain, i32 has_gain, const double* field_y, const double* field_x,
    const float* weights, const float* taps, float* const* sums,
    i32 count, i32 height, i32 width, i32 steps, i32 piece
) {
    SHARED float held[HELD_ROWS][HELD_COLUMNS];
    SHARED float in_y[TILE_ROWS][WITH_TAPS]; /* interpolated in y; where nothing is held, in both */
    SHARED struct Source sources[FRAMES_AT_ONCE][TILE_ROWS];
    SHARED struct Needed all_needed[FRAMES_AT_ONCE];
    SHARED float weight[FRAMES_AT_ONCE][SUMS];
    PER_THREAD(float, total)[PIXELS][SUMS];
    struct Movie movie = {frames, gain, has_gain, height, width};
    i32 first_y = BLOCK_Y * TILE_ROWS, first_x = BLOCK_X * TILE_COLUMNS;
    EACH_THREAD {
        UNROLL
        for (int p = 0; p < PIXELS; p++)
            UNROLL
            for (int r = 0; r < SUMS; r++) MINE(total)[p][r] = 0.0f;
    }
    for (i32 first = 0; first < count; first += FRAMES_AT_ONCE) {
        i32 together = smaller(FRAMES_AT_ONCE, count - first);
        BARRIER;
        EACH_THREAD {
            i32 n = thread / TILE_ROWS, y = thread % TILE_ROWS;
            size_t of_frame = (size_t)POWERS * POWERS * (first + n);
            if (n >= together) continue;
            sources[n][y] =
                find_source(&movie, field_y + of_frame, field_x + of_frame, taps, steps, piece, first_y + y, first_x);
            for (i32 r = y; r < SUMS; r += TILE_ROWS) weight[n][r] = weights[(size_t)(first + n) * SUMS + r];
        }
        BARRIER;
        EACH_THREAD {
            if (thread < together) all_needed[thread] = find_needed(sources[thread]);
        }
        BARRIER;
        for (i32 n = 0; n < together; n++) {
            struct Needed needed = all_needed[n];
            if (needed.fits) {
                EACH_THREAD { hold(&movie, first + n, &needed, held, thread); }
            }
            BARRIER;
            EACH_THREAD {
                for (i32 i = thread; i < TILE_ROWS * WITH_TAPS; i += THREADS) {
                    i32 y = i / WITH_TAPS, x = i % WITH_TAPS;
                    const struct Source* source = &sources[n][y];
                    if (needed.fits)
                        in_y[y][x] =
                            interpolated_in_y(source, &held[source->y - needed.top][x + source->x - needed.left]);
                    else if (x < TILE_COLUMNS)
                        in_y[y][x] = read_directly(&movie, first + n, source, x);
                }
            }
            BARRIER;
            EACH_THREAD {
                i32 right = thread % TILE_COLUMNS;
                UNROLL
                for (int p = 0; p < PIXELS; p++) {
                    i32 y = thread / TILE_COLUMNS + p * (THREADS / TILE_COLUMNS);
                    float value = in_y[y][right];
                    if (needed.fits) value = interpolated_in_x(&sources[n][y], &in_y[y][right]);
                    UNROLL
                    for (int r = 0; r < SUMS; r++) MINE(total)[p][r] += weight[n][r] * value;
                }
            }
        }
    }
    EACH_THREAD {
        i32 x = first_x + thread % TILE_COLUMNS;
        UNROLL
        for (int p = 0; p < PIXELS; p++) {
            i32 y = first_y + thread / TILE_COLUMNS + p * (THREADS / TILE_COLUMNS);
            if (x < width && y < height)
                UNROLL
                for (int r = 0; r < SUMS; r++) sums[r][(size_t)y * width + x] = MINE(total)[p][r];
        }
    }
}

/* The same for pieces narrower than a tile. Blocks: x over columns, y over rows. */
KERNEL warp_pixels(
    const FRAME* frames, const float* gain, i32 has_gain, const double* field_y, const double* field_x,
    const float* weights, const float* taps, float* const* sums,
    i32 count, i32 height, i32 width, i32 steps, i32 piece
) {
    struct Movie movie = {frames, gain, has_gain, height, width};
    EACH_THREAD {
        i32 x = BLOCK_X * THREADS + thread;
        float total[SUMS];
        if (x >= width) continue;
        UNROLL
        for (int r = 0; r < SUMS; r++) total[r] = 0.0f;
        for (i32 t = 0; t < count; t++) {
            size_t of_frame = (size_t)POWERS * POWERS * t;
            struct Source source =
                find_source(&movie, field_y + of_frame, field_x + of_frame, taps, steps, piece, BLOCK_Y, x);
            float value = read_directly(&movie, t, &source, 0);
            UNROLL
            for (int r = 0; r < SUMS; r++) total[r] += weights[(size_t)t * SUMS + r] * value;
        }
        UNROLL
        for (int r = 0; r < SUMS; r++) sums[r][(size_t)BLOCK_Y * width + x] = total[r];
    }
}
