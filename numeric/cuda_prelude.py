"""The text below every generated kernel: rows of a thread, tiles of atoms, sums.

`V` holds the same component of the rows that one thread has, `LANES` of them. The threads of a
block lie side by side along the rows: a load of `V` is `LANES` loads that each warp makes as one.
The names are those of the C prelude, so one printer writes expressions for both.

`DIALECT` is what is CUDA C++: types with operators, where memory lies, the names of functions. All
else, `COMMON` and the kernels, is C that holds in other dialects too: a host defines what only a
device knows (`__global__`, `__syncthreads`, ...), and OpenCL C has a dialect of its own.
"""

DIALECT = r"""
typedef long long L;
typedef unsigned long long Bits64;
#define GLOBAL
#define SHARED
#define BUFFERS T *const *
#define BUFFER(k) B[k]
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)
#if REAL_BITS == 64
typedef double T;
#define OF_TYPE(function) function
#define HUGE_EXPONENT 4e307
#define NUMBERS_OF_16_BYTES 2
#else
typedef float T;
#define OF_TYPE(function) function##f
#define HUGE_EXPONENT 8e37f
#define NUMBERS_OF_16_BYTES 4
#endif
#ifndef INFINITY
#if REAL_BITS == 64
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#define NAN __longlong_as_double(0x7ff8000000000000LL)
#else
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#endif
#endif
#ifndef SHARED_MEMORY
#define SHARED_MEMORY(name, numbers) __shared__ alignas(16) T name[numbers]
#endif
#ifndef EXP2_APPROXIMATE
/* Two units of rounding; results below the smallest normal number are zero. */
#define EXP2_APPROXIMATE(result, x) asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x))
#endif
#define INLINE static __device__ __forceinline__
#define OUTLINE static __device__ __noinline__
#define EACH_LANE _Pragma("unroll") for (int l = 0; l < LANES; ++l)

struct V {
  T x[LANES];
  __device__ __forceinline__ T &operator[](int l) { return x[l]; }
  __device__ __forceinline__ const T &operator[](int l) const { return x[l]; }
};
struct Mask {
  bool x[LANES];
  __device__ __forceinline__ bool operator[](int l) const { return x[l]; }
};
struct alignas(16) Sixteen { T x[NUMBERS_OF_16_BYTES]; };

#define ARITHMETIC(sign) \
  INLINE V operator sign(V a, V b) { EACH_LANE a.x[l] = a.x[l] sign b.x[l]; return a; } \
  INLINE V operator sign(V a, T b) { EACH_LANE a.x[l] = a.x[l] sign b; return a; } \
  INLINE V operator sign(T a, V b) { EACH_LANE b.x[l] = a sign b.x[l]; return b; }
ARITHMETIC(+)
ARITHMETIC(-)
ARITHMETIC(*)
ARITHMETIC(/)
INLINE V &operator+=(V &a, V b) { EACH_LANE a.x[l] += b.x[l]; return a; }
INLINE V operator-(V a) { EACH_LANE a.x[l] = -a.x[l]; return a; }

#define COMPARISON(sign) \
  INLINE Mask operator sign(V a, V b) { Mask m; EACH_LANE m.x[l] = a.x[l] sign b.x[l]; return m; } \
  INLINE Mask operator sign(V a, T b) { Mask m; EACH_LANE m.x[l] = a.x[l] sign b; return m; }
COMPARISON(<)
COMPARISON(<=)
COMPARISON(>)
COMPARISON(==)
COMPARISON(!=)
INLINE Mask operator&(Mask a, Mask b) { EACH_LANE a.x[l] = a.x[l] && b.x[l]; return a; }
INLINE Mask operator|(Mask a, Mask b) { EACH_LANE a.x[l] = a.x[l] || b.x[l]; return a; }


/* A square root that is only divided by is one reciprocal square root. */
struct Root {
  V of;
  __device__ __forceinline__ operator V() const {
    V v;
    EACH_LANE v.x[l] = OF_TYPE(sqrt)(of.x[l]);
    return v;
  }
};
INLINE Root vsqrt(V a) { return {a}; }
INLINE V operator/(T a, Root b) {
  EACH_LANE b.of.x[l] = a * OF_TYPE(rsqrt)(b.of.x[l]);
  return b.of;
}
"""

