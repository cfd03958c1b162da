/* What watch.h says. SIMDRNN_WATCH chooses: "calm" makes each call once, and the program leaves out those that are to be
 * refused; "failing" does what it can to make them fail. Both print a digest of all results: it must be the same. */

#define _GNU_SOURCE
#include "watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 1 << 26, PLACES = 4096 };

extern char __data_start[], _end[], __executable_start[], etext[];
extern void *__libc_stack_end;

/* Functions that may end the process when memory runs out, as the header says, and why: what they rest on aborts. Whether
 * a try does is seen in a child first. */
static const struct {
  const char *name, *why;
  int only_there; /* what it allocates depends on what other threads do: here it may be another allocation that fails */
} may_end[] = {
    {"srnn_pool_create", "std::thread starts threads", 1},
    {"srnn_rnn_load_safetensors", "serde_json reads the file's header", 0},
    {"srnn_optimizer_load_safetensors", "serde_json reads the file's header", 0},
    {"srnn_tensor_file_open", "serde_json reads the file's header", 0},
    {"srnn_tensor_file_open_memory", "serde_json reads the file's header", 0},
    {"srnn_dense_load_safetensors", "serde_json reads the file's header", 0},
    {"srnn_embedding_load_safetensors", "serde_json reads the file's header", 0},
    {"srnn_classifier_open_tensors", "serde_json reads the metadata", 0},
    {"srnn_classifier_open", "serde_json reads the file's header", 0},
    {"srnn_trainer_open", "serde_json reads the file's header", 0},
    {"srnn_vectors_open", "flate2 unpacks gzip", 0},
};

__thread watched_call call;
static __thread int is_main;

/* All that changes here while a call runs lies in one place, which is not the program's. */
static struct {
  int calm, folding, threads, has_pools;
  long tries, ended, refusals, wrong;
  uint64_t bytes, digest, results;
  size_t kept;
  char room[ROOM], lines[BUFSIZ];
  struct {
    char *p;
    size_t size;
  } heap[PLACES];
  size_t places, lost;
  long live; /* allocations that were not freed yet */
} own;

static void allocated(void *p, size_t size, const void *by);
static void freed(const void *p);
#define LIVE own.live
#define ALLOCATED(p, size, by) allocated(p, size, by)
#define FREED(p) freed(p)
#include "allocator.h"

static void complain(const char *what) {
  ++own.wrong;
  printf("%s: %s; '%s', allocation %ld failed\n", call.name, what, call.error.message, call.next);
}

__attribute__((constructor)) static void start(void) {
  const char *how = getenv("SIMDRNN_WATCH");
  is_main = 1;
  setvbuf(stdout, own.lines, _IOLBF, sizeof own.lines); /* what stdio would allocate is no leak */
  own.calm = how == NULL || strcmp(how, "calm") == 0;
  own.digest = 1469598103934665603u;
}

int watch_is_calm(void) {
  (void)allocated, (void)freed; /* nobody calls them where a sanitizer allocates */
  return own.calm;
}

/* ---- The program's own memory on the heap: what it allocated itself. ---- */

static void allocated(void *p, size_t size, const void *by) {
  if (!is_main || p == NULL || (const char *)by < __executable_start || (const char *)by >= etext || call.depth > 0) return;
  if (own.places == PLACES) {
    ++own.lost;
    return;
  }
  own.heap[own.places].p = p;
  own.heap[own.places++].size = size;
}

static void freed(const void *p) {
  size_t i;
  if (!is_main || p == NULL) return;
  for (i = own.places; i > 0; --i)
    if (own.heap[i - 1].p == p) {
      own.heap[i - 1] = own.heap[--own.places];
      return;
    }
}

/* ---- Snapshots. ---- */

