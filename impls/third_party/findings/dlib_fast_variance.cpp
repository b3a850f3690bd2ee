// targets: dlib-con, dlib-fc
// title: at mean/std 1e4 the float32 variance has no right digit or is negative, and y NaN
// documented: by dlib's pull request 3113 of September 2025, which mends it; 20.0.1, built from source, does not show it
#include <cstdio>
#include <dlib/dnn/layers.h>
using dlib::resizable_tensor, dlib::mat;

int main() {
  dlib::rand random(1);
  resizable_tensor x(64, 8), y, mean, inverse_std, moving_mean, moving_var, gamma(1, 8), beta(1, 8);
  for (float &value : x) value = 1e4f + random.get_random_gaussian();
  gamma = 1, beta = 0;
  dlib::tt::batch_normalize_conv(1e-5, y, mean, inverse_std, 1, moving_mean, moving_var, x, gamma, beta);
  std::printf("FINDING standard deviations of normalized channels are");
  for (long c = 0; c < 8; c++) std::printf(" %.2f", dlib::stddev(dlib::colm(mat(y), c)));
  return std::puts(", not 1"), dlib::stddev(mat(y)) < 1.1 && dlib::stddev(mat(y)) > 0.9;
}
