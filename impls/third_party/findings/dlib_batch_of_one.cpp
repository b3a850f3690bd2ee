// targets: dlib-con, dlib-fc
// title: a batch of one sample is normalized by the running statistics, in training too, whatever its image has of values
// documented: yes: given one sample it "doesn't perform batch normalization", its running statistics are used
#include <cstdio>
#include <dlib/dnn/layers.h>
struct Input {
  dlib::resizable_tensor x{1, 1, 2, 2};
  const dlib::tensor &get_output() const { return x; }
} input;

int main() {
  for (int i = 0; i < 4; i++) input.x.host()[i] = i;
  dlib::resizable_tensor y;
  dlib::bn_<dlib::CONV_MODE> layer;
  layer.setup(input), layer.forward(input, y);
  std::printf("FINDING of 0 1 2 3, a new layer's first batch, comes %.2f %.2f .. %.2f\n", y.host()[0], y.host()[1], y.host()[3]);
  return dlib::mean(dlib::mat(y)) > 1 ? 0 : 1;
}
