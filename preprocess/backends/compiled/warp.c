/* Adds frames, displacements undone, into weighted sums: warp_and_sum of cpu/frame_kernels.py.

   Work goes by tiles of 16 rows and up to 128 columns: a block of a frame is converted to float32, each row of the tile is
   interpolated along y, then along x, and added to the tile's sums, which stay in the cache over all frames. Every row has
   its own displacement, which `piece` columns share, as in numba's kernel. */
#include "common.h"
#include "half.h"
#include "kernels.h"

enum {
  TILE_ROWS = 16,
  MOST_COLUMNS = 128,
  VECTORS = MOST_COLUMNS / LANES,
  PIECES_AT_ONCE = 4, /* pieces of a row in a tile, or as many as 16 columns are */
  TAPS = 6,
  POWERS = 6,
  ROOM = 8, /* by how many px displacements may differ within a tile; beyond that they are clipped */
  BLOCK_ROWS = TILE_ROWS + TAPS - 1 + ROOM,
  BLOCK_COLUMNS = MOST_COLUMNS + 2 * LANES,
  ROWS_AT_ONCE = 4,             /* interpolated along y before they are along x, so that stores have reached the cache */
  LINE = LANES * (LANES + 1), /* room for a row's pieces, each with its further taps */
};

/* Polynomials of a frame's displacements in some rows by powers of x, and the displacements of one piece in each row. */
typedef struct {
  double y[POWERS][TILE_ROWS], x[POWERS][TILE_ROWS];
} RowFields;
typedef struct {
  double y[TILE_ROWS], x[TILE_ROWS];
} Shifts;

typedef float Block[BLOCK_ROWS][BLOCK_COLUMNS];
typedef void Fill(const void *frame, const float *gain, long height, long width, long top, long left, long rows,
                  long columns, Block block);

/* What is the same for all tiles. */
typedef struct {
  long height, width, piece, sum_count, steps;
  const float *taps;
} Warp;

/* Where a tile lies, and in how many columns at once displacements are the same. */
typedef struct {
  long top, left, rows, columns;
} Tile;

INLINE void along_rows(const double *field, long top, long height, double (*of_x)[TILE_ROWS]) {
  for (int p = 0; p < POWERS; p++)
    for (int j = 0; j < TILE_ROWS; j++) {
      double y = (top + j) / (double)height - 0.5, value = 0;
      for (int q = POWERS - 1; q >= 0; q--) value = value * y + field[q * POWERS + p];
      of_x[p][j] = value;
    }
}

INLINE void at_column(const double (*of_x)[TILE_ROWS], double x, double *shifts) {
  for (int j = 0; j < TILE_ROWS; j++) {
    double value = 0;
    for (int p = POWERS - 1; p >= 0; p--) value = value * x + of_x[p][j];
    shifts[j] = value;
  }
}

INLINE void widen(const double *shifts, long rows, double *low, double *high) {
  for (long j = 0; j < rows; j++) {
    if (shifts[j] < *low) *low = shifts[j];
    if (shifts[j] > *high) *high = shifts[j];
  }
}

/* The taps of a displacement's fraction of a pixel. */
INLINE const float *taps_at(const Warp *warp, double place) {
  long step = (long)((place - floor(place)) * warp->steps);
  return warp->taps + TAPS * at_most(step, warp->steps - 1);
}

INLINE V16 six(const float *w, const float *p, long stride) {
  const float *q = p + 3 * stride;
  return ((w[0] * *(const V16 *)p + w[1] * *(const V16 *)(p + stride)) + w[2] * *(const V16 *)(p + 2 * stride)) +
         ((w[3] * *(const V16 *)q + w[4] * *(const V16 *)(q + stride)) + w[5] * *(const V16 *)(q + 2 * stride));
}

/* Add 16 pixels to the sums of a vector of the tile. */
INLINE void add_weighted(float *kept, const float *weights, long sum_count, V16 value) {
  for (long r = 0; r < sum_count; r++) *(V16 *)(kept + LANES * r) += weights[r] * value;
}

