/** The rules of `manifest.schema.json`, applied to values: every refusal names what is allowed. */

import schema from "../../../echoes_rt/format/manifest.schema.json";
import { shown } from "./errors";

/** The part of JSON Schema that the file uses. */
interface Rule {
  readonly $ref?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly description?: string;
  readonly items?: Rule;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Rule>>;
  readonly propertyNames?: Rule;
  readonly additionalProperties?: Rule;
}

const ROOT: Rule = schema;
const DEFINITIONS: Readonly<Record<string, Rule>> = schema.$defs;

/** A value that a rule refuses; `key` is its path, such as `graphs.vocoder.file`. */
export class BrokenRule extends Error {
  constructor(
    readonly key: string,
    problem: string,
  ) {
    super(`${key} ${problem}`);
  }

  static wrong(key: string, value: unknown, allowed: string): BrokenRule {
    return new BrokenRule(key, `must be ${allowed}, got ${shown(value)}`);
  }
}

/** The rule of one key, such as `ruleOf("sampling", "steps")`; of none, the whole file's. */
export function ruleOf(...path: readonly string[]): Rule {
  return path.reduce((rule, name) => resolved(rule.properties![name]!), ROOT);
}

/**
 * The value, without keys that no rule knows.
 *
 * @throws BrokenRule for the first value that is refused.
 */
export function check(value: unknown, rule: Rule, key = ""): unknown {
  rule = resolved(rule);
  const choices = "const" in rule ? [rule.const] : rule.enum;
  if (choices) {
    if (!choices.includes(value)) throw BrokenRule.wrong(key, value, `one of ${choices.join(", ")}`);
    return value;
  }
  return CHECKS[rule.type!]!(value, rule, key);
}

function resolved(rule: Rule): Rule {
  return rule.$ref === undefined ? rule : DEFINITIONS[rule.$ref.replace("#/$defs/", "")]!;
}

function number(value: unknown, rule: Rule, key: string): number {
  const [low, high, isWhole] = [rule.minimum!, rule.maximum!, rule.type === "integer"];
  const isKind = isWhole ? Number.isInteger(value) : typeof value === "number";
  // NaN is in no range.
  if (!isKind || !((value as number) >= low && (value as number) <= high)) {
    const kind = isWhole ? "a whole number" : "a number";
    throw BrokenRule.wrong(key, value, `${kind} in [${low}, ${high}]`);
  }
  return value as number;
}

function string(value: unknown, rule: Rule, key: string): string {
  if (typeof value !== "string" || !new RegExp(rule.pattern!, "u").test(value)) {
    throw BrokenRule.wrong(key, value, rule.description!);
  }
  return value;
}

function array(value: unknown, rule: Rule, key: string): unknown[] {
  const [low, high] = [rule.minItems!, rule.maxItems!];
  if (!Array.isArray(value) || value.length < low || value.length > high) {
    throw BrokenRule.wrong(key, value, `an array of ${low} to ${high} items`);
  }
  const items = value.map((item, i) => check(item, rule.items!, `${key}[${i}]`));
  if (rule.uniqueItems && new Set(items).size < items.length) {
    throw BrokenRule.wrong(key, value, "an array without repeats");
  }
  return items;
}

function object(value: unknown, rule: Rule, key: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw BrokenRule.wrong(key, value, "an object");
  }
  const prefix = key && `${key}.`;
  for (const name of rule.required!) {
    if (!Object.hasOwn(value, name)) throw new BrokenRule(`${prefix}${name}`, "is missing");
  }
  const { properties = {}, propertyNames, additionalProperties } = rule;
  const parts: [string, unknown][] = [];
  for (const [name, part] of Object.entries(value)) {
    if (propertyNames) check(name, propertyNames, key);
    const itsRule = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (itsRule) parts.push([name, check(part, itsRule, `${prefix}${name}`)]);
  }
  return Object.fromEntries(parts);
}

const CHECKS: Record<string, (value: unknown, rule: Rule, key: string) => unknown> = {
  integer: number,
  number,
  string,
  array,
  object,
};
