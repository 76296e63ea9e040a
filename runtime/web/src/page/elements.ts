/** The page's elements by their ids. */

const byId = <T extends HTMLElement>(id: string): T => {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element as T;
};

const button = (id: string) => byId<HTMLButtonElement>(id);
const input = (id: string) => byId<HTMLInputElement>(id);

export const page = {
  picture: byId<HTMLCanvasElement>("picture"),
  pictureFrame: byId("picture-frame"),
  pictureRole: byId("picture-role"),
  pictureFile: input("picture-file"),
  choosePicture: button("choose-picture"),
  sample: button("sample"),
  hear: button("hear"),
  savePicture: button("save-picture"),

  spectrogram: byId<HTMLCanvasElement>("spectrogram"),
  soundFrame: byId("sound-frame"),
  soundRole: byId("sound-role"),
  soundFile: input("sound-file"),
  chooseSound: button("choose-sound"),
  see: button("see"),
  saveSound: button("save-sound"),

  audio: byId<HTMLAudioElement>("audio"),
  player: byId("player"),
  play: button("play"),
  seek: input("seek"),
  time: byId("time"),
  playhead: byId("playhead"),

  make: byId<HTMLFormElement>("make"),
  seed: input("seed"),
  remake: button("remake"),
  another: button("another"),
  nothing: button("nothing"),
  cancel: button("cancel"),

  progress: byId<HTMLProgressElement>("progress"),
  status: byId("status"),
  step: byId("step"),
  problem: byId("problem"),

  settings: byId<HTMLDetailsElement>("settings"),
  steps: input("steps"),
  guidance: input("guidance"),
  temperature: input("temperature"),
  length: input("length"),
  device: byId<HTMLSelectElement>("device"),
  deviceNote: byId("device-note"),

  made: byId<HTMLDetailsElement>("made"),
  facts: byId("facts"),
  about: byId("about"),
};
