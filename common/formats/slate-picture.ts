/**
 * Draws the slate, the picture that viewers see while there is no other: words in large letters on a dark ground, with
 * a row of coloured squares. A function of the size and the words alone.
 */
import {
  CHROMA_BLOCK_PIXELS,
  type FlatPicture,
  LUMA_BLOCK_PIXELS,
  MACROBLOCK_PIXELS,
} from "#common/formats/h264-writer.ts";
import { GLYPH_COLUMNS, GLYPH_ROWS, isInked } from "#common/formats/slate-font.ts";

/** What stands on the slate: capitals, digits and colons; words are kept whole. */
export interface SlateWords {
  readonly title: string;
  /** The first that the picture has room for, or none. */
  readonly messages: readonly string[];
}

/** Size of the picture that is shown, in pixels. */
export interface SlateSize {
  readonly width: number;
  readonly height: number;
  /** Of the frame, where more is cropped off than what fills up macroblocks. Default: as few as hold the picture. */
  readonly widthMacroblocks?: number;
  readonly heightMacroblocks?: number;
}

/** Luma in multiples of 16, chroma of 8, as a {@link FlatPicture} wants them. */
interface Colour {
  readonly luma: number;
  readonly blue: number;
  readonly red: number;
}

const GROUND: Colour = { luma: 32, blue: 136, red: 128 };
const TITLE_LUMA = 224;
const MESSAGE_LUMA = 160;
/** Red, orange, yellow, green, cyan, blue, magenta. */
const SQUARES: readonly Colour[] = [
  { luma: 80, blue: 104, red: 208 },
  { luma: 128, blue: 72, red: 184 },
  { luma: 176, blue: 48, red: 144 },
  { luma: 128, blue: 80, red: 72 },
  { luma: 144, blue: 160, red: 64 },
  { luma: 96, blue: 200, red: 104 },
  { luma: 96, blue: 168, red: 192 },
];
/** Blocks of luma in a block of chroma, on a side. */
const CHROMA_BLOCKS = CHROMA_BLOCK_PIXELS / LUMA_BLOCK_PIXELS;

/** How much of the picture words may take, and how much of that width the title. */
const ROOM_SHARE = 0.9;
const TITLE_SHARE = 0.75;

/** Lines that stand below each other, `scale` blocks to a dot of a letter. */
interface Paragraph {
  readonly lines: readonly string[];
  readonly scale: number;
  readonly luma: number;
}

/** The slate for a picture of `size`, in whole macroblocks. */
export function drawSlate(size: SlateSize, words: SlateWords): FlatPicture {
  const canvas = new FlatCanvas(size);
  const [title, message] = layOut(canvas, words);
  const gap = Math.max(CHROMA_BLOCKS, title.scale * 3);
  const squares = message.lines.length === 0 ? 0 : CHROMA_BLOCKS * Math.max(1, Math.round(title.scale / 2));
  const height = heightOf(title) + (squares === 0 ? 0 : gap + squares + gap + heightOf(message));
  let top = Math.max(0, Math.floor((canvas.rows - height) / 2));
  canvas.write(title, top);
  top += heightOf(title) + gap;
  if (squares === 0) return canvas.picture;
  top -= top % CHROMA_BLOCKS;
  canvas.addSquares(top, squares);
  canvas.write(message, top + squares + gap);
  return canvas.picture;
}

/** The largest letters that leave a margin: the message half as large as the title, or not there at all. */
function layOut(room: FlatCanvas, { title, messages }: SlateWords): readonly [Paragraph, Paragraph] {
  const columns = Math.floor(room.columns * ROOM_SHARE);
  const rows = Math.floor(room.rows * ROOM_SHARE);
  for (const message of messages) {
    for (let scale = Math.floor(columns / GLYPH_COLUMNS); scale > 0; scale--) {
      const large = { lines: [title], scale, luma: TITLE_LUMA };
      if (widthOf(large) > columns * TITLE_SHARE && scale > 1) continue;
      const small = wrap(message, { scale: Math.max(1, Math.floor(scale / 2)), columns });
      const height = heightOf(large) + scale * 8 + CHROMA_BLOCKS + heightOf(small);
      if (widthOf(large) <= columns && widthOf(small) <= columns && height <= rows) return [large, small];
    }
  }
  const large = wrap(title, { scale: 1, columns: room.columns });
  return [
    { ...large, luma: TITLE_LUMA },
    { ...large, lines: [] },
  ];
}

