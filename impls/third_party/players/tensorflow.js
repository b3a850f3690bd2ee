// TensorFlow.js: tf.layers.batchNormalization on its backend in plain JavaScript, "cpu", or in WebAssembly, and its player.
//
//     npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
//     NODE_PATH=node_modules bnproof check "exec:node tensorflow.js cpu"     (or wasm)
'use strict';

console.log = console.warn = console.error; // standard output is the wire's; TensorFlow.js greets
const tf = require('@tensorflow/tfjs');
const backend = process.argv[2] ?? 'cpu';
if (backend === 'wasm') require('@tensorflow/tfjs-backend-wasm');

function read(array) {
  const bytes = Buffer.from(array.data, 'base64');
  return tf.tensor(new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), array.shape, 'float32');
}

function write(tensor) {
  const values = tensor.dataSync(); // typed arrays are little-endian on every platform of Node
  return { dtype: 'float32', shape: tensor.shape, data: Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64') };
}

class Layer {
  constructor(setup) {
    const numbers = { epsilon: setup.eps ?? undefined, momentum: setup.momentum ?? undefined };
    this.layer = tf.layers.batchNormalization({ axis: -1, ...numbers });
    this.layer.build([...Array(setup.ndim - 1).fill(null), setup.num_features]);
    this.layer.setWeights([setup.gamma, setup.beta, setup.moving_mean, setup.moving_var].map(read));
  }

  run(step) {
    const training = step.op === 'train';
    const [gamma, beta] = this.layer.trainableWeights.map((weight) => weight.val);
    const x = tf.variable(read(step.x)), dy = read(step.dy);
    let y;
    const { grads } = tf.variableGrads(() => {
      y = tf.keep(this.layer.apply(x, { training }));
      return tf.sum(tf.mul(y, dy));
    }, [x, gamma, beta]);
    const [, , mean, variance] = this.layer.getWeights();
    const values = { y, dx: grads[x.name], dgamma: grads[gamma.name], dbeta: grads[beta.name], moving_mean: mean, moving_var: variance };
    return Object.fromEntries(Object.entries(values).map(([name, tensor]) => [name, write(tensor)]));
  }
}

function playStep(layers, step) {
  if (step.op !== 'train' && step.op !== 'eval') return { unsupported: `no ${step.op} here` };
  try {
    return { values: layers[step.session].run(step) };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

function play(request) {
  tf.disposeVariables();
  let layers;
  try {
    layers = request.setups.map((setup) => new Layer(setup));
  } catch (error) {
    return { seq: request.seq, error: `${error.name}: ${error.message}` };
  }
  const steps = [];
  for (const step of request.steps) {
    steps.push(playStep(layers, step));
    if (!steps[steps.length - 1].values) break;
  }
  return { seq: request.seq, steps };
}

const implementation = {
  name: 'tfjs', version: tf.version.tfjs, language: `JavaScript, Node ${process.version}`, device: 'cpu', conventions: 'keras', dtypes: ['float32'],
  ranks: [2, 3, 4], // at rank 5 its prediction "is not implemented yet"
};
tf.setBackend(backend).then((isThere) => {
  if (!isThere) throw new Error(`no backend ${backend}`);
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const request = JSON.parse(line);
    if (request.cmd === 'stop') process.exit();
    const answer = request.cmd === 'start' ? { ok: true, wire: 1, implementation } : tf.tidy(() => play(request));
    process.stdout.write(JSON.stringify(answer) + '\n');
  });
});