/* Copies `size` bytes, or compares them with the copy. */
static void visit(const char *p, size_t size, int compare) {
  char *copy = own.room + own.kept;
  size_t i;
  if (size > ROOM - own.kept) {
    ++own.lost;
    return;
  }
  own.kept += size;
  if (!compare) {
    memcpy(copy, p, size);
    return;
  }
  own.bytes += size;
  if (memcmp(copy, p, size) == 0) return;
  for (i = 0; copy[i] == p[i]; ++i) continue;
  complain("the failed call wrote to the program's memory");
  printf("  byte %lu of %lu\n", (unsigned long)i, (unsigned long)size);
}

static void visit_all(int compare) {
  const char *mine = (const char *)&own, *end = mine + sizeof own;
  size_t i;
  own.kept = 0;
  visit(__data_start, (size_t)(mine - __data_start), compare);
  visit(end, (size_t)(_end - end), compare);
  visit(call.frame, (size_t)((const char *)__libc_stack_end - (const char *)call.frame), compare);
  for (i = 0; i < own.places; ++i) visit(own.heap[i].p, own.heap[i].size, compare);
}

/* Other threads of the program write as they like. */
static int sees_all(void) { return is_main && __atomic_load_n(&own.threads, __ATOMIC_ACQUIRE) == 0; }

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *p);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *p);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *p) {
  __atomic_add_fetch(&own.threads, 1, __ATOMIC_ACQ_REL);
  return __real_pthread_create(t, a, f, p);
}

int __real_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result) {
  int status = __real_pthread_join(t, result);
  __atomic_sub_fetch(&own.threads, 1, __ATOMIC_ACQ_REL);
  return status;
}

/* ---- One call. ---- */

/* Whether the call is made as it is: from here, or by a program that fails allocations itself. */
int watch_passes(void) { return call.depth > 0 || until_failure >= 0; }

void watch_begin(const char *name, const void *frame) {
  memset(&call, 0, sizeof call);
  call.name = name;
  if (strcmp(name, "srnn_pool_create") == 0) own.has_pools = 1;
  call.frame = frame;
  call.next = own.calm || !CAN_FAIL_ALLOCATIONS ? -1 : 0;
}

enum { HAD_FAILED = 64 };

/* 1 in a child that makes the try in the process's place; it exits with watch_verdict. */
int watch_rehearses(void) {
  size_t i;
  int status = 0, verdict;
  pid_t child;
  call.skip = 0;
  for (i = 0; i < sizeof may_end / sizeof *may_end; ++i)
    if (strcmp(may_end[i].name, call.name) == 0) break;
  if (call.next < 0 || i == sizeof may_end / sizeof *may_end) return 0;
  if (!is_main) { /* where it may be cancelled while it waits */
    call.next = -1;
    return 0;
  }
  fflush(stdout);
  child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(127);
    call.failed_before = failed;
    until_failure = call.next;
    return 1;
  }
  if (child < 0 || waitpid(child, &status, 0) != child) complain("no child");
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
    call.skip = 1;
    ++own.ended;
    return 0;
  }
  verdict = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (verdict < 0 || verdict >= 2 * HAD_FAILED) complain("the call ended its process");
  if (!may_end[i].only_there) return 0;
  if (verdict == HAD_FAILED + SRNN_ERROR_OUT_OF_MEMORY) {
    call.skip = 1;
    ++own.tries;
  } else {
    if (verdict > HAD_FAILED) complain("another error in place of SRNN_ERROR_OUT_OF_MEMORY");
    call.next = -1;
  }
  return 0;
}

int watch_verdict(srnn_status status) { return (failed != call.failed_before ? HAD_FAILED : 0) + (int)status; }

void watch_arm(void) {
  call.error.status = -1;
  strcpy(call.error.message, "stale");
  if (sees_all() && !own.calm && CAN_FAIL_ALLOCATIONS) visit_all(0);
  call.failed_before = failed;
  until_failure = call.next;
}

void watch_disarm(void) {
  until_failure = -1;
  if (call.status != SRNN_OK && sees_all() && !own.calm && CAN_FAIL_ALLOCATIONS) visit_all(1);
}

