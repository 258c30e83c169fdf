/* All kernels, as cffi reads them: plain declarations, no directives. Arrays lie row by row without gaps. */

/* warp.c: frames (count, height, width); gain (height, width) or NULL; fields (count, 6, 6): powers of y, then of x;
   weights (count, sums); piece: a power of 2 up to 128; taps (steps, 6); sums (sums, height, width); room: warp_room(count, sums) floats. */
long warp_room(long count, long sum_count);
void warp_and_sum_u8(const uint8_t *frames, long count, long height, long width, const float *gain, const double *field_y,
                     const double *field_x, long piece, const float *weights, long sum_count, const float *taps,
                     long steps, float *sums, float *room, long start, long stop);
void warp_and_sum_i8(const int8_t *frames, long count, long height, long width, const float *gain, const double *field_y,
                     const double *field_x, long piece, const float *weights, long sum_count, const float *taps,
                     long steps, float *sums, float *room, long start, long stop);
void warp_and_sum_u16(const uint16_t *frames, long count, long height, long width, const float *gain,
                      const double *field_y, const double *field_x, long piece, const float *weights, long sum_count,
                      const float *taps, long steps, float *sums, float *room, long start, long stop);
void warp_and_sum_i16(const int16_t *frames, long count, long height, long width, const float *gain,
                      const double *field_y, const double *field_x, long piece, const float *weights, long sum_count,
                      const float *taps, long steps, float *sums, float *room, long start, long stop);
void warp_and_sum_f16(const uint16_t *frames, long count, long height, long width, const float *gain, const double *field_y,
                      const double *field_x, long piece, const float *weights, long sum_count, const float *taps,
                      long steps, float *sums, float *room, long start, long stop);
void warp_and_sum_f32(const float *frames, long count, long height, long width, const float *gain, const double *field_y,
                      const double *field_x, long piece, const float *weights, long sum_count, const float *taps,
                      long steps, float *sums, float *room, long start, long stop);

/* patches.c: planes (patches, patch_floats), for each row (count, 2, kept of the row); kept (height); wanted (wanted_count); shifts (count, wanted_count, 2); rings
   (height, half); extents (height); powers (wanted_count, 2, ring_count); gradient (count, wanted_count, 2); hessian
   (wanted_count, 3); room: patches_room(count, height, half) floats. */
long patches_room(long count, long height, long half);
void measure_patches(const float *planes, long height, long count, const int64_t *kept, long patch_floats, long half,
                     const int64_t *wanted, long wanted_count, const double *shifts, const int16_t *rings, const int64_t *extents, const float *weights,
                     long width, double *powers, long ring_count, double *gradient, double *hessian, float *room,
                     long start, long stop);

/* filtering.c: transform (height, transform_half) and total (rows, half), complex. */
void add_filtered(const float *transform, long transform_half, long height, long width, const float *factors,
                  long factor_count, double last_frequency, float *total, long rows, long half, long start, long stop);

/* ctf_spectra.c: powers (spectra, pixels); bins (pixels), below 0: none; sums (spectra, bin_count). */
void sum_bins(const float *powers, long pixels, const int32_t *bins, double *sums, long bin_count, long start, long stop);

/* squared, aberration (count); columns (count, width); squares (count, extra); products (defoci, width + extra);
   room: 4 * (count + width + extra) numbers. */
void correlate_templates(const double *defoci, const double *squared, const double *aberration, long count,
                         double phase, double wavelength, double frequency_step, const double *columns, long width,
                         const double *squares, long extra, double *products, double *room, long start, long stop);

/* scores (count, sectors); grid (places, 2); cos2, sin2 (sectors); best, chosen (count); room: places * (sectors + 1)
   numbers. */
void search_astigmatism(const double *scores, long count, long sectors, double first, double step, double cost,
                        const double *grid, long places, const double *cos2, const double *sin2, double *best,
                        int64_t *chosen, double *room, long start, long stop);

/* powers (count, height, width); factors (count); total (height, width). */
void rescale_spectra(const float *powers, const float *factors, long count, float *total, long height, long width,
                     long start, long stop);

/* values, weights, rings, cos2, sin2 (count); sums, counts (parts, size). */
void equiphase_sums(const float *values, const float *weights, const float *rings, const float *cos2, const float *sin2,
                    long count, const double *parameters, double wavelength, double aberration, double frequency_step,
                    double *sums, double *counts, long parts, long size, long start, long stop);

/* found (count, envelopes, blocks); norms (count, envelopes); tiles (blocks); centres (blocks, 2); slopes (gains, 2);
   room: 2 * envelopes numbers. */
