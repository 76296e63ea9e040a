/** Arithmetic as numpy and Python have it. */

const HALF = 0.5;

/** The nearest whole number; halves go to the even one. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== HALF) return rest < HALF ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** A number in at most six significant digits, as Python's format `g` writes it. */
export function general(value: number): string {
  const digits = value.toExponential(5);
  const exponent = Number(digits.slice(digits.indexOf("e") + 1));
  if (exponent >= -4 && exponent < 6) return String(Number(value.toPrecision(6)));
  const mantissa = String(Number(digits.slice(0, digits.indexOf("e"))));
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
}