/* Whether the call is to be made again, after what has become of the last try. */
int watch_again(void) {
  const int had_failed = failed != call.failed_before;
  if (call.skip) {
    ++call.next;
    return 1;
  }
  if (call.status == SRNN_OK) {
    if (call.odd != SRNN_OK || call.refusals > 0) complain("an earlier try said something else");
    return 0;
  }
  if (call.look != call.seen && sees_all()) complain("the failed call changed a handle");
  if (own.calm) return 0;
  if (had_failed) {
    if (is_main) ++own.tries;
    if (call.status != SRNN_ERROR_OUT_OF_MEMORY) call.odd = call.status;
    ++call.next;
    return 1;
  }
  /* Refused, and not for memory: the second time as the first. */
  call.next = -1;
  if (call.odd != SRNN_OK && call.odd != call.status) complain("another error in place of SRNN_ERROR_OUT_OF_MEMORY");
  if (call.refusals++ == 0) {
    call.refusal = call.error;
    return 1;
  }
  if (is_main) ++own.refusals;
  if (memcmp(&call.refusal, &call.error, sizeof call.error.status) != 0 ||
      strcmp(call.refusal.message, call.error.message) != 0)
    complain("refused in another way the second time");
  return 0;
}

srnn_status watch_end(srnn_error *error) {
  if (error != NULL) *error = call.error;
  return call.status;
}

/* ---- Results. ---- */

void fold(const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  uint64_t h = own.folding ? own.digest : call.look, word;
  if (!sees_all()) return;
  for (; size >= 8; size -= 8, p += 8) {
    memcpy(&word, p, 8);
    h = (h ^ word) * 1099511628211u;
    h ^= h >> 29;
  }
  for (; size > 0; --size) h = (h ^ *p++) * 1099511628211u;
  if (own.folding) {
    own.digest = h;
    ++own.results;
  } else {
    call.look = h;
  }
}

void fold_text(const char *text) { fold(text, strlen(text)); }

void watch_fold_begin(void) { own.folding = is_main; }
void watch_fold_end(void) { own.folding = 0; }

/* Programs also hand in pointers that are no handles. */
static int is_handle(const void *p) { return p != NULL && (uintptr_t)p % 8 == 0 && sees_all(); }

static void fold_size(size_t n) { fold(&n, sizeof n); }

static void *room(size_t count, size_t size) {
  void *p = count == 0 || size == 0 ? NULL : __libc_malloc(count * size);
  if (count != 0 && size != 0 && p == NULL) abort();
  return p;
}

void see_srnn_pool(const srnn_pool *pool) { (void)pool; }
void see_srnn_session(const srnn_session *session) { (void)session; }
void see_srnn_tape(const srnn_tape *tape) { (void)tape; }
void see_srnn_tensor_writer(const srnn_tensor_writer *writer) { (void)writer; }
void see_srnn_classifier_session(const srnn_classifier_session *session) { (void)session; }
void see_srnn_trainer(const srnn_trainer *trainer) { (void)trainer; }

/* `read` copies `count` floats of the handle. */
#define SEE_VALUES(count, read)                       \
  do {                                                \
    const size_t n_ = (count);                        \
    float *values = room(n_, sizeof *values);         \
    ++call.depth;                                     \
    if (n_ > 0 && (read) == SRNN_OK) fold(values, n_ * sizeof *values); \
    --call.depth;                                     \
    __libc_free(values);                              \
  } while (0)

void see_srnn_rnn(const srnn_rnn *rnn) {
  if (is_handle(rnn)) SEE_VALUES(srnn_rnn_value_count(rnn), srnn_rnn_read_values(rnn, values, n_, NULL));
}

void see_srnn_dense(const srnn_dense *dense) {
  if (is_handle(dense)) SEE_VALUES(srnn_dense_value_count(dense), srnn_dense_read_values(dense, values, n_, NULL));
}

