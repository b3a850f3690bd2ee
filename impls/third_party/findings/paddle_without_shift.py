# targets: paddle, paddle-channels-last
# title: without its shift (bias_attr=False) the layer's scale has no gradient, and without its scale its shift has none
# documented: PaddlePaddle/Paddle#47634 adds a check that both train or neither, which these do not meet
import paddle


def gradients(**built_without):
    layer = paddle.nn.BatchNorm1D(3, **built_without)
    (layer(paddle.randn((4, 3))) ** 2).sum().backward()
    return [parameter.grad for parameter in (layer.weight, layer.bias) if parameter is not None]


assert all(gradient is not None for gradient in gradients())
assert gradients(bias_attr=False) == gradients(weight_attr=False) == [None]
print("FINDING weight.grad is None with bias_attr=False, bias.grad is None with weight_attr=False: they never train")
