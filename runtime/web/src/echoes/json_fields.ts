/** Strict reading of JSON: every refusal names the key, its value and what is allowed. */

import { ManifestError, messageOf } from "./errors";
import { general } from "./numbers";

const SHOWN_CHARS = 60;

/** Objects and arrays within each other; a bundle's manifest has seven. */
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
      throw new Error(`the number ${token.slice(0, SHOWN_CHARS)} is too large`);
    }
  });
}

/** A value as JSON with Python's spaces, cut to fit a sentence. */
export function shown(value: unknown): string {
  const text = asJson(value);
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS - 3)}...`;
}

function asJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(asJson).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const parts = Object.entries(value).map(([key, item]) => `${asJson(key)}: ${asJson(item)}`);
    return `{${parts.join(", ")}}`;
  }
  const text = JSON.stringify(value) ?? String(value);
  return text.replace(
    /[^\x20-\x7e]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A value and the key under which it stands, such as `graphs.step.file`. */
export class Field {
  constructor(
    readonly key: string,
    readonly value: unknown,
  ) {}

  wrong(allowed: string): ManifestError {
    return new ManifestError(
      `manifest key ${this.key} must be ${allowed}, got ${shown(this.value)}`,
    );
  }

  integer(low: number, high: number): number {
    const { value } = this;
    if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
      throw this.wrong(`a whole number in [${low}, ${high}]`);
    }
    return value as number;
  }

  number(low: number, high: number): number {
    const { value } = this;
    if (typeof value !== "number" || !(low <= value && value <= high)) {
      throw this.wrong(`a number in [${general(low)}, ${general(high)}]`);
    }
    return value;
  }

  string(pattern: RegExp, allowed: string): string {
    if (typeof this.value !== "string" || !pattern.test(this.value)) throw this.wrong(allowed);
    return this.value;
  }

  choice<T extends string>(choices: readonly T[]): T {
    const found = choices.find((choice) => choice === this.value);
    if (found === undefined) throw this.wrong(`one of ${choices.join(", ")}`);
    return found;
  }

  array(low: number, high: number, of: string): Field[] {
    const { value } = this;
    if (!Array.isArray(value) || value.length < low || value.length > high) {
      throw this.wrong(`an array of ${low === high ? low : `${low} to ${high}`} ${of}`);
    }
    return value.map((item, i) => new Field(`${this.key}[${i}]`, item));
  }

  object(): ObjectField {
    const { value } = this;
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      throw this.wrong("an object");
    }
    return new ObjectField(this.key, value as Record<string, unknown>);
  }
}

/** A JSON object; keys that nobody asks for are allowed and ignored. */
export class ObjectField {
  constructor(
    readonly key: string,
    private readonly values: Record<string, unknown>,
  ) {}

  get names(): string[] {
    return Object.keys(this.values);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.values, name);
  }

  field(name: string): Field {
    if (!this.has(name)) throw new ManifestError(`manifest key ${this.path(name)} is missing`);
    return new Field(this.path(name), this.values[name]);
  }

  optional(name: string, missing: unknown): Field {
    return new Field(this.path(name), this.has(name) ? this.values[name] : missing);
  }

  private path(name: string): string {
    return this.key === "" ? name : `${this.key}.${name}`;
  }
}
