/** What the two cards show, and what it was asked for. */

import type { Pair, Picture, Pixels, Sound, Task, Tasks } from "../echoes";

/** Whose a medium is; a result is older once the other card shows something it was not made of. */
export type Role = "yours" | "sample" | "generated" | "older";

export interface ShownPicture {
  readonly pixels: Pixels;
  readonly role: Role;
  /** The seed of what was generated. */
  readonly seed?: bigint;
}

export interface ShownSound {
  readonly samples: Float32Array;
  readonly mel: Float32Array;
  readonly role: Role;
  readonly seed?: bigint;
}

export interface Scene {
  readonly picture?: ShownPicture;
  readonly sound?: ShownSound;
  /** What the model gave last. */
  readonly made: readonly (Sound | Picture)[];
  /** Whether the codes are those of the sound's last window alone. */
  readonly isLong: boolean;
  /** What was asked for last. */
  readonly wish?: Wish;
}

type Making = Exclude<Task, "clipMel">;

/** A task and what it is done to. */
export type Wish = {
  [T in Making]: { readonly task: T; readonly asks: Tasks[T]["asks"] };
}[Making];

export type Card = "picture" | "sound";

const OF_PICTURES: readonly Making[] = ["audioToImage", "varyImage", "inpaintImage"];

/** The card that a result appears in; of two cards the one that sounds. */
export const cardOf = ({ task }: Wish): Card => (OF_PICTURES.includes(task) ? "picture" : "sound");

/** A scene in which one medium is replaced by what somebody gave. */
export function withGiven(
  { picture, sound, ...scene }: Scene,
  given: { readonly picture: ShownPicture } | { readonly sound: ShownSound },
): Scene {
  return {
    ...scene,
    ...(picture && { picture: older(picture) }),
    ...(sound && { sound: older(sound) }),
    ...given,
  };
}

/** A scene with what the model made. */
export function withResult(
  scene: Scene,
  result: Sound | Picture | Pair,
  isLong: boolean,
): Scene {
  const made = "sound" in result ? [result.sound, result.picture] : [result];
  let { picture, sound } = scene;
  for (const item of made) {
    const { seed } = item;
    if ("samples" in item) {
      sound = { samples: item.samples, mel: item.mel, role: "generated", seed };
    } else {
      picture = { pixels: item.pixels, role: "generated", seed };
    }
  }
  return { ...scene, ...(picture && { picture }), ...(sound && { sound }), made, isLong };
}

function older<T extends ShownPicture | ShownSound>(shown: T): T {
  return shown.role === "generated" ? { ...shown, role: "older" } : shown;
}
