/* One dialect for two compilers: CUDA for the device (NVRTC knows no standard headers), C++ for the host.

   A kernel is written for a block of threads. What stands in EACH_THREAD { ... } is done by every thread of the block,
   `thread` being its number; BARRIER; parts one such piece from the next. On the host a block is one call, in which the
   threads of a piece take turns. So
   - a plain variable declared outside EACH_THREAD must have the same value for all threads (loops over frames may),
   - a value that a thread keeps from one piece to the next is declared PER_THREAD and used as MINE(name),
   - what all threads of a block see is declared SHARED, its size a constant,
   - `continue` ends a thread's part of a piece; `return` outside of a piece ends the whole block.
   Functions marked CORE are plain C. Blocks have one dimension of threads, THREADS of them, a power of 2. */
#ifndef PORTABLE_H
#define PORTABLE_H

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#ifndef THREADS
#define THREADS 256
#endif

#ifdef __CUDACC__

#define CORE static __device__ __forceinline__
#define KERNEL extern "C" __global__ void
#define SHARED __shared__
#define BARRIER __syncthreads()
#define EACH_THREAD for (int thread = threadIdx.x, once = 1; once; once = 0)
#define PER_THREAD(type, name) type name
#define MINE(name) name
#define BLOCK_X ((int)blockIdx.x)
#define BLOCK_Y ((int)blockIdx.y)
#define BLOCK_Z ((int)blockIdx.z)
#define UNROLL _Pragma("unroll")

#else

#include <math.h>
#include <stddef.h>

#define CORE static inline
#define KERNEL extern "C" void
#define BLOCK_X (host_block.x)
#define BLOCK_Y (host_block.y)
#define BLOCK_Z (host_block.z)
#define UNROLL

struct HostBlock { int x, y, z, thread; };
static thread_local HostBlock host_block;

#if defined(THREADS_AHEAD) || defined(THREADS_REAL)
/* Each thread goes on until a barrier before the next one starts, so that what lacks a barrier goes wrong. Who runs a
   block provides `host_barrier`, which lets the other threads come that far, and sets the number of the thread. Or the
   threads are real ones, for ThreadSanitizer, and one block runs at a time. */
static void host_barrier();
#ifdef THREADS_REAL
#define SHARED static
#else
#define SHARED static thread_local
#endif
#define BARRIER host_barrier()
#define EACH_THREAD for (int thread = host_block.thread, once = 1; once; once = 0)
#define PER_THREAD(type, name) type name
#define MINE(name) name
#else
#define SHARED
#define BARRIER ((void)0)
#ifdef THREADS_BACKWARDS /* results must not depend on which thread comes first within a piece */
#define EACH_THREAD for (int thread = THREADS - 1; thread >= 0; thread--)
#else
#define EACH_THREAD for (int thread = 0; thread < THREADS; thread++)
#endif
#define PER_THREAD(type, name) type name[THREADS]
#define MINE(name) name[thread]
#endif

#endif

/* What SHARED `values` (THREADS of them, a power of 2) add up to goes into values[0], always in the same order. */
#define ADD_UP(values)                                                       \
    for (int apart = THREADS / 2; apart > 0; apart /= 2) {                   \
        BARRIER;                                                             \
        EACH_THREAD {                                                        \
            if (thread < apart) values[thread] += values[thread + apart];    \
        }                                                                    \
    }                                                                        \
    BARRIER

struct complex64 { float re, im; };

CORE i32 smaller(i32 a, i32 b) { return a < b ? a : b; }
CORE i32 larger(i32 a, i32 b) { return a > b ? a : b; }

#endif
