#include "fft_map.h"

namespace cnnlab {

Complex Strand::Gather(const float* at) const {
  Complex v{};
  for (int64_t i = 0; i < real; ++i) v.re[i] = at[i * apart];
  for (int64_t i = 0; i < imaginary; ++i) v.im[i] = at[second + i * apart];
  return v;
}

void Strand::Scatter(float* at, Complex v) const {
  for (int64_t i = 0; i < real; ++i) at[i * apart] = v.re[i];
  for (int64_t i = 0; i < imaginary; ++i) at[second + i * apart] = v.im[i];
}

Map Map::Of(Pass pass, const Convolution& p, const float* a, const float* b, float* out) {
  const int64_t groups = p.groups, in = p.x.back() / groups, outs = p.y.back() / groups;
  const auto floats = [](const float* data) { return const_cast<float*>(data); };
  Map m{};
  const bool back = pass == Pass::kInputGradient;
  float* x = back ? out : floats(a);
  float* y = pass == Pass::kForward ? out : back ? floats(a) : floats(b);
  const ChannelArray of_x{x, p.x[0], p.x[1], 1, p.x[2], in, false};
  const ChannelArray of_y{y, p.y[0], p.y[1], p.stride[0], p.y[2], outs, false};
  m.from = back ? of_y : of_x;
  m.to = back ? of_x : of_y;
  m.rows = back ? outs : in;
  m.columns = back ? in : outs;
  m.taps = p.kernel[0];
  m.dilation = p.dilation[0];
  m.low = p.low[0];
  m.causal = pass != Pass::kKernelGradient && p.high[0] <= 0 &&
             p.low[0] >= (m.taps - 1) * m.dilation;
  // Backwards in time the transpose is causal, too.
  const bool reversed = back && m.causal;
  m.from.reversed = m.to.reversed = reversed;
  if (reversed) m.low -= m.from.length() - m.to.length();  // lags are counted from the ends
  m.sign = back && !reversed ? 1 : -1;
  m.group_in = in;
  m.group_out = outs;
  m.out_channels = p.y[2];
  m.groups = groups;
  m.transposed = back;
  return m;
}

}  // namespace cnnlab
