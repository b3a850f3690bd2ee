// A batch norm in plain C++ and its player: c++ -std=c++17 batch_norm.cpp -o batch_norm && bnproof check exec:./batch_norm
#include "wire.hpp"
#include <cmath>

struct Layer {
  double eps, momentum;
  std::vector<float> gamma, beta, mean, variance;

  explicit Layer(const json &setup)
      : eps(setup["eps"]), momentum(setup["momentum"]), gamma(Array(setup["gamma"]).floats()), beta(Array(setup["beta"]).floats()),
        mean(Array(setup["moving_mean"]).floats()), variance(Array(setup["moving_var"]).floats()) {}

  json run(const std::string &op, const Array &x_given, const Array &dy_given) {
    const bool training = op == "train";
    const std::vector<float> x = x_given.floats(), dy = dy_given.floats();
    std::vector<float> y(x.size()), dx(x.size()), dgamma(gamma.size()), dbeta(gamma.size());
    const size_t channels = gamma.size(), inner = x_given.inner(), n = x.size() / channels;
    for (size_t c = 0; c < channels; c++) {
      std::vector<size_t> places;
      for (size_t i = 0; i < x.size(); i++)
        if (i / inner % channels == c) places.push_back(i);
      const auto sum = [&](auto f) { return std::accumulate(places.begin(), places.end(), 0.0, [&](double s, size_t i) { return s + f(i); }); };
      const double m = training ? sum([&](size_t i) { return x[i]; }) / n : mean[c];
      const double v = training ? sum([&](size_t i) { return (x[i] - m) * (x[i] - m); }) / n : variance[c];
      const double std = std::sqrt(v + eps);
      const auto normal = [&](size_t i) { return (x[i] - m) / std; };
      const double db = sum([&](size_t i) { return dy[i]; }), dg = sum([&](size_t i) { return dy[i] * normal(i); });
      for (size_t i : places) {
        y[i] = gamma[c] * normal(i) + beta[c];
        dx[i] = gamma[c] / std * (dy[i] - (training ? (db + normal(i) * dg) / n : 0));
      }
      dgamma[c] = dg, dbeta[c] = db;
      if (training) {
        mean[c] = momentum * mean[c] + (1 - momentum) * m;
        variance[c] = momentum * variance[c] + (1 - momentum) * v;
      }
    }
    return {{"y", x_given.like(y)}, {"dx", x_given.like(dx)}, {"dgamma", Array(dgamma)}, {"dbeta", Array(dbeta)},
        {"moving_mean", Array(mean)}, {"moving_var", Array(variance)}};
  }
};

int main() { return serve<Layer>({{"name", "plain-cpp"}, {"version", "1"}, {"language", "C++"}, {"conventions", "d2l"}, {"dtypes", {"float32"}}}); }