void add_block_curves(const double *found, long count, long envelopes, long blocks, const double *norms,
                      const double *tiles, const double *centres, const double *slopes, double first, double step,
                      double middle, double *gains, double *room, long start, long stop);

/* ctf_likelihood.c: frequency, cos2, sin2, value, weight (count); basis (count, 10); places (count, 2). */
void write_bases(const float *frequency, double lowest, double highest, float *basis, int32_t *places, long start,
                 long stop);

/* parameters (4), linear (27); equations (parts, 27, 27); right (parts, 27); figures (parts, 2). */
void add_normal_equations(const float *frequency, const float *cos2, const float *sin2, const float *value,
                          const float *weight, const float *basis, const int32_t *places, long count, double wavelength,
                          double aberration, double contrast_phase, double frequency_step, const double *parameters,
                          const double *linear, long free, double clip, double *equations, double *right,
                          double *figures, long parts, long start, long stop);

/* values (blocks, count); tiles (blocks); states (blocks, 3); equations (blocks, 3, 3); right (blocks, 3). */
void add_block_equations(const float *frequency, const float *cos2, const float *sin2, const float *weight,
                         const float *basis, const int32_t *places, long count, const float *values, double wavelength,
                         double aberration, double contrast_phase, double frequency_step, const double *parameters,
                         const double *linear, const double *tiles, const double *states, double *equations,
                         double *right, long start, long stop);

/* measured, fitted (count). */
void draw_model(const float *frequency, const float *cos2, const float *sin2, const float *value, const float *basis,
                const int32_t *places, double wavelength, double aberration, double contrast_phase,
                double frequency_step, const double *parameters, const double *linear, float *measured, float *fitted,
                long start, long stop);

/* lzw.c */
long decode_strips(const uint8_t *block, const int64_t *begins, const int64_t *counts, long strip_count, uint8_t *image,
                   int64_t image_bytes, int64_t strip_bytes);

/* frames.c: frames (count, height, width), total (height, width); frame (…, frame_width), gain of the same shape or NULL,
   binned (…, width); columns: room for width * factor numbers. */
void raw_sum_u8(const uint8_t *frames, long count, long height, long width, float *total, long start, long stop);
void bin_frame_u8(const uint8_t *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);
void raw_sum_i8(const int8_t *frames, long count, long height, long width, float *total, long start, long stop);
void bin_frame_i8(const int8_t *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);
void raw_sum_u16(const uint16_t *frames, long count, long height, long width, float *total, long start, long stop);
void bin_frame_u16(const uint16_t *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);
void raw_sum_i16(const int16_t *frames, long count, long height, long width, float *total, long start, long stop);
void bin_frame_i16(const int16_t *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);
void raw_sum_f16(const uint16_t *frames, long count, long height, long width, float *total, long start, long stop);
void raw_sum_f32(const float *frames, long count, long height, long width, float *total, long start, long stop);
void bin_frame_f16(const uint16_t *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);
void bin_frame_f32(const float *frame, long frame_width, const float *gain, long factor, float *binned, long width,
                  float *columns, long start, long stop);

/* frames (…, height, width); row_ends, column_ends (boxes + 1); sums (…, 3, boxes, boxes). */
void box_sums_u8(const uint8_t *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                 long step, double *sums, long start, long stop);
void box_sums_i8(const int8_t *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                 long step, double *sums, long start, long stop);
void box_sums_u16(const uint16_t *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                  long step, double *sums, long start, long stop);
void box_sums_i16(const int16_t *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                  long step, double *sums, long start, long stop);
void box_sums_f16(const uint16_t *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                  long step, double *sums, long start, long stop);
void box_sums_f32(const float *frames, long height, long width, const int64_t *row_ends, const int64_t *column_ends, long boxes,
                  long step, double *sums, long start, long stop);

/* frames (…, pixels); targets, counts, starts, steps (target_count); sources (target_count, most). */
void replace_pixels_u8(uint8_t *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                       long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                       long stop);
void replace_pixels_i8(int8_t *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                       long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                       long stop);
void replace_pixels_u16(uint16_t *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                        long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                        long stop);
void replace_pixels_i16(int16_t *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                        long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                        long stop);
void replace_pixels_f16(uint16_t *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                        long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                        long stop);
void replace_pixels_f32(float *frames, long pixels, const int64_t *targets, long target_count, const int64_t *sources,
                        long most, const int64_t *counts, const int64_t *starts, const int64_t *steps, long start,
                        long stop);

/* spectra.c: image (height, width); rows, columns: factors along both axes. */
void taper_frame(float *image, long width, double mean, const float *rows, const float *columns, long start, long stop);

