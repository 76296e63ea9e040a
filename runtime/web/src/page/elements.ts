/** The page's elements by their ids, written in camel case. */

type Tags = HTMLElementTagNameMap & { "*": HTMLElement };

function byIds<Tag extends keyof Tags, Name extends string>(tag: Tag, ...names: Name[]) {
  const found = names.map((name) => {
    const id = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const element = document.querySelector(`${tag}#${id}`);
    if (!element) throw new Error(`the page has no element ${tag}#${id}`);
    return [name, element];
  });
  return Object.fromEntries(found) as Record<Name, Tags[Tag]>;
}

export const page = {
  // What is under way.
  ...byIds("*", "work", "status", "step", "problem"),
  ...byIds("progress", "progress"),
  ...byIds("button", "cancel"),

  // The picture and its changes.
  ...byIds("canvas", "picture"),
  ...byIds("*", "pictureCard", "pictureFrame", "pictureRole", "picturePart", "unknown"),
  ...byIds("button", "choosePicture", "hear", "savePicture"),
  ...byIds("details", "changePicture"),
  ...byIds("form", "replacePicture", "varyPicture"),
  ...byIds("input", "pictureFile", "partLeft", "partTop", "partWidth", "partHeight", "keepPicture"),

  // The sound and its changes.
  ...byIds("canvas", "spectrogram"),
  ...byIds("*", "soundCard", "soundFrame", "soundRole", "soundPart", "high", "low", "seconds"),
  ...byIds("button", "chooseSound", "see", "saveSound"),
  ...byIds("details", "changeSound"),
  ...byIds("form", "replaceSound", "continueSound", "varySound"),
  ...byIds("input", "soundFile", "partStart", "partStop", "more", "keepSound"),

  ...byIds("audio", "audio"),
  ...byIds("*", "player", "time", "playhead"),
  ...byIds("button", "play"),
  ...byIds("input", "seek"),

  // What is to be made, and what was.
  ...byIds("form", "make"),
  ...byIds("button", "remake", "another", "nothing"),
  ...byIds("input", "seed", "length"),
  ...byIds("details", "settings", "made", "knows"),
  ...byIds("select", "device"),
  ...byIds("*", "samples", "deviceNote", "facts", "labels", "about", "history", "results"),
  dials: byIds("input", "steps", "guidanceScale", "temperature"),
};
