/**
 * One upstream of several, or the only one: its connections, whether it is well, and how long it takes to answer. Where
 * there are others it is probed all the time; one that does not answer is down within a second, whatever waits for it
 * then moves on, and it is not asked again before a probe has found it well. One that shows its slate comes after those
 * that have the picture.
 */
import { Pool, type Dispatcher } from "undici/index.js";
import type { Clock } from "#common/clock.ts";
import { describeError } from "#common/errors.ts";
import { DurationHistogram } from "#common/histogram.ts";
import type { Log } from "#common/log.ts";
import { Hangs } from "./upstream-hangs.ts";
import { folderOf } from "./upstream-order.ts";
import {
  askProbe,
  isReadyStatus,
  ProbeLateError,
  READINESS_PATH,
  type ProbeAnswer,
} from "./upstream-probe.ts";
import { saysSlate, SlateWatch } from "./upstream-slate.ts";

/**
 * Connections to one upstream: all fills at once, those too that pass something on to one client, and a held request for
 * each playlist that is watched. Requests past it, such as for more relays than that leaves room for, wait in the pool.
 */
const CONNECTIONS_MAX = 1_536;
const CONNECT_MS_MAX = 3_000;
/** Shorter than an origin keeps an idle connection, so that it is we who close. */
const KEEP_ALIVE_MS = 30_000;
/** Pause between probes; of one that is down, which may be a machine that swallows them. */
const PROBE_PAUSE_MS = 250;
const PROBE_PAUSE_DOWN_MS = 1_000;
/** Longest wait for a probe's answer. A second one in a row that takes longer means down: within a second in all. */
const PROBE_ANSWER_MS_MAX = 350;
const REACHABLE_ANSWER_MS_MAX = 1_000;
/** Longest wait for what an upstream has no reason to hold: where an answer is overdue, and after one has timed out. */
const HANG_ANSWER_MS_MAX = 2_000;
/** Clients may name folders: so much of it is in the log. */
const FOLDER_CHARACTERS_MAX = 200;
/** `unix:/path`: the socket of another process on this machine, which speaks HTTP/1.1 too. */
const UNIX_SOCKET = "unix:";
const FIRST_BYTE_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/** `unready`: it answers, but says that it cannot serve. `down`: it does not answer. */
export type PeerState = "up" | "unready" | "down";

export interface PeerOptions {
  readonly url: string;
  /** Its name in the log: host and port. */
  readonly label: string;
  readonly weight: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Where requests can go instead. */
  readonly others: () => readonly UpstreamPeer[];
}

export interface PeerRequest {
  readonly method: "GET" | "HEAD";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Longest waits for the header and between pieces of the body, in milliseconds. */
  readonly headersTimeout: number;
  readonly bodyTimeout: number;
  readonly signal?: AbortSignal | undefined;
  /** Of an answer without end, which is broken off when this upstream goes down and has fallen silent. */
  readonly pulse?: Pulse | undefined;
  /** True for what is still to come. Requests for playlist positions need not say so. */
  readonly isHeld?: boolean | undefined;
}

/** When something was last heard, on the monotonic clock; kept up to date by who reads. */
export interface Pulse {
  heardMs: number;
}

/** A request was taken back because its upstream is left; it goes to the next. */
export class PeerLeftError extends Error {
  override readonly name = "PeerLeftError";
}

/** One upstream. */
export class UpstreamPeer {
  readonly url: string;
  readonly label: string;
  readonly weight: number | undefined;
  /** From a request to the header of its answer. Requests for playlist positions and parts to come are left out. */
  readonly firstBytes = new DurationHistogram(FIRST_BYTE_BOUNDS_MS);
  readonly #options: PeerOptions;
  readonly #basePath: string;
  readonly #pool: Pool;
  #state: PeerState = "up";
  /** As the log has it. */
  #toldState: PeerState = "up";
  /** Requests whose answer has not begun, and the folders that they are for. */
  readonly #waiting = new Map<AbortController, string>();
  /** Answers without end that have begun. */
  readonly #endless = new Map<AbortController, Pulse>();
  /** Why it is not well. */
  #reason = "";
  #slowProbes = 0;
  readonly #slate = new SlateWatch();
  readonly #hangs: Hangs;
  /** Folders that are doubted now. */
  readonly #doubted = new Set<string>();
  #cancelPause: (() => void) | undefined;
  #isClosed = false;

