/** What a bundle says of its media; the records of echoes_rt/spec. */

export type Triple = readonly [number, number, number];

export interface ImageSpec {
  readonly height: number;
  readonly width: number;
  readonly mean: Triple;
  readonly std: Triple;
}

/** Log-mel parameters and the length of one clip. */
export interface MelSpec {
  readonly sample_rate: number;
  readonly n_fft: number;
  readonly win_length: number;
  readonly hop_length: number;
  readonly n_mels: number;
  readonly f_min: number;
  readonly f_max: number;
  readonly n_frames: number;
}

export const clipSamples = (mel: MelSpec): number => mel.n_frames * mel.hop_length;

export const GUIDANCE_SCHEDULES = ["constant", "annealed"] as const;
export type GuidanceSchedule = (typeof GUIDANCE_SCHEDULES)[number];

/** The dials of one generation. */
export interface Sampling {
  readonly steps: number;
  /** `uncond + s * (cond - uncond)`; 1 is off, and costs half. */
  readonly guidanceScale: number;
  /** Divides the logits before a token is drawn; 0 takes the likeliest. */
  readonly temperature: number;
  /** How much noise decides which tokens stay. */
  readonly choiceTemperature: number;
  readonly guidanceSchedule: GuidanceSchedule;
  /** Shares of the steps between which guidance counts. */
  readonly guidanceInterval: readonly [number, number];
}

/** The first rule that a value breaks, or undefined. */
export function samplingProblem(sampling: Sampling): string | undefined {
  if (!Number.isInteger(sampling.steps) || sampling.steps < 1) {
    return `steps must be at least 1, got ${sampling.steps}`;
  }
  const dials: [string, number, number][] = [
    ["guidance_scale", sampling.guidanceScale, 100],
    ["temperature", sampling.temperature, 10],
    ["choice_temperature", sampling.choiceTemperature, 100],
  ];
  for (const [name, value, limit] of dials) {
    if (!(value >= 0 && value <= limit)) return `${name} must be in [0, ${limit}], got ${value}`;
  }
  if (!GUIDANCE_SCHEDULES.includes(sampling.guidanceSchedule)) {
    const allowed = GUIDANCE_SCHEDULES.join(", ");
    return `guidance_schedule must be one of ${allowed}, got '${sampling.guidanceSchedule}'`;
  }
  const [start, stop] = sampling.guidanceInterval;
  if (!(start >= 0 && start <= stop && stop <= 1)) {
    return `guidance_interval must be two rising shares in [0, 1], got ${start}, ${stop}`;
  }
  return undefined;
}

/** The codes of one medium: rows x columns, row-major. */
export class Grid {
  constructor(
    readonly height: number,
    readonly width: number,
    readonly codebookSize: number,
  ) {}

  get nTokens(): number {
    return this.height * this.width;
  }
}

/** One sequence: image tokens first, then audio tokens. */
export class TokenLayout {
  constructor(
    readonly image: Grid,
    readonly audio: Grid,
  ) {}

  get nTokens(): number {
    return this.image.nTokens + this.audio.nTokens;
  }

  get vocabSize(): number {
    return Math.max(this.image.codebookSize, this.audio.codebookSize);
  }

  get maskTokenId(): number {
    return this.vocabSize;
  }
}
