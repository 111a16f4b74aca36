/**
 * A connection's stream in the differential fuzz, made of sections: runs of one shape with an odd line in them, changing
 * shapes, binary commands, floods of gets, garbage. `pixelflut-fuzz-commands.ts` has the single commands.
 */
import { AIMS, FuzzCommands } from "./pixelflut-fuzz-commands.ts";
import { pick, pickSize, type FuzzWriter, type Random } from "./pixelflut-fuzz-writer.ts";
import type { ParserSetting } from "./pixelflut-parsers.ts";

/** What one connection is sent. */
export class FuzzStream {
  readonly #writer: FuzzWriter;
  readonly #random: Random;
  readonly #commands: FuzzCommands;
  readonly isStrict: boolean;
  /** False once most of what follows would be swallowed. */
  isUseful = true;

  constructor(writer: FuzzWriter, setting: ParserSetting) {
    this.#writer = writer;
    this.#random = writer.random;
    this.#commands = new FuzzCommands(writer, setting);
    this.isStrict = setting.protocol.isStrict;
  }

  /** Begins as a new connection. */
  restart(): void {
    this.isUseful = true;
    this.#commands.offsetX = 0;
    this.#commands.offsetY = 0;
  }

  /** What a browser says first, or nearly. */
  request(): void {
    this.#writer.text(pick(this.#random, ["GET / HTTP/1.1\r\n", "GET ", "GET", "\nGET ", " GET "]));
    if (this.#random(2) === 0) this.isUseful = false;
  }

  /** Some commands that belong together. */
  section(): void {
    const random = this.#random;
    const kind = random(100);
    if (kind < 50 && random(3) === 0) this.#commands.offset();
    if (kind < 40) this.#shapeRun();
    else if (kind < 50) this.#changingShapes();
    else if (kind < 60) this.#binaryRun();
    else if (kind < 68) this.#multis();
    else if (kind < 84) this.mixture(400);
    else if (kind < 89) this.#flood();
    else if (kind < 92) this.#words();
    else if (kind < 95) this.#noise();
    else if (kind < 98) this.#commands.longLine();
    else this.#end();
    if (random(3) === 0) this.#commands.resetOffset();
  }

  /** Many lines of one shape, most often with one odd line somewhere in them or with some. */
  #shapeRun(): void {
    const shape = this.#commands.pickShape();
    this.#run(pickSize(this.#random, 8_000), () => this.#commands.pixel(shape));
  }

  /** Writes a run of commands, of which none, one or some are not as they should be. */
  #run(count: number, write: () => void): void {
    const random = this.#random;
    const writer = this.#writer;
    const kind = this.isStrict ? 0 : random(8);
    const oddAt = kind < 2 ? -1 : random(count);
    const oneIn = kind < 7 ? 0 : 2 + random(200);
    for (let command = 0; command < count && !writer.isFull; command += 1) {
      const isOdd = command === oddAt || (oneIn > 0 && random(oneIn) === 0);
      const start = writer.length;
      if (isOdd && random(3) === 0) this.#odd();
      else write();
      if (isOdd) writer.damage(start);
    }
  }

  /** Lines of a few shapes, by turns or at random. */
  #changingShapes(): void {
    const random = this.#random;
    const first = this.#commands.pickShape();
    const shapes = [first, ...Array.from({ length: 1 + random(3) }, () => this.#commands.pickShape())];
    const turnLines = random(2) === 0 ? 0 : 1 + random(40);
    let line = 0;
    this.#run(pickSize(random, 4_000), () => {
      const next = turnLines === 0 ? random(shapes.length) : Math.floor(line / turnLines) % shapes.length;
      line += 1;
      this.#commands.pixel(shapes[next] ?? first);
    });
  }

  #binaryRun(): void {
    const random = this.#random;
    const aim = pick(random, AIMS);
    const alpha = pick(random, ["opaque", "random", "rare"] as const);
    this.#run(pickSize(random, 4_000), () => this.#commands.binary(aim, alpha));
  }

  #multis(): void {
    const count = pickSize(this.#random, 30);
    for (let command = 0; command < count && this.isUseful && !this.#writer.isFull; command += 1) {
      if (this.#commands.multi()) this.isUseful = false;
      if (this.#random(4) === 0) this.#commands.any();
    }
  }

  /** Commands of all kinds, up to `countMax`. */
  mixture(countMax: number): void {
    const count = pickSize(this.#random, countMax);
    for (let command = 0; command < count && !this.#writer.isFull; command += 1) this.#commands.any();
  }

  /** So many commands with replies that there is no room for them all, most of one kind and all others between. */
  #flood(): void {
    const random = this.#random;
    const commands = this.#commands;
    const get = { ...commands.pickShape(), colourDigits: 0 };
    const isSize = random(2) === 0;
    const oneIn = 2 + random(60);
    for (let count = pickSize(random, 12_000); count > 0 && !this.#writer.isFull; count -= 1) {
      if (random(oneIn) === 0) commands.reply();
      else if (isSize) this.#writer.text("SIZE");
      else commands.pixel(get);
    }
  }

  #words(): void {
    const count = pickSize(this.#random, 300);
    for (let command = 0; command < count && !this.#writer.isFull; command += 1) this.#commands.word();
  }

  /** Bytes without sense, of all values or of those that commands are made of. */
  #noise(): void {
    const random = this.#random;
    const writer = this.#writer;
    const count = pickSize(random, 2_000);
    const letters = "PX 0123456789abcdefABCDEF \n\n\r\t-+GETSIZHLPOFUQMB\0\xff";
    const isAny = random(2) === 0;
    for (let byte = 0; byte < count && !writer.isFull; byte += 1) {
      writer.byte(isAny ? random(256) : letters.charCodeAt(random(letters.length)));
    }
    if (random(2) === 0) writer.byte(0x0a);
  }

  #odd(): void {
    if (this.#random(3) === 0) this.#commands.any();
    else this.#commands.irregular();
  }

  /** QUIT, rarely: what follows on the connection is wasted. */
  #end(): void {
    if (this.#random(8) > 0) {
      this.#commands.resetOffset();
      return;
    }
    this.#writer.text(pick(this.#random, ["QUIT\n", " QUIT\t\r\n", "QUIT"]));
    this.isUseful = false;
  }
}
