// oneDNN: its batch normalization primitive, forward and backward, and its player.
//
//     apt-get install libdnnl-dev nlohmann-json3-dev
//     c++ -std=c++17 -O1 onednn.cpp -o onednn -ldnnl && bnproof check "exec:./onednn plain"
//     its arguments: how x lies in memory; and no-parameters for the primitive without scale and shift, which the player adds
//
// The primitive gives the batch's mean and variance. It keeps no moving statistics: their average is the player's.
#include "wire.hpp"
#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;
using tag = memory::format_tag;
using kind = memory::data_type;
using flags = normalization_flags;
using forward = batch_normalization_forward;
using backward = batch_normalization_backward;

const std::map<std::string, std::vector<tag>> LAYOUTS = {  // the order of the axes in memory, for each rank from 2 on
    {"plain", {tag::ab, tag::abc, tag::abcd, tag::abcde}},
    {"channels-last", {tag::ab, tag::acb, tag::acdb, tag::acdeb}},
    {"blocked", {tag::undef, tag::aBc16b, tag::aBcd16b, tag::aBcde16b}},  // what a convolution gives
};
const std::map<std::string, kind> DTYPES = {{"float32", kind::f32}, {"bfloat16", kind::bf16}, {"float16", kind::f16}};
const engine cpu(engine::kind::cpu, 0);
std::string layout = "plain";
bool has_parameters = true;  // whether scale and shift are the primitive's, or the player's

forward::primitive_desc forward_of(prop_kind prop, const memory::desc &x, float eps, flags with, bool may_be_none = false) {
#if DNNL_VERSION_MAJOR >= 3
  return {cpu, prop, x, x, eps, with, primitive_attr(), may_be_none};
#else
  return {{prop, x, eps, with}, cpu, may_be_none};
#endif
}

backward::primitive_desc backward_of(prop_kind prop, const memory::desc &x, float eps, flags with) {
  const auto hint = forward_of(prop_kind::forward_training, x, eps, with);
#if DNNL_VERSION_MAJOR >= 3
  return {cpu, prop, x, x, x, eps, with, hint};
#else
  return {{prop, x, x, eps, with}, cpu, hint};
#endif
}

memory filled(const memory::desc &desc, const std::string &bytes) {
  memory there(desc, cpu);
  std::memcpy(there.get_data_handle(), bytes.data(), bytes.size());
  return there;
}

memory filled(const std::vector<float> &values) { return filled({{long(values.size())}, kind::f32, tag::a}, Array(values).bytes); }

std::vector<float> floats(const memory &there, long count) {
  const float *data = (const float *)there.get_data_handle();
  return {data, data + count};
}

struct Layer {
  long channels;
  float eps, momentum;
  std::vector<float> gamma, beta, mean, variance;
  stream queue{cpu};

  Layer(const json &setup)
      : channels(setup["num_features"]), gamma(Array(setup["gamma"]).floats()), beta(Array(setup["beta"]).floats()),
        mean(Array(setup["moving_mean"]).floats()), variance(Array(setup["moving_var"]).floats()) {
    if (setup["eps"].is_null() || setup["momentum"].is_null()) throw std::invalid_argument("the primitive has no defaults");
    eps = setup["eps"], momentum = setup["momentum"];
  }

  memory laid_out(const Array &array) {  // as `layout` says
    const auto &tags = LAYOUTS.at(layout), &plain = LAYOUTS.at("plain");
    const size_t rank = array.shape.size() - 2;
    memory given = filled({array.shape, DTYPES.at(array.dtype), plain[rank]}, array.bytes);
    memory there({array.shape, DTYPES.at(array.dtype), tags[rank]}, cpu);
    reorder(given, there).execute(queue, given, there);
    return there;
  }

