// What XLA calls: arrays and attributes as `call.py` and `pool.py` give them.
#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "channels_first.h"
#include "convolution.h"
#include "fft_convolution.h"
#include "large_pages.h"
#include "max_pool.h"
#include "outputs_last.h"
#include "sums.h"
#include "team.h"
#include "winograd.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace cnnlab {
namespace {

using Numbers = ffi::Span<const int64_t>;

std::vector<int64_t> Copy(Numbers v) { return {v.begin(), v.end()}; }

template <typename Buffer>
std::vector<int64_t> Shape(const Buffer& buffer) {
  const auto dims = buffer.dimensions();
  return {dims.begin(), dims.end()};
}

dnnl::memory::data_type DataType(ffi::DataType dtype) {
  switch (dtype) {
    case ffi::DataType::F32: return dnnl::memory::data_type::f32;
    case ffi::DataType::BF16: return dnnl::memory::data_type::bf16;
    default: throw std::invalid_argument("expected float32 or bfloat16 arrays");
  }
}

// The place of a result.
void* Fresh(ffi::AnyBuffer& out) {
  UseLargePagesAround(out.untyped_data(), out.size_bytes());
  return out.untyped_data();
}

struct Geometry {
  Numbers stride, dilation, low, high;
  int64_t groups;

  Convolution Problem(ffi::DataType dtype) const {
    Convolution p;
    p.stride = Copy(stride);
    p.dilation = Copy(dilation);
    p.low = Copy(low);
    p.high = Copy(high);
    p.groups = groups;
    p.dtype = DataType(dtype);
    return p;
  }
};

// No exception may pass through XLA.
template <typename Call>
ffi::Error Guarded(Call call) {
  try {
    call();
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInternal, std::string("native engine: ") + error.what());
  }
}

// XLA's threads, as many as a call may use.
Pool PoolOf(ffi::ThreadPool& threads) {
  const auto all = std::min<int64_t>(threads.num_threads(), Team::Limit());
  return {static_cast<int>(std::max<int64_t>(all, 1)),
          [&threads](std::function<void()> work) { threads.Schedule(std::move(work)); }};
}

// By the algorithm that Python asked for.
void Compute(bool winograd, Pass pass, const Convolution& p, const ffi::AnyBuffer& a,
             const ffi::AnyBuffer& b, const void* bias, ffi::AnyBuffer& out, const Pool& pool) {
  if (!winograd) {
    return Convolve(pass, p, a.untyped_data(), b.untyped_data(), bias, Fresh(out), pool);
  }
  const auto floats = [](const void* data) { return static_cast<const float*>(data); };
  const auto run = [&](const Convolution& last, const void* b, void* out) {
    Winograd(pass, last, floats(a.untyped_data()), floats(b), floats(bias),
             static_cast<float*>(out), pool);
  };
  p.outputs_first ? OutputsLast(pass, p, b.untyped_data(), Fresh(out), pool, run)
                  : run(p, b.untyped_data(), Fresh(out));
}

// The problem of a pass that maps `a` and `b` to `out`.
Convolution Of(Pass pass, const Geometry& geometry, const ffi::AnyBuffer& a, const ffi::AnyBuffer& b,
               const ffi::AnyBuffer& out) {
  Convolution p = geometry.Problem(a.element_type());
  p.x = Shape(pass == Pass::kInputGradient ? out : a);
  p.kernel = Shape(pass == Pass::kKernelGradient ? out : b);
  p.y = Shape(pass == Pass::kForward ? out : pass == Pass::kInputGradient ? a : b);
  return p;
}

