// What Python asks of the library, by ctypes.
#include <cstring>
#include <exception>

#include "convolution.h"
#include "depthwise.h"
#include "kernel_gradient.h"
#include "team.h"

namespace {

int64_t Found(const std::string& implementation, char* out, int64_t size) {
  std::strncpy(out, implementation.c_str(), size - 1);
  out[size - 1] = '\0';
  return static_cast<int64_t>(cnnlab::CodeOf(implementation));
}

const char* IsaName() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx2_vnni_2: return "avx2_vnni_2";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_fp16: return "avx512_core_fp16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    case dnnl::cpu_isa::avx512_core_amx_fp16: return "avx512_core_amx_fp16";
    default: return "other";
  }
}

// Whether there is code worth taking. Where the processor does not multiply 16-bit floats, oneDNN's
// for them takes up to four times as long as that for float32.
bool Worthwhile(cnnlab::Pass pass, const cnnlab::Convolution& p) {
  return p.dtype == dnnl::memory::data_type::f32 || cnnlab::Has(dnnl::cpu_isa::avx512_core_bf16) ||
         cnnlab::ServesDepthwise(pass, p) || cnnlab::ServesKernelGradient(pass, p);
}

}  // namespace

extern "C" {

const char* cnnlab_isa() { return IsaName(); }
int64_t cnnlab_threads() { return cnnlab::Team::Limit(); }

// The implementation's name in `out` and what it says of the code; "" and 0 where there is none worth
// taking. `numbers`: x, kernel, y (rank + 2 each), then stride, dilation, low, high (rank each),
// groups.
int64_t cnnlab_implementation(int64_t pass, int64_t bfloat16, int64_t rank, const int64_t* numbers,
                           char* out, int64_t size) {
  cnnlab::Convolution p;
  const auto take = [&numbers](int64_t count) {
    std::vector<int64_t> v(numbers, numbers + count);
    numbers += count;
    return v;
  };
  p.x = take(rank + 2);
  p.kernel = take(rank + 2);
  p.y = take(rank + 2);
  p.stride = take(rank);
  p.dilation = take(rank);
  p.low = take(rank);
  p.high = take(rank);
  p.groups = *numbers;
  if (bfloat16) p.dtype = dnnl::memory::data_type::bf16;
  const auto which = static_cast<cnnlab::Pass>(pass);
  try {
    return Found(Worthwhile(which, p) ? cnnlab::Implementation(which, p) : "", out, size);
  } catch (const std::exception&) {
    return Found("", out, size);
  }
}

}  // extern "C"
