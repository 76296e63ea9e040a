/** The page's elements by their ids. */

const byId = <T extends HTMLElement>(id: string): T => {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element as T;
};

const button = (id: string) => byId<HTMLButtonElement>(id);
const input = (id: string) => byId<HTMLInputElement>(id);
const form = (id: string) => byId<HTMLFormElement>(id);
const canvas = (id: string) => byId<HTMLCanvasElement>(id);
const details = (id: string) => byId<HTMLDetailsElement>(id);

export const page = {
  work: byId("work"),
  progress: byId<HTMLProgressElement>("progress"),
  status: byId("status"),
  step: byId("step"),
  cancel: button("cancel"),
  problem: byId("problem"),

  pictureCard: byId("picture-card"),
  picture: canvas("picture"),
  pictureFrame: byId("picture-frame"),
  pictureRole: byId("picture-role"),
  pictureFile: input("picture-file"),
  choosePicture: button("choose-picture"),
  hear: button("hear"),
  savePicture: button("save-picture"),
  samples: byId("samples"),
  unknown: byId("unknown"),

  changePicture: details("change-picture"),
  picturePart: byId("picture-part"),
  partLeft: input("part-left"),
  partTop: input("part-top"),
  partWidth: input("part-width"),
  partHeight: input("part-height"),
  replacePicture: form("replace-picture"),
  keepPicture: input("keep-picture"),
  varyPicture: form("vary-picture"),

  soundCard: byId("sound-card"),
  spectrogram: canvas("spectrogram"),
  soundFrame: byId("sound-frame"),
  soundRole: byId("sound-role"),
  soundFile: input("sound-file"),
  high: byId("high"),
  low: byId("low"),
  seconds: byId("seconds"),
  chooseSound: button("choose-sound"),
  see: button("see"),
  saveSound: button("save-sound"),

  audio: byId<HTMLAudioElement>("audio"),
  player: byId("player"),
  play: button("play"),
  seek: input("seek"),
  time: byId("time"),
  playhead: byId("playhead"),

  changeSound: details("change-sound"),
  soundPart: byId("sound-part"),
  partStart: input("part-start"),
  partStop: input("part-stop"),
  replaceSound: form("replace-sound"),
  more: input("more"),
  continueSound: form("continue-sound"),
  keepSound: input("keep-sound"),
  varySound: form("vary-sound"),

  make: form("make"),
  seed: input("seed"),
  remake: button("remake"),
  another: button("another"),
  nothing: button("nothing"),

  history: byId("history"),
  results: byId("results"),

  settings: details("settings"),
  dials: {
    steps: input("steps"),
    guidanceScale: input("guidance"),
    temperature: input("temperature"),
  },
  length: input("length"),
  device: byId<HTMLSelectElement>("device"),
  deviceNote: byId("device-note"),

  made: details("made"),
  facts: byId("facts"),
  knows: details("knows"),
  labels: byId("labels"),
  about: byId("about"),
};
