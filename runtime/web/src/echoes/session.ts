/** Graphs run by onnxruntime-web. */

import type { InferenceSession, Tensor } from "onnxruntime-web";

import type { Bundle } from "./bundle";
import type { Device } from "./device";
import { BackendError, messageOf } from "./errors";
import type { GraphName } from "./manifest";

export type Values = Float32Array | Int32Array;
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

  /** Type and shape of an input as the graph says them; undefined if it has no such input. */
  input(name: string): InferenceSession.TensorValueMetadata | undefined {
    const found = this.session.inputMetadata.find((input) => input.name === name);
    return found?.isTensor ? found : undefined;
  }

  /** What an input takes, of no member. */
  noRows(name: string): Tensor {
    const { type, shape } = this.input(name)!;
    // Whatever the type is, nothing of it is an empty array.
    return new this.device.ort.Tensor(type as "float32", [], [0, ...shape.slice(1).map(Number)]);
  }

  /** Of one row, if nothing else is said. */
  tensor(values: Values, dims: readonly number[] = [1, values.length]): Tensor {
    return new this.device.ort.Tensor(values as Float32Array, dims);
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
