/* Between a test program and the library: every call that can fail goes through a wrapper, which tests/common/wrappers.rs
 * writes from the header. The wrapper makes the call fail in every way that a lack of memory can, makes a refused call a
 * second time, and compares what the program can see before and after each failure. */

#ifndef WATCH_H
#define WATCH_H

#include "simdrnn.h"

#include <string.h>
#include <unistd.h>

/* The call that the thread is in. */
typedef struct watched_call {
  const char *name;
  const void *frame;    /* the program's stack is above it */
  srnn_error error;     /* of the latest try */
  srnn_status status;   /* of the latest try */
  srnn_status odd;      /* what a try without memory said, if not that it has none */
  long next;            /* the allocation that the next try lacks; -1: none */
  long failed_before;   /* allocations that had failed before the try */
  int depth;            /* calls of this file's own pass through */
  int skip;             /* the try would end the process, as was seen in another one */
  int refusals;         /* times that it was refused with all memory */
  srnn_error refusal;   /* the first time */
  uint64_t seen, look;  /* the handles before the first try, and now */
} watched_call;

extern __thread watched_call call;

int watch_passes(void);
void watch_begin(const char *name, const void *frame);
int watch_rehearses(void);
int watch_verdict(srnn_status status);
void watch_arm(void);
void watch_disarm(void);
int watch_again(void);
srnn_status watch_end(srnn_error *error);

/* Into the look at the handles or, between watch_fold_begin and _end, into the digest of the run. */
void fold(const void *bytes, size_t size);
void fold_text(const char *text);
void watch_fold_begin(void);
void watch_fold_end(void);

void see_srnn_pool(const srnn_pool *pool);
void see_srnn_rnn(const srnn_rnn *rnn);
void see_srnn_session(const srnn_session *session);
void see_srnn_tape(const srnn_tape *tape);
void see_srnn_grads(const srnn_grads *grads);
void see_srnn_gradient_flow(const srnn_gradient_flow *flow);
void see_srnn_truncated_bptt(const srnn_truncated_bptt *bptt);
void see_srnn_stream(const srnn_stream *stream);
void see_srnn_dense(const srnn_dense *dense);
void see_srnn_embedding(const srnn_embedding *embedding);
void see_srnn_embedding_grads(const srnn_embedding_grads *grads);
void fold_forward(const srnn_forward_args *args);
void fold_backward(const srnn_backward_args *args);
void see_backward(const srnn_backward_args *args);
void see_modules(const srnn_module *modules, size_t len);
void see_srnn_optimizer(const srnn_optimizer *optimizer);
void see_srnn_tensor_file(const srnn_tensor_file *file);
void see_srnn_tensor_writer(const srnn_tensor_writer *writer);
void see_srnn_vocab(const srnn_vocab *vocab);
void see_srnn_dataset(const srnn_dataset *dataset);
void see_srnn_batches(const srnn_batches *batches);
void see_srnn_classifier(const srnn_classifier *classifier);
void see_srnn_classifier_session(const srnn_classifier_session *session);
void see_srnn_trainer(const srnn_trainer *trainer);
void see_srnn_metrics(const srnn_metrics *metrics);
void see_srnn_vectors(const srnn_vectors *vectors);
void see_srnn_coverage(const srnn_coverage *coverage);

#endif