/* Interpolate rows of the tile from a block whose first row and column are these, and add them to the sums. */
INLINE void add_tile(const Warp *warp, const Tile *tile, const Shifts *shifts, const Block block, long first_row,
                     long first_column, const float *weights, float *kept) {
  float lines[ROWS_AT_ONCE][LINE + LANES], values[2 * LANES * (VECTORS + 1)];
  long piece = warp->piece, room = (piece + TAPS - 1 + LANES - 1) / LANES * LANES, stride = VECTORS * LANES * warp->sum_count;
  for (long from = 0; from < tile->rows; from += ROWS_AT_ONCE) {
    long rows = at_most(ROWS_AT_ONCE, tile->rows - from);
    for (long j = 0; j < rows; j++)
      for (long left = 0, i = 0; left < tile->columns; left += piece, i++) {
        double place = tile->top + from + j + shifts[i].y[from + j];
        long y = at_least(0, at_most((long)floor(place) - 2 - first_row, BLOCK_ROWS - TAPS));
        long x = at_least(0, at_most((long)floor(shifts[i].x[from + j]) - 2 + tile->left - first_column, ROOM));
        const float *w = taps_at(warp, place), *source = block[y] + left + x;
        float taps[TAPS] = {w[0], w[1], w[2], w[3], w[4], w[5]};
        for (long k = 0; k < room; k += LANES) *(V16 *)(lines[j] + i * room + k) = six(taps, source + k, BLOCK_COLUMNS);
      }
    for (long j = 0; j < rows; j++) {
      float *sums = kept + (from + j) * stride;
      for (long left = 0, i = 0; left < tile->columns; left += piece, i++) {
        const float *v = taps_at(warp, shifts[i].x[from + j]), *line = lines[j] + i * room;
        float taps[TAPS] = {v[0], v[1], v[2], v[3], v[4], v[5]};
        if (piece >= LANES)
          for (long k = 0; k < piece && left + k < tile->columns; k += LANES)
            add_weighted(sums + (left + k) * warp->sum_count, weights, warp->sum_count, six(taps, line + k, 1));
        else *(V16 *)(values + left) = six(taps, line, 1); /* what is too much is written over by the next piece */
      }
      if (piece < LANES)
        for (long k = 0; k < tile->columns; k += LANES)
          add_weighted(sums + k * warp->sum_count, weights, warp->sum_count, *(const V16 *)(values + k));
    }
  }
}

/* Add one frame's part of a tile to the tile's sums. */
INLINE void warp_frame(Fill fill, const Warp *warp, const Tile *tile, const void *frame, const float *gain,
                       const RowFields *fields, const float *weights, Block block, float *kept) {
  Shifts shifts[LANES];
  double low_y = INFINITY, high_y = -INFINITY, low_x = INFINITY, high_x = -INFINITY;
  for (long left = 0, i = 0; left < tile->columns; left += warp->piece, i++) {
    double middle = tile->left + left + 0.5 * at_most(warp->piece, tile->columns - left);
    at_column(fields->y, middle / warp->width - 0.5, shifts[i].y);
    at_column(fields->x, middle / warp->width - 0.5, shifts[i].x);
    widen(shifts[i].y, tile->rows, &low_y, &high_y);
    widen(shifts[i].x, tile->rows, &low_x, &high_x);
  }
  long row = tile->top + (long)floor(low_y) - 2, column = tile->left + (long)floor(low_x) - 2;
  long rows = tile->rows + TAPS - 1 + at_most((long)floor(high_y) - (long)floor(low_y), ROOM);
  long columns = tile->columns + TAPS - 1 + at_most((long)floor(high_x) - (long)floor(low_x), ROOM);
  fill(frame, gain, warp->height, warp->width, row, column, rows, columns, block);
  add_tile(warp, tile, shifts, block, row, column, weights, kept);
}

/* Load a tile's part of the sums into the cache, or store it. */
INLINE void copy_sums(const Warp *warp, const Tile *tile, float *kept, float *sums, int store) {
  for (long r = 0; r < warp->sum_count; r++)
    for (long j = 0; j < tile->rows; j++)
      for (long k = 0; k < tile->columns; k += LANES) {
        float *outside = sums + (r * warp->height + tile->top + j) * warp->width + tile->left + k;
        float *inside = kept + ((j * VECTORS * LANES + k) * warp->sum_count + LANES * r);
        size_t bytes = sizeof(float) * at_most(LANES, tile->columns - k);
        if (store) memcpy(outside, inside, bytes);
        else memcpy(inside, outside, bytes);
      }
}