  constructor(options: PeerOptions) {
    const { protocol, origin, pathname } = new URL(options.url);
    const isSocket = protocol === UNIX_SOCKET;
    this.#options = options;
    this.url = options.url;
    this.label = options.label;
    this.weight = options.weight;
    this.#basePath = isSocket ? "" : pathname.replace(/\/+$/, "");
    this.#pool = new Pool(isSocket ? "http://localhost" : origin, {
      ...(isSocket && { socketPath: decodeURI(pathname) }),
      connections: CONNECTIONS_MAX,
      // With HTTP/1.1 and nothing asked ahead, a read of the network brings one answer's bytes: bodies own its buffer.
      allowH2: false,
      pipelining: 1,
      connectTimeout: CONNECT_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
    });
    this.#hangs = new Hangs({
      clock: options.clock,
      isAnswered: (path) => this.#isAnswered(path),
      onChange: (folder, isHanging) => this.#tellHang(folder, isHanging),
    });
  }

  get state(): PeerState {
    return this.#state;
  }

  /** True of one that is up but shows its slate, while another had the picture: that is asked first. */
  get isOnSlate(): boolean {
    return this.#slate.isPassedOver;
  }

  /** True of one that is up and has had the picture for a while. */
  get hasPicture(): boolean {
    return this.#state === "up" && this.#slate.hasPicture(this.#options.clock.monotonicMs());
  }

  /** Folders that others are asked for first, because a request was left unanswered. */
  get hangingFolders(): number {
    return this.#hangs.count;
  }

  /** Whether others are asked for `path` first. */
  hangsAt(path: string): boolean {
    return this.#hangs.has(path);
  }

  /** Sends a request and resolves with the head of its answer. */
  async request({
    path,
    signal,
    pulse,
    isHeld = false,
    ...request
  }: PeerRequest): Promise<Dispatcher.ResponseData> {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    const abort = new AbortController();
    const pass = (): void => abort.abort(signal?.reason);
    signal?.addEventListener("abort", pass, { once: true });
    if (signal?.aborted === true) pass();
    const forget = (): void => {
      signal?.removeEventListener("abort", pass);
      this.#endless.delete(abort);
    };
    this.#waiting.set(abort, folderOf(path));
    try {
      const response = await this.#pool.request({
        ...request,
        path: `${this.#basePath}${path}`,
        signal: abort.signal,
      });
      response.body.once("close", forget);
      if (pulse !== undefined) this.#endless.set(abort, pulse);
      if (!isHeld && !path.includes("_HLS_msn=")) this.firstBytes.observe(clock.monotonicMs() - startMs);
      return response;
    } catch (error) {
      forget();
      throw error;
    } finally {
      this.#waiting.delete(abort);
    }
  }

  /** For one that is not probed. */
  tellState(state: PeerState): void {
    this.#become(state);
  }

  /** It did not answer: from now on others are asked, and what waits here goes to them. */
  markDown(reason: unknown): void {
    if (this.#isClosed) return;
    const { clock, others } = this.#options;
    const wasDown = this.#state === "down";
    if (!wasDown) {
      this.#become("down");
      this.#reason = describeError(reason);
    }
    this.#slate.interrupt();
    if (!others().some(({ state }) => state === "up")) return;
    const error = new PeerLeftError(`${this.label} is down`);
    if (!wasDown) for (const abort of this.#waiting.keys()) abort.abort(error);
    // Probes may be lost where a stream is not; one that stops later is seen by a later probe.
    const silentSinceMs = clock.monotonicMs() - PROBE_ANSWER_MS_MAX;
    for (const [abort, { heardMs }] of this.#endless) if (heardMs <= silentSinceMs) abort.abort(error);
  }

  /**
   * An answer to `path` did not begin in time. From now on others are asked for its folder, and what waits here for that
   * goes to them, until this one answers again.
   */
  noteTimeout(path: string): void {
    if (!this.#hangs.note(path)) return;
    if (!this.#options.others().some((other) => other.state === "up" && !other.hangsAt(path))) return;
    const folder = folderOf(path);
    const error = new PeerLeftError(`${this.label} leaves ${folder} unanswered`);
    for (const [abort, at] of this.#waiting) if (at === folder) abort.abort(error);
  }

  /** What is held takes long: asks for `path`, which is answered at once where anything is. Never rejects. */
  async doubt(path: string): Promise<void> {
    const folder = folderOf(path);
    if (this.#doubted.has(folder)) return;
    this.#doubted.add(folder);
    try {
      await this.#ask(path, HANG_ANSWER_MS_MAX);
    } catch (error) {
      // Whether it is gone is for probes to say.
      if (error instanceof ProbeLateError && this.#state === "up") this.noteTimeout(path);
    } finally {
      this.#doubted.delete(folder);
    }
  }

  /** Probes until {@link close}. For one of several. */
  startProbes(): void {
    void this.#probe();
  }

  /** Probes at once where it is probed at all: an answer says that it may not be well. */
  probeSoon(): void {
    if (this.#cancelPause === undefined) return;
    this.#cancelPause();
    void this.#probe();
  }

  /** Asks for the smallest thing there is; any answer at all means that somebody listens. */
  async canConnect(): Promise<boolean> {
    try {
      const { body } = await this.#pool.request({
        method: "HEAD",
        path: "/healthz",
        headersTimeout: REACHABLE_ANSWER_MS_MAX,
      });
      await body.dump();
      return true;
    } catch {
      // Not reachable yet is the expected answer; the caller asks again.
      return false;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelPause?.();
    this.#hangs.close();
    await this.#pool.destroy();
  }

  #ask(path: string, answerMsMax: number): Promise<ProbeAnswer> {
    const { clock } = this.#options;
    return askProbe({ pool: this.#pool, clock, path: `${this.#basePath}${path}`, answerMsMax });
  }

  /** Whether what timed out is answered again. */
  async #isAnswered(path: string): Promise<boolean> {
    try {
      return isReadyStatus((await this.#ask(path, HANG_ANSWER_MS_MAX)).status);
    } catch {
      // That it still hangs, or is gone, is an answer too.
      return false;
    }
  }

  async #probe(): Promise<void> {
    this.#cancelPause = undefined;
    const { clock } = this.#options;
    try {
      const { status, words } = await this.#ask(READINESS_PATH, PROBE_ANSWER_MS_MAX);
      this.#slowProbes = 0;
      this.#become(isReadyStatus(status) ? "up" : "unready");
      this.#reason = `${READINESS_PATH} says ${status}`;
      this.#noteSlate(words);
    } catch (error) {
      this.#slowProbes++;
      if (!(error instanceof ProbeLateError) || this.#slowProbes > 1) this.markDown(error);
    }
    if (this.#isClosed) return;
    this.#tell();
    const isAskedAgain = this.#slowProbes === 1 && this.#state !== "down";
    const pauseMs = this.#state === "down" ? PROBE_PAUSE_DOWN_MS : PROBE_PAUSE_MS;
    this.#cancelPause = clock.after(isAskedAgain ? 0 : pauseMs, () => void this.#probe());
  }

  /** What a probe was told of the picture. */
  #noteSlate(words: string): void {
    if (this.#isClosed) return;
    if (this.#state !== "up") return this.#slate.interrupt();
    const { clock, log, others } = this.#options;
    const isShowing = saysSlate(words);
    const hasElsewhere = others().some(({ hasPicture }) => hasPicture);
    const isChange = this.#slate.note({ isShowing, nowMs: clock.monotonicMs(), hasElsewhere });
    if (isChange && this.isOnSlate) log.warn(`Upstream ${this.label} is passed over: it shows its slate`);
    else if (isChange) log.info(`Upstream ${this.label} has its picture again`);
    if (!this.isOnSlate || !isShowing || !hasElsewhere) return;
    // An answer without end would bring the slate for as long: it is asked for anew, where the picture is.
    const error = new PeerLeftError(`${this.label} shows its slate`);
    for (const abort of this.#endless.keys()) abort.abort(error);
  }

  #become(state: PeerState): void {
    if (!this.#isClosed) this.#state = state;
  }

  /** Logs what a probe has found or confirmed: a request that fails while the next probe succeeds is no line. */
  #tell(): void {
    if (this.#state === this.#toldState) return;
    const { log } = this.#options;
    this.#toldState = this.#state;
    if (this.#state === "up") log.info(`Upstream ${this.label} is well`);
    else log.warn(`Upstream ${this.label} is ${this.#state}: ${this.#reason}`);
  }

  #tellHang(folder: string, isHanging: boolean): void {
    const { log } = this.#options;
    const shown = folder.slice(0, FOLDER_CHARACTERS_MAX);
    if (isHanging)
      log.warn(`Upstream ${this.label} leaves requests unanswered: others are asked for ${shown}`);
    else log.info(`Upstream ${this.label} is asked for ${shown} again`);
  }
}
