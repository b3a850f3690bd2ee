// ONNX Runtime Web: the operator BatchNormalization in WebAssembly under Node, and its player.
//
//     npm install onnxruntime-web
//     NODE_PATH=node_modules bnproof check "exec:node onnxruntime_web.js 15"     (the opset)
'use strict';

const ort = require('onnxruntime-web');
ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'fatal';
const opset = Number(process.argv[2] ?? 15), PARAMETERS = ['gamma', 'beta', 'moving_mean', 'moving_var'];

// ---- a model of one node, in protobuf (onnx.proto has the numbers of the fields) ----

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
const int = (field, n) => [field << 3, ...varint(n)].flat();
const float = (field, x) => [(field << 3) | 5, ...new Uint8Array(Float32Array.of(x).buffer)];
const bytes = (field, content) => [...varint((field << 3) | 2), ...varint(content.length), ...content];
const text = (field, string) => bytes(field, Buffer.from(string));
const message = (field, ...parts) => bytes(field, parts.flat());

function value(field, name, rank) { // a float tensor whose sizes are open
  const shape = message(2, ...Array.from({ length: rank }, () => message(1)));
  return message(field, text(1, name), message(2, message(1, int(1, 1), shape)));
}

function model(rank, eps, momentum, outputs) {
  const numbers = Object.entries({ epsilon: eps, momentum }).filter(([, x]) => x !== null);
  const attributes = numbers.map(([name, x]) => message(5, text(1, name), float(2, x), [...varint(20 << 3), 1]));
  if (outputs.length > 1) attributes.push(message(5, text(1, 'training_mode'), int(3, 1), [...varint(20 << 3), 2]));
  const inputs = ['x', ...PARAMETERS];
  const node = message(1, ...inputs.map((name) => text(1, name)), ...outputs.map((name) => text(2, name)), text(4, 'BatchNormalization'), ...attributes);
  const sized = (field) => (name) => value(field, name, name === 'x' || name === 'y' ? rank : 1);
  const graph = message(7, node, text(2, 'g'), ...inputs.map(sized(11)), ...outputs.map(sized(12)));
  return Uint8Array.from([...int(1, 8), ...graph, ...message(8, text(1, ''), int(2, opset))]);
}

// ---- the player ----

function read(array) {
  const content = Buffer.from(array.data, 'base64');
  return new ort.Tensor('float32', new Float32Array(content.buffer.slice(content.byteOffset, content.byteOffset + content.length)), array.shape);
}

function write({ data, dims }) {
  return { dtype: 'float32', shape: dims, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') };
}

class Layer {
  constructor(setup) {
    this.setup = setup;
    this.sessions = {};
    this.arrays = Object.fromEntries(PARAMETERS.map((name) => [name, read(setup[name])]));
  }

  async run(step) {
    const outputs = step.op === 'train' ? ['y', 'new_mean', 'new_var'] : ['y'];
    const { ndim, eps, momentum } = this.setup;
    this.sessions[step.op] ??= await ort.InferenceSession.create(model(ndim, eps, momentum, outputs), { logSeverityLevel: 4 });
    const { y, new_mean, new_var } = await this.sessions[step.op].run({ x: read(step.x), ...this.arrays });
    if (new_mean) Object.assign(this.arrays, { moving_mean: new_mean, moving_var: new_var });
    return { y: write(y), moving_mean: write(this.arrays.moving_mean), moving_var: write(this.arrays.moving_var) };
  }
}

async function playStep(layers, step) {
  if (step.op !== 'train' && step.op !== 'eval') return { unsupported: `no ${step.op} here` };
  if (step.op === 'train' && opset < 14) return { unsupported: `opset ${opset} has no training outputs` };
  try {
    return { values: await layers[step.session].run(step) };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

async function play(request) {
  const layers = request.setups.map((setup) => new Layer(setup)), steps = [];
  for (const step of request.steps) {
    steps.push(await playStep(layers, step));
    if (!steps[steps.length - 1].values) break;
  }
  for (const layer of layers) for (const session of Object.values(layer.sessions)) await session.release();
  return { seq: request.seq, steps };
}

const implementation = {
  name: 'onnxruntime-web', version: ort.env.versions.web, language: `JavaScript, Node ${process.version}`, device: 'cpu', conventions: 'onnx', dtypes: ['float32'],
  versions: { 'onnxruntime-web': ort.env.versions.web },
};
async function main() {
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.cmd === 'stop') process.exit();
    const answer = request.cmd === 'start' ? { ok: true, wire: 1, implementation } : await play(request);
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}
main();
