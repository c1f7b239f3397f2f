"""The C text below every generated kernel: vectors of rows, loads, and functions of numbers.

`V` holds the same component of several rows, one a lane. It is a vector extension of GCC and Clang;
a choice between two numbers is one instruction of AVX where that is there. `exp` and `log` reduce
their argument and sum a polynomial, for `exp` that of least relative error (Remez): their relative
error stays below eight units of rounding, which the rounding bound allows for. No flag of fast
arithmetic is used, which would flush subnormal numbers in the whole process.
"""

PRELUDE = r"""
#include <math.h>
#include <string.h>

#if REAL_BITS == 64
typedef double T;
typedef long long I;
#else
typedef float T;
typedef int I;
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef T V __attribute__((vector_size(VECTOR_BYTES)));
typedef I VI __attribute__((vector_size(VECTOR_BYTES)));
typedef unsigned long long VU64 __attribute__((vector_size(VECTOR_BYTES)));
typedef T VU __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));

#define LANES ((long)(VECTOR_BYTES / sizeof(T)))
#define SPLAT(x) ((T)(x) - (V){0})
#define LOAD(p) ((V) * (const VU *)(p))
#define STORE(p, v) (*(VU *)(p) = (VU)(v))
#define INLINE static inline __attribute__((always_inline))

/* The max(a, b) of AVX is a > b ? a : b, so b where one is NaN: the same as the choice below. */
#if VECTOR_BYTES == 32 && REAL_BITS == 64
#define vselect(mask, a, b) ((V)__builtin_ia32_blendvpd256((b), (a), (V)(mask)))
#define vmax(a, b) ((V)__builtin_ia32_maxpd256((a), (b)))
#define vmin(a, b) ((V)__builtin_ia32_minpd256((a), (b)))
#define ANY(mask) __builtin_ia32_movmskpd256((V)(mask))
#elif VECTOR_BYTES == 32
#define vselect(mask, a, b) ((V)__builtin_ia32_blendvps256((b), (a), (V)(mask)))
#define vmax(a, b) ((V)__builtin_ia32_maxps256((a), (b)))
#define vmin(a, b) ((V)__builtin_ia32_minps256((a), (b)))
#define ANY(mask) __builtin_ia32_movmskps256((V)(mask))
#else
INLINE V vselect(VI mask, V a, V b) { return (V)((mask & (VI)a) | (~mask & (VI)b)); }
INLINE V vmax(V a, V b) { return vselect(a > b, a, b); }
INLINE V vmin(V a, V b) { return vselect(a < b, a, b); }
INLINE int ANY(VI mask) {
  I any = 0;
  for (int l = 0; l < LANES; ++l) any |= mask[l];
  return any != 0;
}
#endif
/* The larger number, and NaN where one is NaN. */
INLINE V vlargest(V a, V b) { return vselect((a > b) | (a != a), a, b); }
INLINE V vabs(V a) { return vselect(a < 0, -a, a); }
INLINE V vone(VI mask) { return vselect(mask, SPLAT(1), SPLAT(0)); }

/* Load a vector once for several uses, where the compiler would load it again for each. */
#if defined(__AVX__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define IN_REGISTER(v)
#endif

/* Ask for n numbers, which may lie beyond the end of an array, in lines of 64 bytes. */
INLINE void FETCH(const T *p, long n) {
  for (long k = 0; k < n; k += 64 / (long)sizeof(T)) __builtin_prefetch(p + k);
}

/* Functions that are rare: lane by lane through the C library. */
#if REAL_BITS == 64
#define OF_TYPE(function) function
#else
#define OF_TYPE(function) function##f
#endif
#define LANEWISE(name, function) \
  INLINE V name(V a) { \
    for (int l = 0; l < LANES; ++l) a[l] = OF_TYPE(function)(a[l]); \
    return a; \
  }
#define LANEWISE2(name, function) \
  INLINE V name(V a, V b) { \
    for (int l = 0; l < LANES; ++l) a[l] = OF_TYPE(function)(a[l], b[l]); \
    return a; \
  }
LANEWISE(vsqrt, sqrt)
LANEWISE(vsin, sin)
LANEWISE(vcos, cos)
LANEWISE(vtan, tan)
LANEWISE(vasin, asin)
LANEWISE(vacos, acos)
LANEWISE(vatan, atan)
LANEWISE(vsinh, sinh)
LANEWISE(vcosh, cosh)
LANEWISE(vtanh, tanh)
LANEWISE(vasinh, asinh)
LANEWISE(vacosh, acosh)
LANEWISE(vatanh, atanh)
LANEWISE(verf, erf)
LANEWISE(verfc, erfc)
LANEWISE(vfloor, floor)
LANEWISE(vceil, ceil)
LANEWISE2(vpow_by_lane, pow)
LANEWISE2(vatan2, atan2)

/* 1 / sqrt(x): the estimate y of AVX and one step of Newton, y / 2 (3 - x y y), within five units.
   Where x is no positive normal number the estimate is right: infinite at zero (and at subnormal
   numbers, which it takes for zero), zero at infinity, NaN below zero. There x y y is NaN or
   infinite, and the maximum, which otherwise changes nothing, leaves a finite factor. */
INLINE V vrsqrt(V x) {
#if VECTOR_BYTES == 32 && REAL_BITS == 32
  const V y = (V)__builtin_ia32_rsqrtps256(x);
  return (0.5f * y) * vmax(3 - (x * y) * y, SPLAT(1.99f));
#else
  return 1 / vsqrt(x);
#endif
}

/* 1 / sqrt(x) of a normal number or more, for the atoms in turn. In double precision the root and
   the division keep their unit busy for longer than all that is done for a pair, so every second
   atom goes another way, by multiply-adds: halving the exponent in the bits leaves y with
   1.37 < x y y < 1.56, a cubic (minimax) corrects it to 5.2e-7, and with the rest e = 1 - x y y
   two terms of y (1 - e)^(-1/2) = y (1 + e/2 + 3 e^2/8 + ...) to three units. Infinity becomes zero
   by the mask and NaN stays. */
INLINE V vrsqrt_of(V x, const int odd) {
#if REAL_BITS == 64 && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
  if (odd) {
    V y = (V)(0x5feb000000000000LL - (VI)((VU64)x >> 1));
    V h = x * y;
    V t = h * y;
    V p = -0x1.529edebe3b2e9p-4 * t + 0x1.04228bee73161p-1;
    p = p * t - 0x1.3d044c62bdfa1p+0;
    p = p * t + 0x1.cf53049249fc6p+0;
    y = y * p;
    h = h * p;
    V e = 1 - h * y;
    y = y + (y * e) * (0.375 * e + 0.5);
    return (V)((VI)y & ~(x == INFINITY));
  }
#endif
  return vrsqrt(x);
}

/* exp(x) = 2^n exp(r) with n the nearest integer to x / log 2, so |r| <= 0.35. Adding 1.5 2^52
   (1.5 2^23) leaves n in the low bits, and n enters the exponent of the result as an integer. */
#if REAL_BITS == 64
#define MAGIC 6755399441055744.0
#define MANTISSA 52
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_LOW -708.3964
#define EXP_HIGH 709.782712893384
#define EXP2_LOW -1023.0
#define HUGE_EXPONENT 4e307
#define TINY 2.2250738585072014e-308
#define TINY_SCALE 18014398509481984.0
#define TINY_SHIFT 54
static const T log_series[] = {
  2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3};
static const T exp2_series[] = {
  7.0372795305828035197e-9, 1.0208537904552163897e-7, 1.321566283184610283e-6,
  1.5252658116561384328e-5, 1.5403529961135955451e-4, 1.3333558228561475528e-3,
  9.618129108034588692e-3, 5.5504108664458833193e-2, 0.24022650695908767799,
  0.69314718055994977507, 1.0};
static const T exp_series[] = {
  2.7488445634087891376e-7, 2.7639768851680762266e-6, 2.4801917685527053229e-5,
  1.9841171382828360882e-4, 1.38888884991367993e-3, 8.3333333846668584204e-3,
  4.1666666668426038278e-2, 0.1666666666655773825, 0.49999999999997286963,
  1.0000000000000064428, 1.0};
#else
#define MAGIC 12582912.0f
#define MANTISSA 23
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define EXP_LOW -87.3365f
#define EXP_HIGH 88.722839f
#define EXP2_LOW -127.0f
#define HUGE_EXPONENT 8e37f
#define TINY 1.17549435e-38f
#define TINY_SCALE 33554432.0f
#define TINY_SHIFT 25
static const T log_series[] = {2.0f / 11, 2.0f / 9, 2.0f / 7, 2.0f / 5, 2.0f / 3};
static const T exp2_series[] = {
  1.3269521e-3f, 9.671291e-3f, 5.550711e-2f, 0.24022247f, 0.693147f, 1.0f};
static const T exp_series[] = {
  1.3836844215002260012e-3f, 8.3748173043580198269e-3f, 4.1668225681185093668e-2f,
  0.16666420152179632979f, 0.49999992078964044328f, 1.0000000363270782904f, 1.0f};
#endif
#define LOG2E ((T)1.44269504088896340736)
#define LN2 ((T)0.69314718055994530942)
#define EXP2_TERMS ((int)(sizeof(exp2_series) / sizeof(T)))
#define EXP_TERMS ((int)(sizeof(exp_series) / sizeof(T)))
#define LOG_TERMS ((int)(sizeof(log_series) / sizeof(T)))

INLINE V exp_reduced(V x, V *shifted) {
  *shifted = x * (T)1.44269504088896340736 + MAGIC;
  V n = *shifted - MAGIC;
#if REAL_BITS == 32 && defined(__FMA__)
  V r = x - n * 0.69314718056f;  /* a single rounding: log 2 in float is off by 0.03 units an n */
#else
  V r = x - n * LN2_HIGH;
  r = r - n * LN2_LOW;
#endif
  V p = SPLAT(exp_series[0]);
  #pragma GCC unroll 16
  for (int k = 1; k < EXP_TERMS; ++k) p = p * r + exp_series[k];
  return p;
}

/* 2^x for x <= 0, the weights of atoms: with n the nearest integer to x, 2^n p(x - n). From
   2^EXP2_LOW on they are zero, since p(0) is exactly one; a little above they are subnormal. The
   maximum leaves NaN, and then its low bits are zero. `count` vectors take each step together, so
   that none waits for its own last result, and a constant is loaded once for all of them: two loads
   a cycle would otherwise be as slow as the arithmetic. */
INLINE void vexp2_nonpositive_of(V *x, const int count) {
  V shifted[4], r[4], p[4], k = SPLAT(EXP2_LOW);
  if (count > 1) IN_REGISTER(k);
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) x[u] = vmax(k, x[u]);
  k = SPLAT(MAGIC);
  if (count > 1) IN_REGISTER(k);
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) shifted[u] = x[u] + k;
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) r[u] = shifted[u] - k;
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) r[u] = x[u] - r[u];
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) p[u] = SPLAT(exp2_series[0]);
  #pragma GCC unroll 16
  for (int term = 1; term < EXP2_TERMS; ++term) {
    k = SPLAT(exp2_series[term]);
    if (count > 1) IN_REGISTER(k);
    #pragma GCC unroll 4
    for (int u = 0; u < count; ++u) p[u] = p[u] * r[u] + k;
  }
  #pragma GCC unroll 4
  for (int u = 0; u < count; ++u) x[u] = (V)((VI)p[u] + ((VI)shifted[u] << MANTISSA));
}
INLINE V vexp2_nonpositive(V x) {
  vexp2_nonpositive_of(&x, 1);
  return x;
}

/* The same for every x, in two halves of n, since 2^n may overflow where the result does not. */
INLINE V vexp(V x) {
  V shifted;
  V p = exp_reduced(vmin(vmax(x, SPLAT(EXP_LOW)), SPLAT(EXP_HIGH)), &shifted);
  VI n = (VI)shifted - (VI)SPLAT(MAGIC), half = n >> 1;
  V scaled = (V)((VI)p + (half << MANTISSA)) * (V)((VI)SPLAT(1) + ((n - half) << MANTISSA));
  scaled = (V)((VI)scaled & ~(x < EXP_LOW));
  scaled = vselect(x > EXP_HIGH, SPLAT(INFINITY), scaled);
  return vselect(x == x, scaled, x);
}

/* log(2^k m) = k log 2 + log m with m between sqrt(1/2) and sqrt(2); with s = (m - 1)/(m + 1),
   log m = 2 (s + s^3/3 + s^5/5 + ...), where |s| <= 0.1716. */
INLINE V vlog(V x) {
  VI tiny = x < TINY;
  V y = vselect(tiny, x * TINY_SCALE, x);
  VI bits = (VI)y - (VI)SPLAT(0.70710678118654752440);
  VI k = bits >> MANTISSA;
  V m = (V)((VI)y - (k << MANTISSA));
  V f = m - 1, s = f / (m + 1), z = s * s;
  V p = SPLAT(log_series[0]);
  #pragma GCC unroll 16
  for (int i = 1; i < LOG_TERMS; ++i) p = p * z + log_series[i];
  V n = (V)(k + (VI)SPLAT(MAGIC)) - MAGIC - vselect(tiny, SPLAT(TINY_SHIFT), SPLAT(0));
  /* 2 s = f - s f, so log m = f - s (f - z p): near one nothing cancels. */
  V r = f - s * (f - z * p);
  V value = n * LN2_HIGH + (r + n * LN2_LOW);
  value = vselect(x == 0, SPLAT(-INFINITY), value);
  value = vselect(x < 0, SPLAT(NAN), value);
  value = vselect(x == INFINITY, x, value);
  return vselect(x == x, value, x);
}

/* a^b by exp(b log a), which asks for positive a; other bases go to the library. */
INLINE V vpow(V a, V b) {
  return ANY(~(a > 0)) ? vpow_by_lane(a, b) : vexp(b * vlog(a));
}

INLINE V vsigmoid(V u) { return 1 / (1 + vexp(-u)); }
INLINE V vsoftplus(V u) {
  V e = vexp(-vabs(u)), w = 1 + e;
  /* log(1 + e) as log(w) e / (w - 1): the rounding of w cancels. */
  return vmax(u, SPLAT(0)) + vselect(w == 1, e, vlog(w) * (e / (w - 1)));
}
INLINE V vsign(V a) { return vone(a > 0) - vone(a < 0); }
INLINE V vheaviside(V a) { return (vsign(a) + 1) / 2; }
"""
