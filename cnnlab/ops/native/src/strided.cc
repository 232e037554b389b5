#include "strided.h"

#include <algorithm>

#include "product.h"
#include "scratch.h"

namespace cnnlab {
namespace {

bool All(const std::vector<int64_t>& v, int64_t value) {
  return std::all_of(v.begin(), v.end(), [value](int64_t n) { return n == value; });
}

// Where the result `number`, counted in row-major order, comes from in the input.
int64_t Place(const Convolution& p, int64_t number) {
  int64_t place = 0, step = p.x.back();
  for (size_t axis = p.stride.size(); axis > 0; --axis) {
    place += number % p.y[axis] * p.stride[axis - 1] * step;
    number /= p.y[axis];
    step *= p.x[axis];
  }
  return place + number * step;
}

}  // namespace

bool ServesStrided(Pass pass, const Convolution& p) {
  return pass == Pass::kInputGradient && Size(p.kernel) == p.x.back() * p.y.back() &&
         p.groups == 1 && !All(p.stride, 1) && All(p.low, 0) && All(p.high, 0) &&
         p.dtype == dnnl::memory::data_type::f32;
}

void StridedInputGradient(const Convolution& p, const float* dy, const float* kernel, float* dx,
                          const Pool& pool) {
  const int64_t in = p.x.back(), out = p.y.back(), count = Size(p.y) / out;
  constexpr int64_t kFloats = int64_t{1} << 15;  // both sides of a product stay in the cache
  const int64_t size = std::min(std::clamp<int64_t>(kFloats / std::max(in, out), 16, 256), count);
  const auto product = Product::Get({size, out, in});
  const size_t own = (size * in * sizeof(float) + product->work_bytes() + 127) / 64 * 64;
  const size_t turned = (in * out * sizeof(float) + 63) / 64 * 64;
  const size_t packed = (product->packed_bytes() + 63) / 64 * 64;
  const Scratch scratch(ScratchPool::Shared(), turned + packed + own * pool.size());
  auto* transposed = reinterpret_cast<float*>(scratch.data());
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) transposed[o * in + i] = kernel[i * out + o];
  }
  const float* right = product->Pack(transposed, transposed + turned / sizeof(float));
  pool.ForEach((count + size - 1) / size, [&](int thread, int64_t number) {
    auto* rows = reinterpret_cast<float*>(scratch.data() + turned + packed + own * thread);
    float* work = rows + (size * in + 15) / 16 * 16;
    // The last ones begin early enough to be as many; what is computed twice is the same.
    const int64_t first = number * size, begin = std::min(first, count - size), end = begin + size;
    product->Run(dy + begin * out, right, rows, work);
    const float* from = rows + (first - begin) * in;
    int64_t at = Place(p, first);
    for (int64_t result = first; result < end; ++result, from += in) {
      const int64_t next = Place(p, result + 1);
      std::copy_n(from, in, dx + at);
      std::fill(dx + at + in, dx + next, 0.f);
      at = next;
    }
  });
}

}  // namespace cnnlab
