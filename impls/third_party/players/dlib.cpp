// dlib: its layers bn_con and bn_fc in training, the affine layer that replaces them in prediction, and their player.
//
//     apt-get install libdlib-dev nlohmann-json3-dev
//     c++ -std=c++17 -O1 dlib.cpp -o dlib -ldlib && bnproof check "exec:./dlib con"
//
// dlib averages over a window of w steps: from step w on a new batch weighs 1/(w + 1), which is the one momentum it has.
#define DLIB_NO_ABORT_ON_2ND_FATAL_ERROR  // an error is an answer to one request
#include "wire.hpp"
#include <dlib/dnn/layers.h>
#include <dlib/revision.h>
#include <sstream>

using tensor = dlib::resizable_tensor;

tensor filled(const std::vector<float> &values, const std::vector<long> &shape) {
  const auto size = [&](size_t axis) { return axis < shape.size() ? shape[axis] : 1L; };
  tensor there(size(0), size(1), size(2), size(3));
  std::copy(values.begin(), values.end(), there.host_write_only());
  return there;
}

std::vector<float> floats(const dlib::tensor &there) { return {there.host(), there.host() + there.size()}; }

struct Input {  // the layer below, as far as a layer asks for it
  tensor output, gradient;
  explicit Input(const Array &x) : output(filled(x.floats(), x.shape)), gradient(output) { gradient = 0; }
  const dlib::tensor &get_output() const { return output; }
  dlib::tensor &get_gradient_input() { return gradient; }
};

template <dlib::layer_mode mode> struct Layer {
  dlib::bn_<mode> layer;

  explicit Layer(const json &setup) : layer(window_of(setup["momentum"]), eps_of(setup["eps"])) {
    const long channels = setup["num_features"];
    layer.setup(Input({"float32", {1, channels}, std::string(channels * sizeof(float), '\0')}));
    std::vector<float> parameters = Array(setup["gamma"]).floats();
    for (float shift : Array(setup["beta"]).floats()) parameters.push_back(shift);
    std::copy(parameters.begin(), parameters.end(), layer.get_layer_params().host_write_only());
    change_state([&](State &state) {
      state.mean = filled(Array(setup["moving_mean"]).floats(), {1, channels});
      state.variance = filled(Array(setup["moving_var"]).floats(), {1, channels});
      state.batch_mean = state.mean, state.inverse_std = state.variance;  // of the last batch: a used layer has some
      state.updates = layer.get_running_stats_window_size();
    });
  }

  static double eps_of(const json &eps) { return eps.is_null() ? dlib::DEFAULT_BATCH_NORM_EPS : eps.get<double>(); }

  static unsigned long window_of(const json &momentum) {
    if (momentum.is_null()) return dlib::bn_<mode>().get_running_stats_window_size();
    const double window = 1 / momentum.get<double>() - 1, whole = std::round(window);
    if (!(whole >= 1 && std::abs(window - whole) < 1e-9 * whole)) throw Unsupported("a new batch weighs 1/(window + 1)");
    return whole;
  }

  // What a layer keeps is private, but not what it saves, in this order.
  struct State {
    std::string version;
    tensor parameters;
    dlib::alias_tensor gamma, beta;
    tensor batch_mean, inverse_std, mean, variance;
    unsigned long updates;

    template <class Act> void each(Act act) {
      act(version), act(parameters), act(gamma), act(beta), act(batch_mean), act(inverse_std), act(mean), act(variance), act(updates);
    }
  };

  template <class Change> void change_state(Change change) {
    std::stringstream saved, changed;
    serialize(layer, saved);
    State state;
    state.each([&](auto &part) { dlib::deserialize(part, saved); });
    change(state);
    state.each([&](auto &part) { dlib::serialize(part, changed); });
    changed << saved.rdbuf();
    deserialize(layer, changed);
  }

  json run(const std::string &op, const Array &x, const Array &dy_given) {
    Input input(x);
    const tensor dy = filled(dy_given.floats(), dy_given.shape);
    tensor y, gradients(layer.get_layer_params());
    json values;
    if (op == "train") {
      if (x.shape[0] < 2) throw Unsupported("it predicts from a batch of one, as its documentation says");
      layer.forward(input, y);
      layer.backward(dy, input, gradients);
      const std::vector<float> both = floats(gradients);
      const auto middle = both.begin() + both.size() / 2;
      values = {{"dgamma", Array(std::vector<float>(both.begin(), middle))}, {"dbeta", Array(std::vector<float>(middle, both.end()))}};
    } else {
      dlib::affine_ affine(layer);
      y.copy_size(input.output);
      affine.forward_inplace(input.output, y);
      affine.backward_inplace(dy, input.gradient, gradients);
    }
    change_state([&](State &state) {
      values.update({{"moving_mean", Array(floats(state.mean))}, {"moving_var", Array(floats(state.variance))}});
    });
    values.update({{"y", x.like(floats(y))}, {"dx", x.like(floats(input.gradient))}});
    return values;
  }
};

int main(int count, char **arguments) {
  const bool is_fc = count > 1 && std::string(arguments[1]) == "fc";
  const std::string version = std::to_string(DLIB_MAJOR_VERSION) + "." + std::to_string(DLIB_MINOR_VERSION);
  const json implementation = {{"name", is_fc ? "bn_fc" : "bn_con"}, {"version", version}, {"language", "C++"}, {"device", "cpu"},
      {"dtypes", {"float32"}}, {"ranks", is_fc ? json({2}) : json({2, 3, 4})}, {"versions", {{"dlib", version}}},
      {"conventions", {{"preset", "torch"}, {"single_value", "any"}, {"default_eps", dlib::DEFAULT_BATCH_NORM_EPS}, {"default_momentum", 1 / 101.0}}}};
  return is_fc ? serve<Layer<dlib::FC_MODE>>(implementation) : serve<Layer<dlib::CONV_MODE>>(implementation);
}