ffi::Error Run(int64_t pass, Numbers stride, Numbers dilation, Numbers low, Numbers high,
               int64_t groups, ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> out,
               bool winograd, bool outputs_first, ffi::ThreadPool threads) {
  return Guarded([&] {
    const auto which = static_cast<Pass>(pass);
    Convolution p = Of(which, {stride, dilation, low, high, groups}, a, b, *out);
    p.outputs_first = outputs_first;
    if (outputs_first) {  // (c_out, c_in / groups, *kernel_size)
      std::rotate(p.kernel.begin(), p.kernel.begin() + 2, p.kernel.end());
      std::iter_swap(p.kernel.end() - 1, p.kernel.end() - 2);
    }
    Compute(winograd, which, p, a, b, nullptr, *out, PoolOf(threads));
  });
}

ffi::Error RunFft(int64_t pass, Numbers stride, Numbers dilation, Numbers low, Numbers high,
                  int64_t groups, ffi::AnyBuffer a, ffi::AnyBuffer b,
                  ffi::Result<ffi::AnyBuffer> out) {
  return Guarded([&] {
    const auto which = static_cast<Pass>(pass);
    const Convolution p = Of(which, {stride, dilation, low, high, groups}, a, b, *out);
    FftConvolve(which, p, static_cast<const float*>(a.untyped_data()),
                static_cast<const float*>(b.untyped_data()),
                static_cast<float*>(Fresh(*out)));
  });
}

// Of activations (batch, c, length).
ffi::Error RunChannelsFirst(int64_t pass, Numbers stride, Numbers dilation, Numbers low,
                            Numbers high, int64_t groups, ffi::AnyBuffer a, ffi::AnyBuffer b,
                            ffi::Result<ffi::AnyBuffer> out, ffi::ThreadPool threads) {
  return Guarded([&] {
    const auto which = static_cast<Pass>(pass);
    Convolution p = Of(which, {stride, dilation, low, high, groups}, a, b, *out);
    for (auto* shape : {&p.x, &p.y}) std::swap(shape->at(1), shape->at(2));
    ConvolveChannelsFirst(which, p, static_cast<const float*>(a.untyped_data()),
                          static_cast<const float*>(b.untyped_data()),
                          static_cast<float*>(Fresh(*out)), PoolOf(threads));
  });
}

ffi::Error RunBias(bool winograd, int64_t activation, Numbers stride, Numbers dilation, Numbers low,
                   Numbers high, int64_t groups, ffi::AnyBuffer x, ffi::AnyBuffer kernel,
                   ffi::AnyBuffer bias, ffi::Result<ffi::AnyBuffer> y, ffi::ThreadPool threads) {
  return Guarded([&] {
    Convolution p = Geometry{stride, dilation, low, high, groups}.Problem(x.element_type());
    p.x = Shape(x);
    p.kernel = Shape(kernel);
    p.y = Shape(*y);
    p.bias = true;
    p.activation = static_cast<Activation>(activation);
    Compute(winograd, Pass::kForward, p, x, kernel, bias.untyped_data(), *y, PoolOf(threads));
  });
}

using Bytes = ffi::Buffer<ffi::U8>;

// Three spatial axes, of two the last two, of one the middle one: threads share what the first two
// have, rows of an image, positions of a sequence.
template <typename Values>
std::array<int64_t, 3> Three(const Values& v, int64_t missing) {
  if (v.size() > 3) throw std::invalid_argument("max-pooling over more than three axes");
  std::array<int64_t, 3> three{missing, missing, missing};
  std::copy(v.begin(), v.end(), three.begin() + (v.size() < 3));
  return three;
}

Pooling Windows(const std::vector<int64_t>& x, const std::vector<int64_t>& y, Numbers window,
                Numbers stride, Numbers low) {
  const auto spatial = [](const std::vector<int64_t>& shape) {
    return Three(std::vector<int64_t>(shape.begin() + 1, shape.end() - 1), 1);
  };
  return {x.front(),        x.back(),         spatial(x),   spatial(y),
          Three(window, 1), Three(stride, 1), Three(low, 0)};
}

// `run(T{})` for the type of number that arrays hold.
template <typename Call>
void OfType(ffi::DataType dtype, Call run) {
  DataType(dtype) == dnnl::memory::data_type::f32 ? run(float{}) : run(Bfloat16{});
}

