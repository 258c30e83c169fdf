"""CUDA source of the GPU's one kernel of its own, compiled by CuPy for each type of frame."""

from __future__ import annotations

from preprocess.alignment.field import MOST_DEGREE

MOST_SUMS = 16
"""Sums that one launch accumulates; more take several launches."""

WARP_AND_SUM = f"""
#define MOST_SUMS {MOST_SUMS}
#define POWERS {MOST_DEGREE + 1}

__device__ int mirrored(int index, int size) {{
    int period = 2 * size;
    index %= period;
    if (index < 0) index += period;
    return index < size ? index : period - 1 - index;
}}

__device__ double displacement(const double* c, double y, double x) {{
    double value = 0.0;
    for (int j = POWERS - 1; j >= 0; j--) {{
        double in_x = 0.0;
        for (int i = POWERS - 1; i >= 0; i--) in_x = in_x * x + c[j * POWERS + i];
        value = value * y + in_x;
    }}
    return value;
}}

/* One thread a pixel: every frame's value there, displacement undone, added to each sum in the order of frames.
   frames (count, height, width); gain (height, width); field_y, field_x (count, POWERS, POWERS),
   by power of y and of x; weights (count, sum_count);
   taps (steps, 6); sums (sum_count, height, width). */
extern "C" __global__ void warp_and_sum(
    const FRAME* frames, const float* gain, int has_gain, const double* field_y, const double* field_x,
    const float* weights, const float* taps, float* sums,
    int count, int height, int width, int sum_count, int steps, int piece
) {{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    int block = x / piece * piece;
    int columns = min(piece, width - block);
    double at_y = (double)y / height - 0.5;
    double at_x = (block + 0.5 * columns) / width - 0.5;
    float total[MOST_SUMS];
    for (int r = 0; r < sum_count; r++) total[r] = 0.0f;
    for (int t = 0; t < count; t++) {{
        double source_y = y + displacement(field_y + POWERS * POWERS * t, at_y, at_x);
        double shift_x = displacement(field_x + POWERS * POWERS * t, at_y, at_x);
        int iy = (int)floor(source_y), ix = (int)floor(shift_x);
        const float* w = taps + 6 * min((int)((source_y - iy) * steps), steps - 1);
        const float* v = taps + 6 * min((int)((shift_x - ix) * steps), steps - 1);
        int from_x[6];
        for (int i = 0; i < 6; i++) from_x[i] = mirrored(x + ix - 2 + i, width);
        float value = 0.0f;
        for (int j = 0; j < 6; j++) {{
            size_t row = (size_t)mirrored(iy - 2 + j, height) * width;
            const FRAME* line = frames + (size_t)t * height * width + row;
            float along = 0.0f;
            for (int i = 0; i < 6; i++) {{
                float pixel = (float)line[from_x[i]];
                if (has_gain) pixel *= gain[row + from_x[i]];
                along += v[i] * pixel;
            }}
            value += w[j] * along;
        }}
        for (int r = 0; r < sum_count; r++) total[r] += weights[(size_t)t * sum_count + r] * value;
    }}
    for (int r = 0; r < sum_count; r++) sums[((size_t)r * height + y) * width + x] = total[r];
}}
"""

FRAME_TYPES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "uint16": "unsigned short",
    "int16": "short",
    "uint32": "unsigned int",
    "int32": "int",
    "float32": "float",
}
"""The kernel's name for each number type of frames."""