/* spectra (count, height, half), total (height, half), rows (count, height), columns (count, half), all complex; rings
   (height, half); by_row (2, height, ring_count); sums: room for 3 * half numbers. */
void sum_spectra(const float *spectra, long count, long height, long half, const float *rows, const float *columns,
                 const int16_t *rings, long width, float *total, double *by_row, long ring_count, float *sums,
                 long start, long stop);

/* The same; ring_weights (rings); by_row (height, count, 5); room: 4 * half + 64 numbers. */
void derivatives(const float *spectra, long count, long height, long half, const float *total, const float *rows,
                 const float *columns, const int16_t *rings, const float *ring_weights, long width, double *by_row,
                 float *room, long start, long stop);

/* binned (…, image_width); tops, lefts (patches); rows (height), columns (width); patches (patches, height, width). */
void cut_patches(const float *binned, long image_width, const int64_t *tops, const int64_t *lefts, const float *rows,
                 const float *columns, float *patches, long height, long width, long start, long stop);

/* transforms (patches, transform_rows, transform_half), complex; planes (patches, patch_floats): for each row (count, 2,
   kept of the row). */
void keep_lowest(const float *transforms, long transform_rows, long transform_half, long t, float *planes,
                 long patch_floats, const int64_t *kept, long rows, long count, long start, long stop);

/* splitting.c: spectra (count, height, half) and fixed (height, half), complex; rows, columns as above; levels (count);
   powers (5, ring_count); by_row (…, 12, ring_count); room: 12 * half numbers. */
void split_spectra(float *spectra, long count, long height, long half, float *fixed, const float *rows,
                   const float *columns, const double *levels, const int16_t *rings, const int64_t *looked_at,
                   const double *powers, long ring_count, long width, int take_off, double *by_row, double *room,
                   long start, long stop);

/* images.c: images (height, width); gain or NULL; good: 1 where a pixel is valid; statistics (6, height);
   line: room for width numbers. */
void believe_in_gain(const float *gain, long width, uint8_t *good, long start, long stop);
void sum_statistics(const float *raw, const float *gain, const uint8_t *good, long height, long width,
                    const int64_t *rows, double *statistics, float *line, long start, long stop);
/* statistics: 6 rows, `stride` numbers apart. */
void image_statistics(const float *image, long width, double *statistics, long stride, long start, long stop);
void add_image(const float *image, float factor, float *total, long width, int is_first, long start, long stop);

/* means (…, columns): those of boxes of factor_y by factor_x pixels. */
void reduce_boxes(const float *image, long height, long width, long factor_y, long factor_x, float *means, long columns,
                  long start, long stop);

/* pixels.c: as in images.c; found: NULL to count; firsts: how many are found in each of `rows`, or the first one's place. */
void list_between(const float *raw, const float *gain, const uint8_t *good, long width, float lowest, float highest,
                  const int64_t *rows, int64_t *firsts, int64_t *found, float *line, long start, long stop);

/* pixels: ascending; firsts (height + 1); noise (2, height); ring: (2 * reach + 1) * width numbers; room:
   surroundings_room(width, reach) numbers. */
long surroundings_room(long width, long reach);
void surroundings(const float *raw, const float *gain, const uint8_t *good, long height, long width, long reach,
                  const int64_t *pixels, const int64_t *firsts, float *around, double *noise, float *ring, double *room,
                  long start, long stop);

/* marks (height, width); counts (height); ring: 9 * (width + 8) numbers. */
void mark_peaks(const float *raw, const float *gain, const uint8_t *good, long height, long width, double slope,
                double floor, uint8_t *marks, int64_t *counts, float *ring, long start, long stop);

/* found (…, (2 * reach + 1)²). */
void cut_windows(const float *raw, const float *gain, const uint8_t *good, long height, long width,
                 const int64_t *pixels, long reach, float *found, long start, long stop);

/* tiles.c: image (…, image_width); window (side); rows (row_count, side); statistics (3, stride); binned: `side` numbers. */
void cut_rows(const float *image, long image_width, long first, long left, long bin_factor, float level, float reach,
              const float *window, long side, float *rows, long row_count, double *statistics, long stride,
              float *binned);

/* transforms (row_count, half), columns (kept, height), complex. */
void keep_columns(const float *transforms, long row_count, long half, long first, float *columns, long kept,
                  long height);

/* columns (count, height), cut (count, side), complex; window (side). */
void cut_columns(const float *columns, long height, long top, const float *window, double factor, float *cut,
                 long count, long side);

/* transforms (count, side), complex; powers (count, places). */
void add_column_powers(const float *transforms, long side, float *powers, long count, long places);
