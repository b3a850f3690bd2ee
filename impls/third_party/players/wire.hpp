// The wire for players in C++ (harness/targets/WIRE.md): reads requests, answers them. A player is a Layer and a call of serve.
//
//     struct Layer {
//       Layer(const json &setup);                                             // one of a request's setups
//       json run(const std::string &op, const Array &x, const Array &dy);     // "train" or "eval" -> values by name
//     };
#pragma once

#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using json = nlohmann::json;

struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- arrays: row-major, little-endian as this machine is, base64 on the wire ----

const std::string DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline std::string from_base64(const std::string &text) {
  static const std::vector<int> value_of = [] {
    std::vector<int> table(256, 0);  // of "=", the padding, as well
    for (int i = 0; i < 64; i++) table[(unsigned char)DIGITS[i]] = i;
    return table;
  }();
  std::string bytes;
  for (size_t i = 0; i + 3 < text.size(); i += 4) {
    unsigned group = 0;
    for (int j = 0; j < 4; j++) group = group << 6 | value_of[(unsigned char)text[i + j]];
    for (int shift : {16, 8, 0}) bytes += char(group >> shift);
  }
  while (text.size() > 3 && bytes.size() > (text.find_last_not_of('=') + 1) * 3 / 4) bytes.pop_back();
  return bytes;
}

inline std::string to_base64(const std::string &bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (size_t j = 0; j < 3; j++) group = group << 8 | (i + j < bytes.size() ? (unsigned char)bytes[i + j] : 0);
    for (size_t j = 0; j < 4; j++) text += i + j > bytes.size() ? '=' : DIGITS[group >> (18 - 6 * j) & 63];
  }
  return text;
}

struct Array {
  std::string dtype;
  std::vector<long> shape;
  std::string bytes;

  Array(std::string dtype, std::vector<long> shape, std::string bytes) : dtype(dtype), shape(shape), bytes(bytes) {}
  Array(const json &array) : Array(array["dtype"], array["shape"], from_base64(array["data"].get_ref<const std::string &>())) {}
  Array(const std::vector<float> &values)
      : Array("float32", {long(values.size())}, std::string((const char *)values.data(), values.size() * sizeof(float))) {}

  std::vector<float> floats() const {  // of a float32 array
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  Array like(const std::vector<float> &values) const { return {"float32", shape, Array(values).bytes}; }  // of this shape

  long inner() const { return std::accumulate(shape.begin() + 2, shape.end(), 1L, std::multiplies<>()); }  // values of a channel in a row
};

inline void to_json(json &out, const Array &array) {
  out = {{"dtype", array.dtype}, {"shape", array.shape}, {"data", to_base64(array.bytes)}};
}

// ---- requests ----

template <class Layer> json play(const json &request) {
  json answer = {{"seq", request["seq"]}};
  std::vector<std::unique_ptr<Layer>> layers;
  try {
    for (const json &setup : request["setups"]) layers.push_back(std::make_unique<Layer>(setup));
  } catch (const Unsupported &refusal) {
    answer["unsupported"] = refusal.what();
    return answer;
  } catch (const std::exception &error) {
    answer["error"] = error.what();
    return answer;
  }
  answer["steps"] = json::array();
  for (const json &step : request["steps"]) {
    const std::string op = step["op"];
    json result;
    try {
      if (op != "train" && op != "eval") throw Unsupported("no " + op + " here");
      result["values"] = layers.at(step["session"])->run(op, step["x"], step["dy"]);
    } catch (const Unsupported &refusal) {
      result["unsupported"] = refusal.what();
    } catch (const std::exception &error) {
      result["error"] = error.what();
    }
    answer["steps"].push_back(result);
    if (!result.contains("values")) break;
  }
  return answer;
}

template <class Layer> int serve(const json &implementation) {
  for (std::string line; std::getline(std::cin, line);) {
    const json request = json::parse(line);
    if (request["cmd"] == "stop") break;
    const json started = {{"ok", true}, {"wire", 1}, {"implementation", implementation}};
    std::cout << (request["cmd"] == "start" ? started : play<Layer>(request)) << std::endl;
  }
  return 0;
}
