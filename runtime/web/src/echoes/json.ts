/** JSON without its traps. */

import { ManifestError, messageOf, shown } from "./errors";

/** Objects and arrays within each other; a bundle's manifest has five. */
const MAX_DEPTH = 64;

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/**
 * UTF-8 JSON without its traps, the same in every language's reader: a byte-order mark, numbers
 * beyond a double, repeated keys, halves of surrogate pairs and deep nesting are refused.
 *
 * @throws ManifestError if `bytes` are not such JSON.
 */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    // A byte-order mark stays in the text, where JSON has no place for it.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    checkTokens(text.match(TOKEN) ?? []);
    return value;
  } catch (error) {
    throw new ManifestError(`the manifest is not valid JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** What JSON.parse lets pass; its own rules are kept already. */
function checkTokens(tokens: readonly string[]): void {
  const open: (Set<string> | undefined)[] = []; // the keys of each object, innermost last
  tokens.forEach((token, i) => {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      if (open.length > MAX_DEPTH) {
        throw new Error(`it is nested deeper than the ${MAX_DEPTH} levels allowed`);
      }
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (token.startsWith('"')) {
      const text = JSON.parse(token) as string;
      if (/\p{Surrogate}/u.test(text)) {
        throw new Error(`${shown(text)} has half a surrogate pair`);
      }
      const keys = open.at(-1);
      if (tokens[i + 1] !== ":" || !keys) return;
      if (keys.has(text)) throw new Error(`key ${shown(text)} appears twice in one object`);
      keys.add(text);
    } else if (/^-?\d/.test(token) && !Number.isFinite(Number(token))) {
      throw new Error(`the number ${shown(token)} is too large`);
    }
  });
}
