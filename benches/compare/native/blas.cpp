// sgemm and sgemv of the CBLAS it is linked to, at the shapes of a recurrent layer. usage: blas NAME THREADS

#include "worker.hpp"
#include <cstdlib>
#include <memory>

extern "C" {
// The parts of CBLAS used here, declared alike by all its implementations.
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);
void cblas_sgemv(int order, int trans, int m, int n, float alpha, const float *a, int lda, const float *x, int incx,
                 float beta, float *y, int incy);
// At most one of these exists.
char *openblas_get_config(void) __attribute__((weak));
char *openblas_get_corename(void) __attribute__((weak));
const char *bli_info_get_version_str(void) __attribute__((weak));
int bli_arch_query_id(void) __attribute__((weak));
const char *bli_arch_string(int id) __attribute__((weak));
}

namespace {

worker::Calls prepare(const worker::Problem &p) {
  if (p.mode != "dense") throw worker::Skip("only products");
  auto x = std::make_shared<worker::Values>(p.read<float>("x.f32")),
       w = std::make_shared<worker::Values>(p.read<float>("w.f32"));
  auto y = std::make_shared<worker::Values>(p.batch * p.hidden);
  int m = int(p.batch), n = int(p.hidden), k = int(p.input);
  worker::Calls calls = [=](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (m == 1) {
        cblas_sgemv(ROW_MAJOR, NO_TRANSPOSE, n, k, 1, w->data(), k, x->data(), 1, 0, y->data(), 1);
      } else {
        cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, m, n, k, 1, x->data(), k, w->data(), k, 0, y->data(), n);
      }
    }
  };
  calls(1);
  p.write("y", *y);
  return calls;
}

std::string version() {
  if (openblas_get_config) return std::string(openblas_get_config()) + " on " + openblas_get_corename();
  if (bli_info_get_version_str)
    return std::string(bli_info_get_version_str()) + " on " + bli_arch_string(bli_arch_query_id());
  return "unknown CBLAS";
}

}  // namespace

int main(int argc, char **argv) { return argc == 3 ? worker::serve(argv[1], version(), prepare) : 2; }
