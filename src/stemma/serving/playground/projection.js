// Vectors on a plane: their two principal components, found by power iteration on the table of their products.

const ROUNDS = 200;

/** The points [x, y] of the rows (N D), about their mean. */
export function principal(rows) {
  const mean = rows[0].map((_, column) => rows.reduce((sum, row) => sum + row[column], 0) / rows.length);
  const centred = rows.map((row) => row.map((value, column) => value - mean[column]));
  const products = centred.map((a) => centred.map((b) => dot(a, b))); // (N N)
  const axes = [];
  for (let place = 0; place < 2; place++) {
    const axis = leading(products, axes);
    axes.push(axis);
  }
  return rows.map((_, row) => axes.map(({ vector, size }) => vector[row] * Math.sqrt(Math.max(0, size))));
}

function leading(products, others) {
  let vector = products.map((_, row) => Math.sin(1 + row * (1 + others.length))); // any start that is not at right angles to what is sought
  for (let round = 0; round < ROUNDS; round++) {
    for (const other of others) {
      const share = dot(vector, other.vector);
      vector = vector.map((value, row) => value - share * other.vector[row]);
    }
    const next = products.map((row) => dot(row, vector));
    const length = Math.sqrt(dot(next, next));
    if (length < 1e-12) return { vector: vector.map(() => 0), size: 0 };
    vector = next.map((value) => value / length);
  }
  return { vector, size: dot(vector, products.map((row) => dot(row, vector))) };
}

export function dot(a, b) {
  let sum = 0;
  for (let place = 0; place < a.length; place++) sum += a[place] * b[place];
  return sum;
}

export const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