void see_srnn_embedding(const srnn_embedding *e) {
  if (!is_handle(e)) return;
  SEE_VALUES(srnn_embedding_num_embeddings(e) * srnn_embedding_dim(e), srnn_embedding_read_rows(e, 0, values, n_, NULL));
  fold_size((size_t)srnn_embedding_is_frozen(e));
}

void see_srnn_grads(const srnn_grads *grads) {
  float *data;
  size_t len;
  if (!is_handle(grads)) return;
  ++call.depth;
  if (srnn_grads_data((srnn_grads *)(uintptr_t)grads, &data, &len, NULL) == SRNN_OK) fold(data, len * sizeof *data);
  --call.depth;
}

void see_srnn_embedding_grads(const srnn_embedding_grads *grads) {
  const uint32_t *rows;
  float *values;
  size_t rows_len, len;
  if (!is_handle(grads)) return;
  ++call.depth;
  if (srnn_embedding_grads_data((srnn_embedding_grads *)(uintptr_t)grads, &rows, &rows_len, &values, &len, NULL) ==
      SRNN_OK) {
    fold(rows, rows_len * sizeof *rows);
    fold(values, len * sizeof *values);
  }
  --call.depth;
}

void see_srnn_gradient_flow(const srnn_gradient_flow *flow) {
  size_t pass, gate, steps;
  double *norms, value;
  float low, high;
  if (!is_handle(flow)) return;
  steps = srnn_gradient_flow_step_count(flow);
  fold_size(srnn_gradient_flow_pass_count(flow));
  fold_size(steps);
  norms = room(steps, sizeof *norms);
  ++call.depth;
  for (pass = 0; pass < srnn_gradient_flow_pass_count(flow); ++pass) {
    if (srnn_gradient_flow_state_norms(flow, pass, norms, steps, NULL) == SRNN_OK) fold(norms, steps * sizeof *norms);
    if (srnn_gradient_flow_cell_norms(flow, pass, norms, steps, NULL) == SRNN_OK) fold(norms, steps * sizeof *norms);
    for (gate = 0; gate < srnn_gradient_flow_gate_count(flow); ++gate) {
      if (srnn_gradient_flow_singular_value(flow, pass, gate, &value, NULL) == SRNN_OK) fold(&value, sizeof value);
      if (srnn_gradient_flow_saturation(flow, pass, gate, &low, &high, NULL) != SRNN_OK) continue;
      fold(&low, sizeof low);
      fold(&high, sizeof high);
    }
  }
  --call.depth;
  __libc_free(norms);
}

void see_srnn_stream(const srnn_stream *stream) {
  if (is_handle(stream)) fold_size(srnn_stream_lane_count(stream));
}

void see_srnn_truncated_bptt(const srnn_truncated_bptt *bptt) {
  if (is_handle(bptt)) fold_size(srnn_truncated_bptt_step_count(bptt));
}

void see_srnn_optimizer(const srnn_optimizer *optimizer) {
  double lr;
  if (!is_handle(optimizer)) return;
  lr = srnn_optimizer_lr(optimizer);
  fold(&lr, sizeof lr);
  fold_size((size_t)srnn_optimizer_step_count(optimizer));
}

void fold_forward(const srnn_forward_args *args) {
  fold(args->y, args->y_len * sizeof *args->y);
  fold(args->hn, args->hn_len * sizeof *args->hn);
  fold(args->cn, args->cn_len * sizeof *args->cn);
}

void fold_backward(const srnn_backward_args *args) {
  fold(args->dx, args->dx_len * sizeof *args->dx);
  fold(args->dh0, args->dh0_len * sizeof *args->dh0);
  fold(args->dc0, args->dc0_len * sizeof *args->dc0);
}

