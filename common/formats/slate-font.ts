/** The letters of the slate: capitals, digits and a colon, five columns wide and seven rows high. */

export const GLYPH_COLUMNS = 5;
export const GLYPH_ROWS = 7;

/** Five columns for each letter, two hexadecimal digits a column; the lowest bit is the top row. */
const GLYPHS: Readonly<Record<string, string>> = {
  "0": "3e5149453e",
  "1": "00427f4000",
  "2": "6251494946",
  "3": "2241494936",
  "4": "1814127f10",
  "5": "2745454539",
  "6": "3c4a494930",
  "7": "0171090503",
  "8": "3649494936",
  "9": "064949291e",
  ":": "0000240000",
  A: "7e0909097e",
  B: "7f49494936",
  C: "3e41414122",
  D: "7f4141413e",
  E: "7f49494941",
  F: "7f09090901",
  G: "3e4149493a",
  H: "7f0808087f",
  I: "00417f4100",
  J: "204040403f",
  K: "7f08142241",
  L: "7f40404040",
  M: "7f020c027f",
  N: "7f0408107f",
  O: "3e4141413e",
  P: "7f09090906",
  Q: "3e4151215e",
  R: "7f09192946",
  S: "2649494932",
  T: "01017f0101",
  U: "3f4040403f",
  V: "1f2040201f",
  W: "3f4038403f",
  X: "6314081463",
  Y: "0708700807",
  Z: "6151494543",
};

/** True where the letter is drawn; all others, and the space, are empty. */
export function isInked(letter: string, column: number, row: number): boolean {
  const columns = GLYPHS[letter];
  if (columns === undefined) return false;
  return ((Number.parseInt(columns.slice(column * 2, column * 2 + 2), 16) >> row) & 1) === 1;
}
