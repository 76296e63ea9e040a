// Runs one graph by onnxruntime-node: a JSON document a line in, one out. Arrays are base64.
// node graph_server.mjs NODE_MODULES GRAPH PROVIDER
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, graph, provider] = process.argv.slice(2);
const ort = createRequire(`${modules}/`)("onnxruntime-node");
const ARRAYS = { int32: Int32Array, float32: Float32Array, bool: Uint8Array };
// 1: every program that the GPU starts is said on stderr.
const options = { executionProviders: [provider], logSeverityLevel: 1 };
const session = await ort.InferenceSession.create(graph, options);

for await (const line of createInterface({ input: process.stdin })) {
  const feeds = {};
  for (const [name, { type, dims, data }] of Object.entries(JSON.parse(line))) {
    const bytes = new Uint8Array(Buffer.from(data, "base64"));
    feeds[name] = new ort.Tensor(type, new ARRAYS[type](bytes.buffer), dims);
  }
  const outputs = {};
  for (const [name, { type, dims, data }] of Object.entries(await session.run(feeds))) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    outputs[name] = { type, dims, data: bytes.toString("base64") };
  }
  process.stdout.write(`${JSON.stringify(outputs)}\n`);
}