COMMON = r"""
#if REAL_BITS == 64
INLINE double real_sin(double x) { return sin(x); }
INLINE double real_cos(double x) { return cos(x); }
INLINE double real_tan(double x) { return tan(x); }
#else
/* The library's own reduce a large argument in float64. Here x = q pi/2 + r, |r| <= pi/4: up to
   2^15 by three parts of pi/2, beyond by the digits of 2/pi that matter modulo 4 (Payne & Hanek,
   Radian reduction for trigonometric functions, 1983). */
INLINE unsigned digits_of_two_over_pi(int k) {
  const unsigned digits[] = {0x0u, 0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u,
                             0xF534DDC0u, 0xDB629599u, 0x3C439041u, 0xFE5163ABu};
  const int word = (k + 32) >> 5, shift = (k + 32) & 31;
  return shift ? digits[word] << shift | digits[word + 1] >> (32 - shift) : digits[word];
}
OUTLINE float reduce_large(float x, int *quadrant) {
  const int bits = __float_as_int(x), exponent = (bits >> 23) - 150, k = exponent - 2;
  const Bits64 m = (bits & 0x7fffff) | 0x800000;
  const Bits64 turns = (m * digits_of_two_over_pi(k) << 32) +
      m * digits_of_two_over_pi(k + 32) + (m * digits_of_two_over_pi(k + 64) >> 32);
  *quadrant = (int)((turns >> 62) + (turns >> 61 & 1));
  return (float)(L)(turns << 2) * 8.51530395e-20f;
}
INLINE float reduced(float x, int *quadrant) {
  if (x >= 32768.0f) return x < INFINITY ? reduce_large(x, quadrant) : NAN;
  const float q = rintf(x * 0.636619772f);
  *quadrant = (int)q;
  return fmaf(q, -5.39030253e-15f, fmaf(q, -7.54978942e-8f, fmaf(q, -1.57079625f, x)));
}
INLINE float sine(float r) {
  const float z = r * r;
  const float p = fmaf(fmaf(-1.95152959e-4f, z, 8.33216087e-3f), z, -1.66666546e-1f);
  return fmaf(p * z, r, r);
}
INLINE float cosine(float r) {
  const float z = r * r;
  const float p = fmaf(fmaf(2.44331571e-5f, z, -1.38873163e-3f), z, 4.16666456e-2f);
  return fmaf(p, z * z, fmaf(-0.5f, z, 1.0f));
}
INLINE float real_sin(float x) {
  int q = 0;
  const float r = reduced(fabsf(x), &q), value = q & 1 ? cosine(r) : sine(r);
  return (q & 2) != 0 != (x < 0.0f) ? -value : value;
}
INLINE float real_cos(float x) {
  int q = 0;
  const float r = reduced(fabsf(x), &q), value = q & 1 ? sine(r) : cosine(r);
  return (q + 1) & 2 ? -value : value;
}
INLINE float real_tan(float x) {
  int q = 0;
  const float r = reduced(fabsf(x), &q), value = q & 1 ? -cosine(r) / sine(r) : sine(r) / cosine(r);
  return x < 0.0f ? -value : value;
}
#endif

INLINE V splat(T a) { V v; EACH_LANE v[l] = a; return v; }
#define SPLAT(a) splat((T)(a))
INLINE bool any_lane(Mask m) { bool found = false; EACH_LANE found = found || m[l]; return found; }

INLINE V vselect(Mask m, V a, V b) { EACH_LANE a[l] = m[l] ? a[l] : b[l]; return a; }
INLINE V vmax(V a, V b) { return vselect(a > b, a, b); }
INLINE V vmin(V a, V b) { return vselect(a < b, a, b); }
INLINE V vlargest(V a, V b) { return vselect((a > b) | (a != a), a, b); }
INLINE V vabs(V a) { return vselect(a < (T)0, -a, a); }
INLINE V vone(Mask m) { return vselect(m, splat(1), splat(0)); }

#define LANEWISE(name, function) \
  INLINE V name(V a) { EACH_LANE a[l] = function(a[l]); return a; }
#define LANEWISE2(name, function) \
  INLINE V name(V a, V b) { EACH_LANE a[l] = function(a[l], b[l]); return a; }
LANEWISE(vexp, OF_TYPE(exp))
LANEWISE(vlog, OF_TYPE(log))
LANEWISE(vlog1p, OF_TYPE(log1p))
LANEWISE(vsin, real_sin)
LANEWISE(vcos, real_cos)
LANEWISE(vtan, real_tan)
LANEWISE(vasin, OF_TYPE(asin))
LANEWISE(vacos, OF_TYPE(acos))
LANEWISE(vatan, OF_TYPE(atan))
LANEWISE(vsinh, OF_TYPE(sinh))
LANEWISE(vcosh, OF_TYPE(cosh))
LANEWISE(vtanh, OF_TYPE(tanh))
LANEWISE(vasinh, OF_TYPE(asinh))
LANEWISE(vacosh, OF_TYPE(acosh))
LANEWISE(vatanh, OF_TYPE(atanh))
LANEWISE(verf, OF_TYPE(erf))
LANEWISE(verfc, OF_TYPE(erfc))
LANEWISE(vfloor, OF_TYPE(floor))
LANEWISE(vceil, OF_TYPE(ceil))
LANEWISE2(vpow, OF_TYPE(pow))
LANEWISE2(vatan2, OF_TYPE(atan2))
INLINE V vsigmoid(V u) { return (T)1 / ((T)1 + vexp(-u)); }
INLINE V vsoftplus(V u) { return vmax(u, splat(0)) + vlog1p(vexp(-vabs(u))); }
INLINE V vsign(V a) { return vone(a > (T)0) - vone(a < (T)0); }
INLINE V vheaviside(V a) { return (vsign(a) + (T)1) / (T)2; }

/* The weights exp(s - top) of a Gibbs law. In float32 they are powers of two with the exponent
   s/log 2 - t, where t is top/log 2 rounded: what the rounding of t does is the same for all
   weights of a law, and stays so because a change of scale takes the difference of rounded ones. */
#define LOG2_E 1.44269504f  /* products with it are rounded, never part of a fused operation */
#if REAL_BITS == 64
INLINE V law_weight(V s, V top) { return vexp(s - top); }
INLINE V law_scale(V before, V top) { return vexp(before - top); }
#else
INLINE V law_weight(V s, V top) {
  EACH_LANE EXP2_APPROXIMATE(s[l], fmaf(s[l], LOG2_E, -__fmul_rn(top[l], LOG2_E)));
  return s;
}
INLINE V law_scale(V before, V top) {
  EACH_LANE {
    const T from = __fmul_rn(before[l], LOG2_E), to = __fmul_rn(top[l], LOG2_E);
    EXP2_APPROXIMATE(before[l], from - to);
  }
  return before;
}
#endif
INLINE V larger(V s, V top) { EACH_LANE s[l] = OF_TYPE(fmax)(s[l], top[l]); return s; }

/* Rows in memory: the rows of a thread are `apart` from each other. */
INLINE V load(const GLOBAL T *p, int apart) { V v; EACH_LANE v[l] = p[l * apart]; return v; }
INLINE void store(GLOBAL T *p, V v, int apart) { EACH_LANE p[l * apart] = v[l]; }
#define LOAD(p) load(p, ROW_THREADS)
#define STORE(p, v) store(p, v, ROW_THREADS)

/* A tile into shared memory, 16 bytes at a time: both sides start at a multiple of 16 bytes and
   what lies behind the tile is there to be read. */
INLINE void copy_tile(SHARED T *to, const GLOBAL T *from, int numbers) {
  const int pieces = (numbers + NUMBERS_OF_16_BYTES - 1) / NUMBERS_OF_16_BYTES;
  const GLOBAL Sixteen *source = (const GLOBAL Sixteen *)from;
  SHARED Sixteen *target = (SHARED Sixteen *)to;
  for (int k = threadIdx.x; k < pieces; k += THREADS) target[k] = source[k];
}

/* Long sums are kept in W: a sum of tiles in T, the same with what its roundings lost (TwoSum), or
   in float64. */
#if ACCUMULATE == 64
typedef struct { double x[LANES]; } W;
INLINE void wide_add(W *w, V v) { EACH_LANE w->x[l] += (double)v[l]; }
INLINE void wide_scale(W *w, V v) { EACH_LANE w->x[l] *= (double)v[l]; }
INLINE V narrow(W w) { V v; EACH_LANE v[l] = (T)w.x[l]; return v; }
#elif ACCUMULATE == 2
typedef struct { T x[LANES], lost[LANES]; } W;
INLINE void wide_add(W *w, V v) {
  EACH_LANE {
    const T sum = w->x[l] + v[l], part = sum - w->x[l];
    w->lost[l] += (w->x[l] - (sum - part)) + (v[l] - part);
    w->x[l] = sum;
  }
}
INLINE void wide_scale(W *w, V v) { EACH_LANE { w->x[l] *= v[l]; w->lost[l] *= v[l]; } }
INLINE V narrow(W w) { V v; EACH_LANE v[l] = w.x[l] + w.lost[l]; return v; }
#else
typedef struct { T x[LANES]; } W;
INLINE void wide_add(W *w, V v) { EACH_LANE w->x[l] += v[l]; }
INLINE void wide_scale(W *w, V v) { EACH_LANE w->x[l] *= v[l]; }
INLINE V narrow(W w) { V v; EACH_LANE v[l] = w.x[l]; return v; }
#endif

/* What the groups of a block have found for the same rows, in the order of the groups: each thread
   of these rows gets the same bits. */
INLINE V over_groups(V v, SHARED T *shared, bool largest, int row_threads, int split) {
  const int lane = threadIdx.x % row_threads, group = threadIdx.x / row_threads;
  __syncthreads();
  EACH_LANE shared[(group * LANES + l) * row_threads + lane] = v[l];
  __syncthreads();
  EACH_LANE {
    T found = shared[l * row_threads + lane];
    for (L g = 1; g < split; ++g) {
      const T other = shared[(g * LANES + l) * row_threads + lane];
      found = !largest ? found + other : other > found || other != other ? other : found;
    }
    v[l] = found;
  }
  return v;
}
"""

PRELUDE = DIALECT + COMMON
