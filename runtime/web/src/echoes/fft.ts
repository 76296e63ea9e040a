/** The discrete Fourier transform of real frames of one size. */

/** Splits by two while it can; what is left over is summed directly. */
export class Fft {
  private readonly cosines: Float64Array;
  private readonly sines: Float64Array;
  private readonly real: Float64Array;
  private readonly imaginary: Float64Array;

  constructor(readonly size: number) {
    const angle = (i: number) => (-2 * Math.PI * i) / size;
    this.cosines = Float64Array.from({ length: size }, (_, i) => Math.cos(angle(i)));
    this.sines = Float64Array.from({ length: size }, (_, i) => Math.sin(angle(i)));
    this.real = new Float64Array(size);
    this.imaginary = new Float64Array(size);
  }

  /** Magnitudes of the first `size / 2 + 1` bins. */
  magnitudes(frame: Float32Array, out: Float32Array): void {
    this.transform(frame, 0, 1, this.size, 0);
    for (let i = 0; i < out.length; i++) out[i] = Math.hypot(this.real[i]!, this.imaginary[i]!);
  }

  /** The transform of `count` samples from `start`, `stride` apart, to bins from `at` on. */
  private transform(
    frame: Float32Array,
    start: number,
    stride: number,
    count: number,
    at: number,
  ): void {
    if (count % 2 !== 0) {
      this.sumDirectly(frame, start, stride, count, at);
      return;
    }
    const half = count / 2;
    this.transform(frame, start, 2 * stride, half, at);
    this.transform(frame, start + stride, 2 * stride, half, at + half);
    const { real, imaginary } = this;
    for (let i = at; i < at + half; i++) {
      const [c, s] = [this.cosines[(i - at) * stride]!, this.sines[(i - at) * stride]!];
      const re = real[i + half]! * c - imaginary[i + half]! * s;
      const im = real[i + half]! * s + imaginary[i + half]! * c;
      real[i + half] = real[i]! - re;
      imaginary[i + half] = imaginary[i]! - im;
      real[i] = real[i]! + re;
      imaginary[i] = imaginary[i]! + im;
    }
  }

  private sumDirectly(
    frame: Float32Array,
    start: number,
    stride: number,
    count: number,
    at: number,
  ): void {
    for (let bin = 0; bin < count; bin++) {
      let [re, im] = [0, 0];
      for (let i = 0; i < count; i++) {
        const turn = ((bin * i) % count) * stride;
        re += frame[start + i * stride]! * this.cosines[turn]!;
        im += frame[start + i * stride]! * this.sines[turn]!;
      }
      this.real[at + bin] = re;
      this.imaginary[at + bin] = im;
    }
  }
}
