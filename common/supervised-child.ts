/**
 * A child process that is kept running: of `start`, or of an edge with several workers. It is restarted with back-off when it dies, its ports pinned after
 * the first start so that it comes back where its peers look for it. When this process dies, however it dies,
 * the child ends too (`--no-orphans`).
 */
import type { Clock } from "#common/clock.ts";
import { INTERNAL_PREFIX } from "#common/config.ts";
import { describeError, errorCode, EXIT_STATUS, StartError } from "#common/errors.ts";
import type { Log } from "#common/log.ts";
import { environmentName } from "#common/options.ts";
import type { Listening } from "#common/role.ts";
import { msToSeconds } from "#common/units.ts";

/** Wait before the first restart, doubled with each until {@link BACK_OFF_MS_MAX}, forgotten after {@link SETTLED_MS}. */
const BACK_OFF_MS_MIN = 100;
const BACK_OFF_MS_MAX = 5_000;
const SETTLED_MS = 10_000;
/** A child that has not said what it listens on by then has failed to start. A server's first start compiles, on small machines for long. */
const START_MS_MAX = 120_000;
/** A child asked to end gets this long before it is killed. Three in a row fit into the five seconds of `start`. */
const STOP_MS_MAX = 1_400;

/** Set for children: SIGINT is left to the supervisor. */
export const SUPERVISED_VARIABLE = `${INTERNAL_PREFIX}SUPERVISED`;
/** Set for children: the name that their log lines carry. */
export const NODE_NAME_VARIABLE = `${INTERNAL_PREFIX}NODE`;
/** Set for children of the same role as their parent: what they are told. */
export const TASK_VARIABLE = `${INTERNAL_PREFIX}TASK`;

export interface SupervisedChildOptions {
  /** For the log: `origin`, `edge 2`. */
  readonly name: string;
  /** Script and arguments, run by this same Bun. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock: Clock;
  /** True once this process is asked to end: what a signal to the whole group ended is not restarted. */
  readonly isStopping: () => boolean;
  /** How long a child that is asked to end gets before it is killed. Default 1.4 s. */
  readonly stopMsMax?: number;
  /** What the child says beside its ports. Default: it has nothing to say. */
  readonly onMessage?: (message: unknown) => void;
  /** Called when the child has ended, asked or not. */
  readonly onExit?: () => void;
}

/** One child and its successors. */
export class SupervisedChild implements AsyncDisposable {
  readonly #options: SupervisedChildOptions;
  #process: Bun.Subprocess | undefined;
  #ports: Listening["ports"] = {};
  #backOffMs = BACK_OFF_MS_MIN;
  #cancelRestart: () => void = () => {};
  #isListening = false;
  #isClosing = false;

  constructor(options: SupervisedChildOptions) {
    this.#options = options;
  }

