/* What is fixed to the camera told from what moves, component by component of the spectra of whole frames. */
#include "portable.h"

#ifndef RINGS
#define RINGS 256 /* rings of spatial frequency up to Nyquist; components beyond are of ring RINGS */
#endif
#define FIGURES 12
#define AT_ONCE 128 /* components of a row that a block holds at a time */

struct Complex { double re, im; };

CORE double power_of(struct Complex a) { return a.re * a.re + a.im * a.im; }

/* n a - g b; with sign -1, g is conjugated first. */
CORE struct Complex difference(double n, struct Complex a, struct Complex b, struct Complex g, double sign) {
    struct Complex result = {
        n * a.re - (g.re * b.re - sign * g.im * b.im), n * a.im - (g.re * b.im + sign * g.im * b.re)
    };
    return result;
}

/* spectra (frames, height, half) without `fixed` (height, half); along_y (frames, height), along_x (frames, half): the
   factors that undo displacements; levels (frames); rings (height, half), ascending in a row; powers (5, RINGS): those
   of `PartPowers`; parts (strips, FIGURES, RINGS): the sums of `Spectra.split` in strips of rows, every
   `every`-th one. Rings from `end` on are left out. Blocks: x over strips. */
KERNEL split_spectra(
    complex64* spectra, complex64* fixed, const complex64* along_y, const complex64* along_x, const double* levels,
    const i16* rings, const double* powers, double* parts,
    i32 frames, i32 height, i32 width, i32 rows, i32 every, i32 end, i32 take_off, i32 strip_rows
) {
    SHARED double of_component[FIGURES][AT_ONCE];
    SHARED i16 ring_of[AT_ONCE];
    SHARED double by_ring[FIGURES][RINGS];
    i32 half = width / 2 + 1, first_late = (frames - 1) / 2;
    i32 top = BLOCK_X * strip_rows, stop = smaller(top + strip_rows, rows);
    double n = 0.0;
    for (i32 t = 0; t < frames; t++) n += levels[t] * levels[t];
    EACH_THREAD {
        for (i32 i = thread; i < FIGURES * RINGS; i += THREADS) by_ring[i / RINGS][i % RINGS] = 0.0;
    }
    for (i32 row = top; row < stop; row++) {
        i32 y = row * every;
        for (i32 first = 0; first < half; first += AT_ONCE) {
            i32 count = smaller(AT_ONCE, half - first);
            BARRIER;
            EACH_THREAD {
                for (i32 i = thread; i < count; i += THREADS) {
                    i32 x = first + i;
                    size_t place = (size_t)y * half + x;
                    i32 ring = rings[place];
                    ring_of[i] = (i16)ring;
                    for (i32 figure = 0; figure < FIGURES; figure++) of_component[figure][i] = 0.0;
                    if (ring >= end || powers[ring] == 0.0) continue;
                    struct Complex a = {0.0, 0.0}, b = {0.0, 0.0}, c = {0.0, 0.0}, g = {0.0, 0.0};
                    struct Complex before = {0.0, 0.0};
                    double power = 0.0, change = 0.0;
                    for (i32 t = 0; t < frames; t++) {
                        complex64 py = along_y[(size_t)t * height + y], px = along_x[(size_t)t * half + x];
                        complex64 seen = spectra[((size_t)t * height + y) * half + x];
                        double level = levels[t];
                        struct Complex factor = {
                            (double)py.re * px.re - (double)py.im * px.im, (double)py.re * px.im + (double)py.im * px.re
                        };
                        struct Complex value = {seen.re + level * fixed[place].re, seen.im + level * fixed[place].im};
                        struct Complex moved = {
                            level * (value.re * factor.re - value.im * factor.im),
                            level * (value.re * factor.im + value.im * factor.re)
                        };
                        a.re += level * value.re;
                        a.im += level * value.im;
                        b.re += moved.re;
                        b.im += moved.im;
                        c.re += moved.re * factor.re - moved.im * factor.im;
                        c.im += moved.re * factor.im + moved.im * factor.re;
                        g.re += level * level * factor.re;
                        g.im += level * level * factor.im;
                        power += power_of(value);
                        struct Complex scaled = {seen.re / level, seen.im / level};
                        struct Complex step = {scaled.re - before.re, scaled.im - before.im};
                        if (t > first_late) change += power_of(step);
                        before = scaled;
                    }
                    double noise = powers[ring], of_fixed = powers[RINGS + ring], of_moving = powers[2 * RINGS + ring];
                    double sum_power = power_of(a), shared = power_of(g), taken = powers[4 * RINGS + ring];
                    i32 outstanding = sum_power > powers[3 * RINGS + ring];
                    if (outstanding) {
                        of_fixed = sum_power / (n * n);
                        taken = 1.0;
                        if (2 * shared < n * n) of_moving = of_fixed;
                    }
                    double apart = n * n - shared > 0.0 ? n * n - shared : 0.0, least = 1e-9 * noise;
                    double fixed_ridge = noise / (of_fixed > least ? of_fixed : least);
                    double moving_ridge = noise / (of_moving > least ? of_moving : least);
                    double determinant = (n + fixed_ridge) * (n + moving_ridge) - shared;
                    struct Complex still = difference(n + moving_ridge, a, b, g, -1.0);
                    struct Complex moving = difference(n + fixed_ridge, b, a, g, 1.0);
                    still.re /= determinant;
                    still.im /= determinant;
                    double fit = a.re * still.re + a.im * still.im;
                    fit = (fit + (b.re * moving.re + b.im * moving.im) / determinant) / noise;
                    double twice = x == 0 || 2 * x == width ? 1.0 : 2.0;
                    of_component[11][i] = twice / 2 * (fit - log(determinant / (fixed_ridge * moving_ridge)));
                    if (!outstanding) {
                        of_component[0][i] = twice;
                        of_component[1][i] = twice * power;
                        of_component[2][i] = twice * change / (2 * (frames - 1 - first_late));
                        of_component[3][i] = twice * sum_power;
                        of_component[4][i] = twice * power_of(b);
                        of_component[5][i] = twice * power_of(difference(n, a, b, g, -1.0));
                        of_component[6][i] = twice * power_of(difference(n, b, a, g, 1.0));
                        of_component[7][i] = twice * shared;
                        of_component[8][i] = twice * apart;
                        of_component[9][i] = twice * apart * apart;
                        of_component[10][i] = twice * power_of(difference(n, c, b, g, 1.0));
                    }
                    if (!take_off) continue;
                    still.re *= taken;
                    still.im *= taken;
                    complex64 off = {(float)(fixed[place].re - still.re), (float)(fixed[place].im - still.im)};
                    for (i32 t = 0; t < frames; t++) {
                        complex64* spectrum = spectra + ((size_t)t * height + y) * half + x;
                        spectrum->re += (float)levels[t] * off.re;
                        spectrum->im += (float)levels[t] * off.im;
                    }
                    fixed[place].re = (float)still.re;
                    fixed[place].im = (float)still.im;
                }
            }
            BARRIER;
            EACH_THREAD {
                for (i32 figure = thread; figure < FIGURES; figure += THREADS)
                    for (i32 i = 0; i < count && ring_of[i] < end; i++)
                        by_ring[figure][ring_of[i]] += of_component[figure][i];
            }
        }
    }
    BARRIER;
    EACH_THREAD {
        for (i32 i = thread; i < FIGURES * RINGS; i += THREADS)
            parts[(size_t)BLOCK_X * FIGURES * RINGS + i] = by_ring[i / RINGS][i % RINGS];
    }
}
