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
void warp_and_sum_f32(const float *frames, long count, long height, long width, const float *gain, const double *field_y,
                      const double *field_x, long piece, const float *weights, long sum_count, const float *taps,
                      long steps, float *sums, float *room, long start, long stop);