void see_backward(const srnn_backward_args *args) {
  if (args == NULL || args->struct_size != sizeof *args) return;
  see_srnn_grads(args->grads);
  see_srnn_gradient_flow(args->flow);
}

void see_modules(const srnn_module *modules, size_t len) {
  size_t i;
  for (i = 0; modules != NULL && i < len; ++i) {
    const srnn_module *m = &modules[i];
    if (m->struct_size != sizeof *m) return;
    see_srnn_rnn(m->rnn);
    see_srnn_grads(m->rnn_grads);
    see_srnn_embedding(m->embedding);
    see_srnn_embedding_grads(m->embedding_grads);
    see_srnn_dense(m->dense);
  }
}

void see_srnn_tensor_file(const srnn_tensor_file *file) {
  if (is_handle(file)) fold_size(srnn_tensor_file_count(file));
}

void see_srnn_vocab(const srnn_vocab *vocab) {
  if (is_handle(vocab)) fold_size(srnn_vocab_word_count(vocab));
}

void see_srnn_dataset(const srnn_dataset *dataset) {
  const uint32_t *numbers;
  size_t i, len;
  if (!is_handle(dataset)) return;
  ++call.depth;
  for (i = 0; i < srnn_dataset_example_count(dataset); ++i) {
    if (srnn_dataset_tokens(dataset, i, &numbers, &len, NULL) == SRNN_OK) fold(numbers, len * sizeof *numbers);
    if (srnn_dataset_targets(dataset, i, &numbers, &len, NULL) == SRNN_OK) fold(numbers, len * sizeof *numbers);
  }
  --call.depth;
}

void see_srnn_batches(const srnn_batches *batches) {
  if (is_handle(batches)) fold_size(srnn_batches_count(batches));
}

/* What it says of a text of known and unknown words. */
void see_srnn_classifier(const srnn_classifier *c) {
  srnn_classifier_session *session;
  if (!is_handle(c)) return;
  ++call.depth;
  if (srnn_classifier_session_create(&session, NULL) != SRNN_OK) abort();
  --call.depth;
  SEE_VALUES(srnn_classifier_label_count(c),
             srnn_classifier_classify(c, session, "a good film is bad", values, n_, NULL));
  srnn_classifier_session_destroy(session);
}

void see_srnn_metrics(const srnn_metrics *metrics) {
  srnn_scores scores;
  size_t i;
  double accuracy;
  if (!is_handle(metrics)) return;
  ++call.depth;
  for (i = 0; srnn_metrics_class(metrics, i, &scores, NULL) == SRNN_OK; ++i) fold(&scores, sizeof scores);
  if (srnn_metrics_accuracy(metrics, &accuracy, NULL) == SRNN_OK) fold(&accuracy, sizeof accuracy);
  --call.depth;
}

void see_srnn_vectors(const srnn_vectors *vectors) {
  if (is_handle(vectors)) fold_size(srnn_vectors_word_count(vectors));
}

void see_srnn_coverage(const srnn_coverage *coverage) {
  int32_t kind;
  for (kind = SRNN_MATCH_EXACT; is_handle(coverage) && kind <= SRNN_MATCH_PADDING; ++kind)
    fold_size(srnn_coverage_word_count(coverage, kind));
}

/* The last lines of a program: 0 if something was wrong. */
int watch_report(void) {
  /* Threads end, and give back what is theirs, some time after their pool. */
  const long live = own.has_pools ? 0 : own.live;
  if (live != 0) {
    ++own.wrong;
    printf("%ld allocations are not freed\n", live);
  }
  if (own.lost > 0) {
    ++own.wrong;
    printf("%lu pieces of memory found no room\n", (unsigned long)own.lost);
  }
  printf("watched: failures %ld ended %ld refusals %ld bytes %llu results %llu digest %016llx\n", own.tries, own.ended,
         own.refusals, (unsigned long long)own.bytes, (unsigned long long)own.results, (unsigned long long)own.digest);
  return own.wrong == 0;
}