function wrap(
  text: string,
  { scale, columns }: { readonly scale: number; readonly columns: number },
): Paragraph {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`;
    const isFitting = lines.length > 0 && widthOf({ lines: [longer], scale }) <= columns;
    if (isFitting) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return { lines, scale, luma: MESSAGE_LUMA };
}

/** In blocks, with one dot between letters. */
function widthOf({ lines, scale }: Pick<Paragraph, "lines" | "scale">): number {
  return Math.max(0, ...lines.map((line) => line.length * (GLYPH_COLUMNS + 1) - 1)) * scale;
}

/** In blocks, with three dots between lines. */
function heightOf({ lines, scale }: Pick<Paragraph, "lines" | "scale">): number {
  return Math.max(0, lines.length * (GLYPH_ROWS + 3) - 3) * scale;
}

/** The blocks of a picture, ground to begin with. */
class FlatCanvas {
  readonly picture: FlatPicture;
  /** Blocks of luma that are shown. */
  readonly columns: number;
  readonly rows: number;
  readonly #stride: number;

  constructor({
    width,
    height,
    widthMacroblocks = Math.ceil(width / MACROBLOCK_PIXELS),
    heightMacroblocks = Math.ceil(height / MACROBLOCK_PIXELS),
  }: SlateSize) {
    const macroblocks = widthMacroblocks * heightMacroblocks;
    this.columns = Math.floor(width / LUMA_BLOCK_PIXELS);
    this.rows = Math.floor(height / LUMA_BLOCK_PIXELS);
    this.#stride = (widthMacroblocks * MACROBLOCK_PIXELS) / LUMA_BLOCK_PIXELS;
    const lumaBlocks = macroblocks * (MACROBLOCK_PIXELS / LUMA_BLOCK_PIXELS) ** 2;
    const chromaBlocks = macroblocks * (MACROBLOCK_PIXELS / CHROMA_BLOCK_PIXELS) ** 2;
    this.picture = {
      luma: new Uint8Array(lumaBlocks).fill(GROUND.luma),
      blue: new Uint8Array(chromaBlocks).fill(GROUND.blue),
      red: new Uint8Array(chromaBlocks).fill(GROUND.red),
    };
  }

  /** Writes lines in the middle, the first at row `top`. */
  write({ lines, scale, luma }: Paragraph, top: number): void {
    for (const [index, line] of lines.entries()) {
      const left = Math.floor((this.columns - widthOf({ lines: [line], scale })) / 2);
      const lineTop = top + index * (GLYPH_ROWS + 3) * scale;
      for (const [place, letter] of [...line].entries()) {
        this.#writeLetter({
          letter,
          scale,
          luma,
          left: left + place * (GLYPH_COLUMNS + 1) * scale,
          top: lineTop,
        });
      }
    }
  }

  /** The coloured squares in the middle, `side` blocks each and as far apart, where row `top` is one of chroma. */
  addSquares(top: number, side: number): void {
    const width = (2 * SQUARES.length - 1) * side;
    const left = Math.floor((this.columns - width) / 2 / CHROMA_BLOCKS) * CHROMA_BLOCKS;
    for (const [index, { luma, blue, red }] of SQUARES.entries()) {
      for (let y = top; y < top + side; y++) {
        for (let x = left + 2 * index * side; x < left + (2 * index + 1) * side; x++) {
          this.picture.luma[y * this.#stride + x] = luma;
          const at =
            Math.floor(y / CHROMA_BLOCKS) * (this.#stride / CHROMA_BLOCKS) + Math.floor(x / CHROMA_BLOCKS);
          this.picture.blue[at] = blue;
          this.picture.red[at] = red;
        }
      }
    }
  }

  #writeLetter(options: {
    readonly letter: string;
    readonly scale: number;
    readonly luma: number;
    readonly left: number;
    readonly top: number;
  }): void {
    const { letter, scale, luma, left, top } = options;
    for (let row = 0; row < GLYPH_ROWS * scale; row++) {
      for (let column = 0; column < GLYPH_COLUMNS * scale; column++) {
        if (!isInked(letter, Math.floor(column / scale), Math.floor(row / scale))) continue;
        this.#ink(left + column, top + row, luma);
      }
    }
  }

  #ink(x: number, y: number, luma: number): void {
    if (x >= 0 && x < this.columns && y >= 0 && y < this.rows) this.picture.luma[y * this.#stride + x] = luma;
  }
}
