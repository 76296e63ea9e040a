/** Graphs run by onnxruntime-web. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import type { Bundle } from "./bundle";
import type { Device } from "./device";
import { BackendError, messageOf } from "./errors";
import type { GraphName } from "./manifest";

export type Tensors = Readonly<Record<string, Tensor>>;

export class Session {
  private constructor(
    readonly name: GraphName,
    private readonly device: Device,
    private readonly session: InferenceSession,
  ) {}

  static async create(bundle: Bundle, name: GraphName, device: Device): Promise<Session> {
    const { graph, externalData } = bundle.graph(name);
    try {
      const session = await device.ort.InferenceSession.create(graph, {
        executionProviders: [device.name],
        externalData,
        logSeverityLevel: 3, // errors; that some nodes stay on the processor is none
      });
      return new Session(name, device, session);
    } catch (error) {
      throw new BackendError(
        `graph ${name} of ${bundle.manifest.name} cannot be loaded on ${device.label}: ` +
          messageOf(error),
        { cause: error },
      );
    }
  }

  /** The dimensions of an input, a name where one is free; undefined if there is no such input. */
  shapeOf(input: string): readonly (number | string)[] | undefined {
    const found = this.session.inputMetadata.find(({ name }) => name === input);
    return found?.isTensor ? found.shape : undefined;
  }

  tensor(values: Float32Array | Int32Array, dims: readonly number[]): Tensor {
    const { ort } = this.device;
    return values instanceof Float32Array
      ? new ort.Tensor("float32", values, dims)
      : new ort.Tensor("int32", values, dims);
  }

  /** Takes the graph's inputs by name and gives its outputs by name. */
  async run(inputs: Tensors): Promise<Tensors> {
    try {
      return await this.session.run(inputs);
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
