/* What the machine can do: multiply-adds in registers, and reads of memory that is read again and again.
 *
 * usage: limits THREADS avx2|avx512
 * Reads lines "BYTES MILLISECONDS" and answers each with a line of JSON: GFLOP/s of fused multiply-adds and GB/s of
 * plain reads of BYTES in all, divided among the threads; the best of the samples taken in about that time. */

#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_THREADS = 64, CHAINS = 12, HUGE_PAGE = 1 << 21 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* CHAINS independent chains: more than latency times throughput of any core so far. */
__attribute__((target("avx2,fma"))) static float fma_avx2(size_t count) {
  __m256 sum[CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  for (int j = 0; j < CHAINS; ++j) sum[j] = _mm256_set1_ps((float)j);
  for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; ++j) sum[j] = _mm256_fmadd_ps(sum[j], a, b);
    __asm__ volatile("" : "+x"(a)); /* keeps the loop */
  }
  for (int j = 1; j < CHAINS; ++j) sum[0] = _mm256_add_ps(sum[0], sum[j]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) static float fma_avx512(size_t count) {
  __m512 sum[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  for (int j = 0; j < CHAINS; ++j) sum[j] = _mm512_set1_ps((float)j);
  for (size_t i = 0; i < count; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; ++j) sum[j] = _mm512_fmadd_ps(sum[j], a, b);
    __asm__ volatile("" : "+v"(a));
  }
  for (int j = 1; j < CHAINS; ++j) sum[0] = _mm512_add_ps(sum[0], sum[j]);
  return _mm512_cvtss_f32(sum[0]);
}

/* Reads `count` values, a multiple of 128, `repeats` times; or costs a cycle, so that only the loads limit. */
__attribute__((target("avx2"))) static int read_avx2(const float *p, size_t count, size_t repeats) {
  __m256i all[8];
  for (int j = 0; j < 8; ++j) all[j] = _mm256_setzero_si256();
  for (size_t r = 0; r < repeats; ++r) {
    for (size_t i = 0; i < count; i += 64) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j)
        all[j] = _mm256_or_si256(all[j], _mm256_load_si256((const __m256i *)(p + i + 8 * (size_t)j)));
    }
    __asm__ volatile("" ::: "memory"); /* what was read may have changed */
  }
  for (int j = 1; j < 8; ++j) all[0] = _mm256_or_si256(all[0], all[j]);
  return _mm256_extract_epi32(all[0], 0);
}

__attribute__((target("avx512f"))) static int read_avx512(const float *p, size_t count, size_t repeats) {
  __m512i all[8];
  for (int j = 0; j < 8; ++j) all[j] = _mm512_setzero_si512();
  for (size_t r = 0; r < repeats; ++r) {
    for (size_t i = 0; i < count; i += 128) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) all[j] = _mm512_or_si512(all[j], _mm512_load_si512(p + i + 16 * (size_t)j));
    }
    __asm__ volatile("" ::: "memory");
  }
  for (int j = 1; j < 8; ++j) all[0] = _mm512_or_si512(all[0], all[j]);
  return _mm_cvtsi128_si32(_mm512_castsi512_si128(all[0]));
}

static int wide, threads;
static pthread_barrier_t barrier;
static volatile float sink[MAX_THREADS * 16];
static struct {
  double until;
  size_t values;
  int reads;
} job; /* a share's values */
static double best;
static int over;

/* One thread's part: samples of all threads together, until the time is over. Thread 0 keeps the best. */
static void *work(void *argument) {
  int me = (int)(size_t)argument;
  float *memory = NULL;
  size_t repeats = 20000;
  if (job.reads) {
    size_t bytes = (4 * job.values + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    memory = aligned_alloc(HUGE_PAGE, bytes);
    if (!memory) abort();
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, 4 * job.values);
    repeats = 1 + 4000000 / job.values;
  }
  for (;;) {
    double start, took, amount;
    pthread_barrier_wait(&barrier);
    start = now();
    if (job.reads) {
      int bits = wide ? read_avx512(memory, job.values, repeats) : read_avx2(memory, job.values, repeats);
      sink[16 * me] = (float)bits;
      amount = 4.0 * (double)job.values * (double)repeats;
    } else {
      sink[16 * me] = wide ? fma_avx512(repeats) : fma_avx2(repeats);
      amount = 2.0 * CHAINS * (wide ? 16 : 8) * (double)repeats;
    }
    pthread_barrier_wait(&barrier);
    took = now() - start;
    if (me == 0) {
      double rate = amount * threads / took * 1e-9;
      if (rate > best) best = rate;
      over = now() > job.until;
    }
    pthread_barrier_wait(&barrier);
    if (over) break;
  }
  free(memory);
  return NULL;
}

static double measure(int reads, size_t bytes, double seconds) {
  pthread_t other[MAX_THREADS];
  job.reads = reads;
  job.values = (bytes / 4 / (size_t)threads + 127) / 128 * 128;
  if (job.values == 0) job.values = 128;
  job.until = now() + seconds;
  best = 0;
  for (int i = 1; i < threads; ++i) {
    if (pthread_create(&other[i], NULL, work, (void *)(size_t)i)) abort();
  }
  work((void *)0);
  for (int i = 1; i < threads; ++i) pthread_join(other[i], NULL);
  return best;
}

int main(int argc, char **argv) {
  unsigned long bytes;
  double milliseconds;
  if (argc != 3) return 2;
  threads = atoi(argv[1]);
  if (threads < 1 || threads > MAX_THREADS) return 2;
  wide = strcmp(argv[2], "avx512") == 0;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  while (scanf("%lu %lf", &bytes, &milliseconds) == 2) {
    double gflops = measure(0, 0, milliseconds * 5e-4), gbytes = measure(1, bytes, milliseconds * 5e-4);
    printf("{\"gflops\": %.2f, \"gbytes\": %.2f}\n", gflops, gbytes);
    fflush(stdout);
  }
  return 0;
}