  Array taken(memory there, const Array &like) {
    memory given({like.shape, DTYPES.at(like.dtype), LAYOUTS.at("plain")[like.shape.size() - 2]}, cpu);
    reorder(there, given).execute(queue, there, given);
    queue.wait();
    return {like.dtype, like.shape, std::string((const char *)given.get_data_handle(), like.bytes.size())};
  }

  json run(const std::string &op, const Array &x, const Array &dy_given) {
    const Array dy = has_parameters ? dy_given : affine(dy_given, std::vector<float>(channels));
    const bool training = op == "train";
    flags with = has_parameters ? flags::use_scale | flags::use_shift : flags::none;
    if (!training) with |= flags::use_global_stats;
    memory x_there = laid_out(x), dy_there = laid_out(dy), y_there(x_there.get_desc(), cpu), dx_there(x_there.get_desc(), cpu);
    memory used_mean = filled(mean), used_variance = filled(variance);
    memory scale = filled(gamma), shift = filled(beta), dscale = filled(gamma), dshift = filled(beta);
    std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, x_there}, {DNNL_ARG_DST, y_there}, {DNNL_ARG_MEAN, used_mean},
        {DNNL_ARG_VARIANCE, used_variance}, {DNNL_ARG_SCALE, scale}, {DNNL_ARG_SHIFT, shift}, {DNNL_ARG_DIFF_DST, dy_there},
        {DNNL_ARG_DIFF_SRC, dx_there}, {DNNL_ARG_DIFF_SCALE, dscale}, {DNNL_ARG_DIFF_SHIFT, dshift}};
    const auto prop = training ? prop_kind::forward_training : prop_kind::forward_inference;
    forward(forward_of(prop, x_there.get_desc(), eps, with)).execute(queue, arguments);
    const auto back = has_parameters ? prop_kind::backward : prop_kind::backward_data;
    backward(backward_of(back, x_there.get_desc(), eps, with)).execute(queue, arguments);
    queue.wait();
    if (training) {
      average(mean, used_mean);
      average(variance, used_variance);
    }
    const Array y = has_parameters ? taken(y_there, x) : affine(taken(y_there, x), beta);
    json values = {{"y", y}, {"dx", taken(dx_there, x)}, {"moving_mean", Array(mean)}, {"moving_var", Array(variance)}};
    if (has_parameters) values.update({{"dgamma", Array(floats(dscale, channels))}, {"dbeta", Array(floats(dshift, channels))}});
    return values;
  }

  Array affine(const Array &array, const std::vector<float> &shift) {  // gamma times it, and shift
    std::vector<float> values = array.floats();
    for (size_t i = 0; i < values.size(); i++) {
      const long c = i / array.inner() % channels;
      values[i] = gamma[c] * values[i] + shift[c];
    }
    return array.like(values);
  }

  void average(std::vector<float> &moving, const memory &batch) {
    const std::vector<float> values = floats(batch, channels);
    for (long c = 0; c < channels; c++) moving[c] = momentum * moving[c] + (1 - momentum) * values[c];
  }
};

int main(int count, char **arguments) {
  if (count > 1) layout = arguments[1];
  if (count > 2) has_parameters = std::string(arguments[2]) != "no-parameters";
  json dtypes = json::array(), ranks = {3, 4, 5};
  if (layout != "blocked") ranks.push_back(2);
  for (const auto &[name, dtype] : DTYPES) {
    if (!has_parameters && name != "float32") continue;
    const memory::desc x({2, 3}, dtype, tag::ab);
    if (forward_of(prop_kind::forward_training, x, 1e-5f, flags::none, true)) dtypes.push_back(name);
  }
  const dnnl_version_t *version = dnnl_version();
  const std::string number = std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->patch);
  return serve<Layer>({{"name", "onednn"}, {"version", number}, {"language", "C++"}, {"device", "cpu"}, {"dtypes", dtypes}, {"ranks", ranks},
      {"conventions", {{"preset", "onnx"}, {"single_value", "any"}}}, {"versions", {{"onednn", number}}}});
}
