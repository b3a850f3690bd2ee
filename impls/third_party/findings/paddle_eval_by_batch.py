# targets: paddle, paddle-channels-last
# title: in eval() with use_global_stats=False, y uses the batch's statistics and dx the moving ones
# documented: not found in its API page or its issues
import paddle

layer, x = paddle.nn.BatchNorm1D(3, use_global_stats=False), paddle.randn((4, 3))
x.stop_gradient = False
trained = layer(x)
layer.eval()
y, var = layer(x), x.var(0, unbiased=False)
(dx,) = paddle.grad((y**3).sum(), [x])
assert (trained == y).all()
by_moving, by_batch = (3 * y**2 / (v.astype("float32") + 1e-5).sqrt() for v in (layer._variance, var))
assert paddle.allclose(dx, by_moving, 1e-4)
print(
    f"FINDING y is train()'s; dx is dy / sqrt(moving variance): {dx[0].numpy()}, {by_batch[0].numpy()} by the batch's"
)
