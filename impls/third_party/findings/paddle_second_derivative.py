# targets: paddle
# title: differentiating the gradients of weight and bias alone ends the process; with that of x beside them it works
# documented: not found in its API page or its issues
import signal
import subprocess
import sys

CODE = """
import paddle
bn, dense = paddle.nn.BatchNorm1D(3), paddle.nn.Linear(3, 3)
x = dense(paddle.randn((8, 3)))
gradients = paddle.grad((bn(x) ** 3).sum(), WANTED, create_graph=True)
sum((g**2).sum() for g in gradients).backward()
"""
ends = [
    subprocess.run([sys.executable, "-c", CODE.replace("WANTED", wanted)], capture_output=True).returncode
    for wanted in ("[x, bn.weight, bn.bias]", "[bn.weight, bn.bias]")
]
assert ends == [0, -signal.SIGSEGV]
print(f"FINDING exit status {ends[0]} with x among what is differentiated, {signal.strsignal(-ends[1])} without it")
