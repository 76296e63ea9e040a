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
