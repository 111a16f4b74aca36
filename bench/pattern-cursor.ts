/** Where one connection stands in the pattern that it repeats, and what it has sent whole. */
import { commandsBefore, entryBefore, type Pattern } from "./pixel-patterns.ts";

/** What whole commands a connection has sent. */
export interface CursorCount {
  /** Index of the pattern's command that it began with. */
  readonly firstCommand: number;
  readonly commands: number;
  /** Pixels that they paint. */
  readonly pixels: number;
}

/** Begins at a command and goes round. */
export class PatternCursor {
  readonly pattern: Pattern;
  readonly #firstCommand: number;
  #offset: number;
  #passes = 0;

  /** @param command where to begin; moved back to one where a connection may */
  constructor(pattern: Pattern, command: number) {
    this.pattern = pattern;
    this.#firstCommand = entryBefore(pattern, command);
    this.#offset = pattern.starts[this.#firstCommand] ?? 0;
  }

  /** The next byte to send, from the pattern's beginning. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes from {@link offset} to the end of the pattern, never 0. */
  get left(): number {
    return this.pattern.bytes.length - this.#offset;
  }

  /** Goes on by bytes sent, at most {@link left}. */
  advance(byBytes: number): void {
    this.#offset += byBytes;
    if (this.#offset < this.pattern.bytes.length) return;
    this.#offset = 0;
    this.#passes += 1;
  }

  /** What is missing to the end of the command that has been begun; empty at a boundary. */
  restOfCommand(): Uint8Array {
    const { bytes, starts } = this.pattern;
    const end = starts[commandsBefore(starts, this.#offset)] ?? this.#offset;
    return bytes.subarray(this.#offset, end);
  }

  get count(): CursorCount {
    const { starts, pixels, pixelStarts } = this.pattern;
    const first = this.#firstCommand;
    const begun = commandsBefore(starts, this.#offset);
    // A command that was cut counts only once its last byte is sent.
    const whole = starts[begun] === this.#offset ? begun : begun - 1;
    const pixelsBetween = (pixelStarts[whole] ?? 0) - (pixelStarts[first] ?? 0);
    return {
      firstCommand: first,
      commands: Math.max(0, this.#passes * (starts.length - 1) + whole - first),
      pixels: Math.max(0, this.#passes * pixels.length + pixelsBetween),
    };
  }
}

/** How often each command of a pattern of `commands` was sent: `passes` by all, once more by those in `ranges`. */
export function passesOf(
  { firstCommand, commands }: Pick<CursorCount, "firstCommand" | "commands">,
  patternCommands: number,
): { readonly passes: number; readonly ranges: readonly (readonly [from: number, to: number])[] } {
  const passes = Math.floor(commands / patternCommands);
  const end = firstCommand + (commands % patternCommands);
  if (end <= patternCommands) return { passes, ranges: [[firstCommand, end]] };
  return {
    passes,
    ranges: [
      [firstCommand, patternCommands],
      [0, end - patternCommands],
    ],
  };
}
