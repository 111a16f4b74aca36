/**
 * How players' bytes get to the pixel threads, as the main thread sees it: by `epoll-receiver.ts` on Linux, by
 * `listen-receiver.ts` everywhere. Chosen once, at the start.
 */
import { describeError, OptionError } from "#common/errors.ts";
import type { EpollGroup } from "./epoll-set.ts";
import { LinuxSockets } from "./linux-sockets.ts";

/** The receive paths. */
export type ReceiveName = "epoll" | "listen";

/** What a pixel thread is told of it. Passes through `postMessage`. */
export type ReceivePlan =
  | { readonly type: "epoll"; readonly group: EpollGroup; readonly port: number }
  /** `port` 0 takes a free one. */
  | { readonly type: "listen"; readonly hostname: string; readonly port: number };

/** The main thread's part in it. */
export interface ReceivePath {
  readonly name: ReceiveName;
  /** For the next thread. */
  plan(): ReceivePlan;
  /** A thread listens on this port. */
  listensOn(port: number): void;
  /** Threads were told to end: has those that sleep notice. */
  wake(): void;
  /**
   * A thread is gone: gives back the locks that it had, with what they guard put right. The others run, and those that
   * wait for one of these locks do not come to a safe point before.
   */
  freeLocks(thread: number): void;
  /** Later all others are at a safe point: puts right what else the thread left behind. */
  forgetThread(thread: number): void;
  /** All threads are gone. */
  close(): void;
}

/**
 * The path for an option's value; `auto` is epoll where the system has it. Throws an {@link OptionError} where `epoll`
 * is asked for and there is none.
 */
export function chooseReceive(wanted: "auto" | ReceiveName): ReceiveName {
  if (wanted === "listen") return "listen";
  try {
    // Opens the C library, and nothing else.
    void new LinuxSockets();
    return "epoll";
  } catch (error) {
    if (wanted === "auto") return "listen";
    throw new OptionError(
      `Bad value for --receive: epoll is not to be had (${describeError(error)}), expected auto or listen`,
    );
  }
}
