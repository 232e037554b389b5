// Vectors of channels.
#pragma once

namespace cnnlab {

#ifdef __AVX512F__
constexpr int kWidest = 16;  // channels at a time, where they are a multiple of that
#else
constexpr int kWidest = 8;
#endif

template <int kLanes>
struct Lanes {
  typedef float Vec __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

  // Not by std::memcpy: GCC 12 then copies halves through memory for AVX2, forty times as slow.
  static Vec Load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
  static void Store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
};

static_assert(alignof(Lanes<kWidest>::Vec) == alignof(float), "vectors lie where channels begin");

}  // namespace cnnlab
