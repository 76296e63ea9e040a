/** Arithmetic and columns of row-major matrices (of codes, of log-mels), as numpy has them. */

const HALF = 0.5;

type Values = Float32Array | Int32Array;

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

/** The columns [from, to) of so many rows. */
export function columnsOf<T extends Values>(matrix: T, rows: number, from: number, to: number): T {
  const [width, part] = [matrix.length / rows, to - from];
  const columns = like(matrix, rows * part);
  for (let row = 0; row < rows; row++) {
    columns.set(matrix.subarray(row * width + from, row * width + to), row * part);
  }
  return columns;
}

/** Matrices of so many rows side by side; there is at least one. */
export function sideBySide<T extends Values>(matrices: readonly T[], rows: number): T {
  const width = matrices.reduce((sum, matrix) => sum + matrix.length / rows, 0);
  const joined = like(matrices[0]!, rows * width);
  let at = 0;
  for (const matrix of matrices) {
    const part = matrix.length / rows;
    for (let row = 0; row < rows; row++) {
      joined.set(matrix.subarray(row * part, (row + 1) * part), row * width + at);
    }
    at += part;
  }
  return joined;
}

function like<T extends Values>(values: T, size: number): T {
  return new (values.constructor as new (size: number) => T)(size);
}