INLINE void warp_rows(Fill fill, const void *frames, size_t pixel_bytes, long count, const float *gain,
                      const double *field_y, const double *field_x, const Warp *warp, const float *weights, float *sums,
                      float *room, long start, long stop) {
  Block block __attribute__((aligned(64)));
  float *kept = on_cache_line(room);
  RowFields *fields = (RowFields *)on_cache_line(kept + TILE_ROWS * MOST_COLUMNS * warp->sum_count);
  long wide = at_least(LANES, at_most(MOST_COLUMNS, PIECES_AT_ONCE * warp->piece));
  memset(block, 0, sizeof block);
  for (long top = start; top < stop; top += TILE_ROWS) {
    for (long t = 0; t < count; t++) {
      along_rows(field_y + t * POWERS * POWERS, top, warp->height, fields[t].y);
      along_rows(field_x + t * POWERS * POWERS, top, warp->height, fields[t].x);
    }
    for (long left = 0; left < warp->width; left += wide) {
      Tile tile = {top, left, at_most(TILE_ROWS, stop - top), at_most(wide, warp->width - left)};
      copy_sums(warp, &tile, kept, sums, 0);
      for (long t = 0; t < count; t++)
        warp_frame(fill, warp, &tile, (const char *)frames + t * warp->height * warp->width * pixel_bytes, gain,
                   fields + t, weights + t * warp->sum_count, block, kept);
      copy_sums(warp, &tile, kept, sums, 1);
    }
  }
}

long warp_room(long count, long sum_count) {
  return TILE_ROWS * MOST_COLUMNS * sum_count + count * (long)(sizeof(RowFields) / sizeof(float)) + 2 * LANES;
}

/* 16 pixels as float32, from an address. */
#define CONVERTED(PIXELS, p) __builtin_convertvector(*(const PIXELS *)(p), V16)
#define HALVES(PIXELS, p) half_values(p)

/* Convert a block of a frame to float32, gain applied, mirrored beyond the frame's edges. Up to 15 columns more are
   converted where all of them lie inside. */
#define WARP(NAME, PIXEL, LOAD, VALUE)                                                                                   \
  typedef PIXEL Pixels_##NAME __attribute__((vector_size(LANES * sizeof(PIXEL)), aligned(sizeof(PIXEL)), may_alias));    \
  INLINE void fill_##NAME(const void *frame, const float *gain, long height, long width, long top, long left, long rows, \
                          long columns, Block block) {                                                                   \
    int inside = left >= 0 && left + columns + LANES <= width;                                                           \
    for (long j = 0; j < rows; j++) {                                                                                    \
      long row = mirrored(top + j, height) * width;                                                                      \
      const PIXEL *line = (const PIXEL *)frame + row;                                                                    \
      const float *sensitivity = gain ? gain + row : gain;                                                               \
      if (inside)                                                                                                        \
        for (long i = 0; i < columns; i += LANES) {                                                                      \
          V16 value = LOAD(Pixels_##NAME, line + left + i);                                                              \
          if (gain) value *= *(const V16 *)(sensitivity + left + i);                                                     \
          *(V16 *)(block[j] + i) = value;                                                                                \
        }                                                                                                                \
      else                                                                                                               \
        for (long i = 0; i < columns; i++) {                                                                             \
          long x = mirrored(left + i, width);                                                                            \
          block[j][i] = gain ? VALUE(line[x]) * sensitivity[x] : VALUE(line[x]);                                         \
        }                                                                                                                \
    }                                                                                                                    \
  }                                                                                                                      \
  CLONES void warp_and_sum_##NAME(const PIXEL *frames, long count, long height, long width, const float *gain,           \
                                  const double *field_y, const double *field_x, long piece, const float *weights,        \
                                  long sum_count, const float *taps, long steps, float *sums, float *room, long start,   \
                                  long stop) {                                                                           \
    Warp warp = {height, width, piece, sum_count, steps, taps};                                                          \
    warp_rows(fill_##NAME, frames, sizeof(PIXEL), count, gain, field_y, field_x, &warp, weights, sums, room, start, stop);\
  }

WARP(u8, uint8_t, CONVERTED, (float))
WARP(i8, int8_t, CONVERTED, (float))
WARP(u16, uint16_t, CONVERTED, (float))
WARP(i16, int16_t, CONVERTED, (float))
WARP(f16, uint16_t, HALVES, half_value)
WARP(f32, float, CONVERTED, (float))
