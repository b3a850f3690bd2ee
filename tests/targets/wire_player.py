"""A player of the wire in plain Python, right but for the one mistake that its argument names; it needs NumPy alone."""

import base64
import json
import os
import sys
import time

import numpy as np

MISTAKE = sys.argv[1] if len(sys.argv) > 1 else ""
LAYERS = []


def read(array):
    return np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).reshape(array["shape"])


def write(array):
    array = np.asarray(array)
    content = array.astype(array.dtype.newbyteorder(">")) if MISTAKE == "big-endian" else array
    content = content.tobytes(order="F" if MISTAKE == "column-major" else "C")
    if MISTAKE == "short-data":
        content = content[:-4]
    shape = [array.size] if MISTAKE == "flat" else list(array.shape)
    data = base64.b64encode(content).decode()
    return {"dtype": array.dtype.name, "shape": shape, "data": "%" + data if MISTAKE == "not-base64" else data}


class Layer:
    def __init__(self, setup):
        self.eps, self.momentum = setup["eps"], setup["momentum"]
        self.gamma, self.beta, self.mean, self.var = (
            read(setup[name]) for name in ("gamma", "beta", "moving_mean", "moving_var")
        )

    def train(self, x, dy):
        axes = (0, *range(2, x.ndim))
        mean, var = x.mean(axes), x.var(axes)
        results = self.normalize(x, dy, mean, var, axes, True)
        self.mean = self.momentum * self.mean + (1 - self.momentum) * mean
        self.var = self.momentum * self.var + (1 - self.momentum) * var
        return results

    def eval(self, x, dy):
        return self.normalize(x, dy, self.mean, self.var, (0, *range(2, x.ndim)), False)

    def normalize(self, x, dy, mean, var, axes, training):
        def per_channel(values):
            return values.reshape(1, -1, *[1] * (x.ndim - 2))

        std = per_channel(np.sqrt(var + self.eps))
        x_hat = (x - per_channel(mean)) / std
        through = x_hat * (x_hat * dy).mean(axes, keepdims=True) + dy.mean(axes, keepdims=True) if training else 0
        return {
            "y": x_hat * per_channel(self.gamma) + per_channel(self.beta),
            "dx": per_channel(self.gamma) / std * (dy - through),
            "dgamma": (dy * x_hat).sum(axes),
            "dbeta": dy.sum(axes),
        }


def layers_of(setups):
    if MISTAKE == "one-object":
        return [Layer(setups[0])] * len(setups)
    if MISTAKE == "kept" and len(LAYERS) == len(setups):
        return LAYERS
    LAYERS[:] = [Layer(setup) for setup in setups]
    return LAYERS


def played(layer, step):
    if step["op"] not in ("train", "eval"):
        if MISTAKE == "dies-of-the-unknown":
            raise KeyError(step["op"])
        return {"unsupported": "no such operation"}
    values = getattr(layer, step["op"])(read(step["x"]), read(step["dy"]))
    values |= {"moving_mean": layer.mean, "moving_var": layer.var}
    if MISTAKE == "other-names":
        values["grad_input"] = values.pop("dx")
    if MISTAKE == "wide":
        values["y"] = values["y"].astype("float64" if values["y"].dtype == "float32" else "float32")
    if MISTAKE == "lists":
        return {"values": {name: value.tolist() for name, value in values.items()}}
    return {"results" if MISTAKE == "no-values" else "values": {name: write(value) for name, value in values.items()}}


def answer_to(request):
    if request["cmd"] == "start":
        implementation = {"name": "plain", "version": "1", "language": "Python", "device": "cpu", "conventions": "d2l"}
        if MISTAKE == "unknown-preset":
            implementation["conventions"] = "pytorch"
        if MISTAKE == "other-dtypes":
            implementation["dtypes"] = ["f32"]
        version = 2 if MISTAKE == "other-version" else 1
        return {"status" if MISTAKE == "not-ok" else "ok": True, "wire": version, "implementation": implementation}
    layers = layers_of(request["setups"])
    steps = [played(layers[step["session"]], step) for step in request["steps"]]
    if MISTAKE == "one-step":
        steps = steps[:1]
    seq = request["seq"] - 1 if MISTAKE == "other-seq" else request["seq"]
    return {"seq": seq, "steps": steps[0] if MISTAKE == "no-list" else steps}


def send(request):
    line = json.dumps(answer_to(request)).encode() + b"\n"
    if request["cmd"] == "play":
        if MISTAKE == "late":
            time.sleep(60)
        if MISTAKE == "no-json":
            line = b"steps: 3\n"
        if MISTAKE == "not-utf-8":
            line = line.replace(b"values", b"val\xffes")
        if MISTAKE == "endless":
            while True:
                sys.stdout.buffer.write(b" " * 2**16)
        if MISTAKE == "truncated":
            sys.stdout.buffer.write(line[:100])
            sys.stdout.flush()
            os._exit(0)
        if MISTAKE == "twice":
            line += line
        if MISTAKE == "prints":
            line = b"normalizing a batch\n" + line
        if MISTAKE == "deep":
            line = b"[" * 100000 + b"\n"
    sys.stdout.buffer.write(line)
    if MISTAKE != "unflushed":
        sys.stdout.flush()


for text in sys.stdin:
    asked = json.loads(text)
    if asked["cmd"] == "stop" and MISTAKE != "goes-on":
        break
    if asked["cmd"] != "stop":
        send(asked)
if MISTAKE == "goes-on":
    time.sleep(60)
