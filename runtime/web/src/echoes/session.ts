/** Graphs run by onnxruntime-web. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import type { Bundle } from "./bundle";
import type { Device } from "./device";
import { BackendError, BundleError, messageOf } from "./errors";
import type { GraphName } from "./signatures";

export type Values = Float32Array | Int32Array;

export class Session {
  private constructor(
    readonly name: GraphName,
    private readonly device: Device,
    private readonly session: InferenceSession,
  ) {}

  static async create(bundle: Bundle, name: GraphName, device: Device): Promise<Session> {
    const { graph, externalData } = bundle.graph(name);
    let session: InferenceSession;
    try {
      session = await device.ort.InferenceSession.create(graph, {
        executionProviders: [device.name],
        externalData,
        logSeverityLevel: 3, // errors; that some nodes stay on the processor is none
      });
    } catch (error) {
      throw new BackendError(
        `graph ${name} of ${bundle.manifest.name} cannot be loaded on ${device.label}: ` +
          messageOf(error),
        { cause: error },
      );
    }
    const { inputs, outputs } = bundle.manifest.graphs[name]!.signature;
    for (const [side, got, said] of [
      ["inputs", session.inputNames, Object.keys(inputs)],
      ["outputs", session.outputNames, Object.keys(outputs)],
    ] as const) {
      if (got.toSorted().join() !== said.toSorted().join()) {
        throw new BundleError(
          `graph ${name} has the ${side} ${got.join(", ")}, the manifest says ${said.join(", ")}`,
        );
      }
    }
    return new Session(name, device, session);
  }

  /** Runs a graph of one input and gives the output that is asked for. */
  async run(input: string, values: Values, dims: readonly number[], output: string): Promise<Values> {
    const { ort } = this.device;
    const tensor: Tensor =
      values instanceof Float32Array
        ? new ort.Tensor("float32", values, dims)
        : new ort.Tensor("int32", values, dims);
    try {
      const results = await this.session.run({ [input]: tensor });
      return (await results[output]!.getData()) as Values;
    } catch (error) {
      throw new BackendError(
        `graph ${this.name} failed on ${this.device.label}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