  /** Starts the child and waits until its sockets are open. Throws {@link StartError} when it ends before. */
  async start(): Promise<void> {
    const { name } = this.#options;
    const listening = Promise.withResolvers<void>();
    this.#spawn({
      onListening: listening.resolve,
      onExit: (status, signal) => {
        const message = `${name} could not start (${describeEnd(status, signal)}): see its message above`;
        const exitStatus = status === EXIT_STATUS.usage ? EXIT_STATUS.usage : EXIT_STATUS.failed;
        listening.reject(new StartError("child-cannot-start", message, { exitStatus }));
      },
    });
    await listening.promise;
  }

  /** Ports by option name, as the child reported them. */
  get ports(): Listening["ports"] {
    return this.#ports;
  }

  /** Has the child open these ports, as if it had reported them once. */
  pin(ports: Listening["ports"]): void {
    this.#ports = ports;
  }

  /** Tells the child something; one that has ended, or ends now, does not hear it. */
  send(message: object): void {
    const child = this.#process;
    if (child === undefined || hasEnded(child)) return;
    try {
      child.send(message);
    } catch (error) {
      // Of one that was killed the channel may be closed before its end is known.
      if (errorCode(error) !== "ERR_IPC_CHANNEL_CLOSED") throw error;
    }
  }

  /** Sends `signal` to the child, once it listens: before that it may not be ready for signals, and die of them. */
  signal(signal: NodeJS.Signals): void {
    if (this.#isListening) this.#process?.kill(signal);
  }

  /** Ends a child that has hung; another is started as for one that died. `why` is for the log: `has said nothing for 10 s`. */
  kill(why: string): void {
    const child = this.#process;
    if (child === undefined || hasEnded(child)) return;
    this.#options.log.warn(`${this.#options.name} ${why}: killed`);
    child.kill("SIGKILL");
  }

  /** Asks the child to end, kills it when it does not, and starts no other. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#cancelRestart();
    const child = this.#process;
    if (child === undefined || hasEnded(child)) return;
    child.kill("SIGTERM");
    const cancel = this.#options.clock.after(this.#options.stopMsMax ?? STOP_MS_MAX, () => {
      this.#options.log.warn(`${this.#options.name} does not end: killed`);
      child.kill("SIGKILL");
    });
    await child.exited;
    cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #spawn(first?: FirstStart): void {
    const { name, command, env, clock, log, onMessage, onExit } = this.#options;
    const pinned = Object.entries(this.#ports).map(([option, value]) => [
      environmentName(option),
      String(value),
    ]);
    const startedMs = clock.monotonicMs();
    this.#isListening = false;
    const child = Bun.spawn([process.execPath, "--no-orphans", ...command], {
      env: { ...env, ...Object.fromEntries(pinned), [SUPERVISED_VARIABLE]: "1", [NODE_NAME_VARIABLE]: name },
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (message: unknown) => {
        if (!isListening(message)) {
          // What a child said last may arrive after its end: by then it counts for nothing.
          if (!hasEnded(child)) onMessage?.(message);
          return;
        }
        cancelDeadline();
        this.#isListening = true;
        this.#ports = message.ports;
        first?.onListening();
      },
      onExit: (_child, status, signal) => {
        cancelDeadline();
        onExit?.();
        const isFirst = first !== undefined && !this.#isListening;
        this.#isListening = false;
        if (isFirst) first.onExit(status, signal);
        else this.#restartAfter({ runMs: clock.monotonicMs() - startedMs, how: describeEnd(status, signal) });
      },
    });
    const cancelDeadline = clock.after(START_MS_MAX, () => {
      log.error(`${name} did not open its ports within ${msToSeconds(START_MS_MAX)} s: killed`);
      child.kill("SIGKILL");
    });
    this.#process = child;
  }

  #restartAfter({ runMs, how }: { readonly runMs: number; readonly how: string }): void {
    const { name, log, clock, isStopping } = this.#options;
    if (this.#isClosing || isStopping()) return;
    if (runMs >= SETTLED_MS) this.#backOffMs = BACK_OFF_MS_MIN;
    const ranSeconds = msToSeconds(runMs).toFixed(1);
    log.warn(`${name} ended (${how}) after ${ranSeconds} s: restarting in ${this.#backOffMs} ms`);
    this.#cancelRestart = clock.after(this.#backOffMs, () => this.#restart());
    this.#backOffMs = Math.min(BACK_OFF_MS_MAX, this.#backOffMs * 2);
  }

  #restart(): void {
    // A signal to the whole group may have ended the child before this process heard of it.
    if (this.#isClosing || this.#options.isStopping()) return;
    try {
      this.#spawn();
    } catch (error) {
      // The machine is short of processes or memory: it may not be for long.
      this.#restartAfter({ runMs: 0, how: `cannot start: ${describeError(error)}` });
    }
  }
}

/** How the caller of the first start hears of it. */
interface FirstStart {
  readonly onListening: () => void;
  readonly onExit: (status: number | null, signal: number | string | null) => void;
}

function isListening(message: unknown): message is Listening {
  return typeof message === "object" && message !== null && "type" in message && message.type === "listening";
}

function hasEnded({ exitCode, signalCode }: Bun.Subprocess): boolean {
  return exitCode !== null || signalCode !== null;
}

function describeEnd(status: number | null, signal: number | string | null): string {
  return status === null ? `signal ${signal ?? "unknown"}` : `exit status ${status}`;
}
