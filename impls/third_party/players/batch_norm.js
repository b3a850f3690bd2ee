// A batch norm in plain JavaScript and its player: `bnproof check "exec:node batch_norm.js"`.
'use strict';

const read = (array) => {
  const bytes = Buffer.from(array.data, 'base64');
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};
const write = (values, shape) => ({ dtype: 'float64', shape, data: Buffer.from(Float64Array.from(values).buffer).toString('base64') });

class BatchNorm {
  constructor(setup) {
    Object.assign(this, { eps: setup.eps, momentum: setup.momentum, gamma: read(setup.gamma), beta: read(setup.beta) });
    Object.assign(this, { mean: read(setup.moving_mean), variance: read(setup.moving_var) });
  }

  run(x, dy, shape, training) {
    const channels = shape[1], inner = shape.slice(2).reduce((a, b) => a * b, 1), n = x.length / channels;
    const y = x.slice(), dx = x.slice(), dgamma = new Float64Array(channels), dbeta = new Float64Array(channels);
    for (let c = 0; c < channels; c++) {
      const places = [];
      for (let i = c * inner; i < x.length; i += channels * inner) for (let j = i; j < i + inner; j++) places.push(j);
      const average = (f) => places.reduce((sum, i) => sum + f(i), 0) / n;
      const mean = training ? average((i) => x[i]) : this.mean[c];
      const variance = training ? average((i) => (x[i] - mean) ** 2) : this.variance[c];
      const std = Math.sqrt(variance + this.eps), normal = (i) => (x[i] - mean) / std;
      dbeta[c] = average((i) => dy[i]) * n;
      dgamma[c] = average((i) => dy[i] * normal(i)) * n;
      for (const i of places) {
        y[i] = this.gamma[c] * normal(i) + this.beta[c];
        const through = training ? (dbeta[c] + normal(i) * dgamma[c]) / n : 0;
        dx[i] = (this.gamma[c] * (dy[i] - through)) / std;
      }
      if (training) {
        this.mean[c] = this.momentum * this.mean[c] + (1 - this.momentum) * mean;
        this.variance[c] = this.momentum * this.variance[c] + (1 - this.momentum) * variance;
      }
    }
    const per = [channels];
    return { y: write(y, shape), dx: write(dx, shape), dgamma: write(dgamma, per), dbeta: write(dbeta, per),
      moving_mean: write(this.mean, per), moving_var: write(this.variance, per) };
  }
}

function play(request) {
  const layers = request.setups.map((setup) => new BatchNorm(setup));
  return request.steps.map((step) => {
    if (step.op !== 'train' && step.op !== 'eval') return { unsupported: `no ${step.op} here` };
    return { values: layers[step.session].run(read(step.x), read(step.dy), step.x.shape, step.op === 'train') };
  });
}

const implementation = { name: 'plain-js', version: '1', language: 'JavaScript', device: 'cpu', conventions: 'd2l', dtypes: ['float64'] };
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  if (request.cmd === 'stop') process.exit();
  console.log(JSON.stringify(request.cmd === 'start' ? { ok: true, wire: 1, implementation } : { seq: request.seq, steps: play(request) }));
});