ffi::Error RunMaxPool(Numbers window, Numbers stride, Numbers low, ffi::AnyBuffer x,
                      ffi::Result<ffi::AnyBuffer> y, ffi::Result<Bytes> index,
                      ffi::ThreadPool threads) {
  return Guarded([&] {
    OfType(x.element_type(), [&](auto number) {
      using T = decltype(number);
      MaxPool(Windows(Shape(x), Shape(*y), window, stride, low),
              static_cast<const T*>(x.untyped_data()), static_cast<T*>(Fresh(*y)),
              index->typed_data(), PoolOf(threads));
    });
  });
}

ffi::Error RunMaxPoolGradient(Numbers window, Numbers stride, Numbers low, ffi::AnyBuffer dy,
                              Bytes index, ffi::Result<ffi::AnyBuffer> dx, ffi::ThreadPool threads) {
  return Guarded([&] {
    OfType(dy.element_type(), [&](auto number) {
      using T = decltype(number);
      MaxPoolGradient(Windows(Shape(*dx), Shape(dy), window, stride, low),
                      static_cast<const T*>(dy.untyped_data()), index.typed_data(),
                      static_cast<T*>(Fresh(*dx)), PoolOf(threads));
    });
  });
}

// Over all axes but the first `each` and those from `first` to `last - 1`.
ffi::Error RunSums(int64_t each, int64_t first, int64_t last, ffi::Buffer<ffi::F32> x,
                   ffi::Result<ffi::Buffer<ffi::F32>> sums, ffi::ThreadPool threads) {
  return Guarded([&] {
    const auto shape = Shape(x);
    const auto size = [&](int64_t begin, int64_t end) {
      return Size({shape.begin() + begin, shape.begin() + end});
    };
    const auto rank = static_cast<int64_t>(shape.size());
    Sums(x.typed_data(), size(0, each), size(each, first), size(first, last), size(last, rank),
         sums->typed_data(), PoolOf(threads));
  });
}

// What is bound already, then what `Geometry` holds and two arrays.
template <typename Bound>
auto Convolved(Bound bound) {
  return std::move(bound)
      .template Attr<Numbers>("stride")
      .template Attr<Numbers>("dilation")
      .template Attr<Numbers>("low")
      .template Attr<Numbers>("high")
      .template Attr<int64_t>("groups")
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>();
}

// A pass, two arrays and their result.
auto Map() {
  return Convolved(ffi::Ffi::Bind().Attr<int64_t>("pass")).Ret<ffi::AnyBuffer>();
}

// What describes windows, and an array.
auto Pooled() {
  return ffi::Ffi::Bind()
      .Attr<Numbers>("window")
      .Attr<Numbers>("stride")
      .Attr<Numbers>("low")
      .Arg<ffi::AnyBuffer>();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_conv, Run,
                              Map().Attr<bool>("winograd")
                                  .Attr<bool>("outputs_first")
                                  .Ctx<ffi::ThreadPool>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_fft_conv, RunFft, Map());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_conv_channels_first, RunChannelsFirst,
                              Map().Ctx<ffi::ThreadPool>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_conv_bias, RunBias,
                              Convolved(ffi::Ffi::Bind()
                                            .Attr<bool>("winograd")
                                            .Attr<int64_t>("activation"))
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ctx<ffi::ThreadPool>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_max_pool, RunMaxPool,
                              Pooled().Ret<ffi::AnyBuffer>().Ret<Bytes>().Ctx<ffi::ThreadPool>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_max_pool_gradient, RunMaxPoolGradient,
                              Pooled().Arg<Bytes>().Ret<ffi::AnyBuffer>().Ctx<ffi::ThreadPool>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(cnnlab_sums, RunSums,
                              ffi::Ffi::Bind()
                                  .Attr<int64_t>("each")
                                  .Attr<int64_t>("first")
                                  .Attr<int64_t>("last")
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ctx<ffi::ThreadPool>());

}  // namespace cnnlab
