/** A program that plays, started by `bench players`: its frames and errors by what it prints. */
import type { Clock } from "#common/clock.ts";
import { createFrameWatch, STILL_MS } from "./frame-watch.ts";
import type { PlayFigures } from "./play.ts";
import type { PlayerProgram } from "./player-programs.ts";

/** How long a program may take to end before it is killed. Milliseconds. */
const END_MS_MAX = 5_000;
/** What is kept of a line without an end, and how many errors. */
const LINE_LENGTH_MAX = 65_536;
const ERRORS_MAX = 1_000;

/** Plays from its creation until it is disposed of. */
export class PlayerProcess implements AsyncDisposable {
  readonly #program: PlayerProgram;
  readonly #clock: Clock;
  readonly #watch;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #reading: Promise<unknown>;
  #frames = 0;
  #dropped = 0;
  readonly #errors: string[] = [];
  readonly #fatal: string[] = [];
  #isEnding = false;
  #isOver = false;
  readonly #onExit = (): void => this.#process.kill("SIGKILL");

  constructor(program: PlayerProgram, { url, clock }: { readonly url: string; readonly clock: Clock }) {
    this.#program = program;
    this.#clock = clock;
    this.#watch = createFrameWatch(clock.monotonicMs(), STILL_MS);
    this.#process = Bun.spawn([program.program, ...program.args(url)], {
      env: { ...process.env, ...program.environment },
      stdio: ["ignore", "pipe", "pipe"],
      // Ctrl-C is for the script alone, which ends its players.
      detached: true,
    });
    process.on("exit", this.#onExit);
    this.#reading = this.#follow();
  }

  get figures(): PlayFigures {
    const { tellsDropped } = this.#program;
    return {
      ...this.#watch.figures(this.#clock.monotonicMs()),
      dropped: tellsDropped ? this.#dropped : null,
      errors: [...this.#errors],
      fatal: [...this.#fatal],
      isOver: this.#isOver,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    this.#process.kill("SIGTERM");
    const cancel = this.#clock.after(END_MS_MAX, () => this.#process.kill("SIGKILL"));
    await this.#reading;
    cancel();
    process.off("exit", this.#onExit);
  }

  async #follow(): Promise<void> {
    const { stdout, stderr, exited } = this.#process;
    await Promise.all([this.#read(stdout), this.#read(stderr)]);
    const status = await exited;
    this.#isOver = true;
    if (!this.#isEnding) this.#fatal.push(`ended by itself with status ${status}`);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of stream) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split(/[\r\n]+/);
      rest = (lines.pop() ?? "").slice(-LINE_LENGTH_MAX);
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    const { frames, newFrames, dropped, error, fatal } = this.#program.read(line);
    if (frames !== undefined) this.#frames = frames;
    if (newFrames !== undefined) this.#frames += newFrames;
    if (dropped !== undefined) this.#dropped = dropped;
    if (frames !== undefined || newFrames !== undefined)
      this.#watch.shown(this.#frames, this.#clock.monotonicMs());
    if (error !== undefined && this.#errors.length < ERRORS_MAX) this.#errors.push(error);
    if (fatal !== undefined && this.#fatal.length < ERRORS_MAX) this.#fatal.push(fatal);
  }
}
